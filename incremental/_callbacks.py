"""scikit-learn's callbacks, told of the passes of a fit and of their blocks.

This is the only module that touches the private state of scikit-learn's callback
support: the list of an estimator's callbacks, to spare fits that have none. Tested with
scikit-learn 1.9.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import dask

from incremental._copy import copy_estimator
from incremental._partial_fit import Fitting
from incremental._passes import Progress
from incremental._scoring import gathered_methods


class FitTasks:
    """The tasks of a fit: it has passes, and they have blocks.

    Parameters
    ----------
    estimator : estimator
        With callbacks, during its fit.
    max_iter : int
    X, y : array-like or collection
        As they are given to the fit. Callbacks get X as it is, and y computed; what
        their fitted estimator predicts for X is computed too, as scorers need it.

    References
    ----------
    https://scikit-learn.org/stable/developers/callbacks.html
    """

    def __init__(self, estimator: Any, max_iter: int, X: Any, y: Any) -> None:
        self._estimator = estimator
        self._data = {"X": lambda: X, "y": lambda: dask.compute(y)[0]}
        self._fit = estimator._init_callback_context(max_subtasks=max_iter)
        self._fit.call_on_fit_task_begin(estimator=estimator, **self._data)
        self._blocks_left = self._passes = 0
        self._pass: Any = None
        self._block: Any = None

    def begin_pass(self, progress: Progress, n_blocks: int) -> None:
        """Begin the task of a pass, and that of its first block."""
        self._blocks_left = n_blocks - progress.place
        while self._passes < len(progress.history):  # before a checkpoint
            self._fit.subcontext(task_name="pass")
            self._passes += 1
        self._pass = self._begin(self._fit, "pass", max_subtasks=n_blocks)
        self._passes += 1
        for _ in range(progress.place):
            self._pass.subcontext(task_name="block")
        self._begin_block()

    def end_block(self, progress: Progress, load: Callable[[], Fitting]) -> bool:
        """End the task of a block and begin the next; return whether to stop."""
        stop = self._end(self._block, lambda: load().estimator)
        self._blocks_left -= 1
        if not stop:
            self._begin_block()
        return stop

    def end_pass(self, progress: Progress) -> bool:
        """End the task of a pass; return whether to stop."""
        return self._end(self._pass, lambda: progress.fitting.estimator, **self._data)

    def end_fit(self, fitting: Fitting) -> None:
        """End the task of the fit."""
        self._end(self._fit, lambda: fitting.estimator, **self._data)

    def _begin_block(self) -> None:
        if self._blocks_left > 0:
            self._block = self._begin(self._pass, "block")

    def _begin(self, parent: Any, name: str, **options: Any) -> Any:
        task = parent.subcontext(task_name=name, **options)
        return task.call_on_fit_task_begin(estimator=self._estimator)

    def _end(self, task: Any, load: Callable[[], Any], **data: Any) -> bool:
        return bool(
            task.call_on_fit_task_end(
                estimator=self._estimator,
                reconstruction_attributes=lambda: self._fitted_attributes(load()),
                **data,
            )
        )

    def _fitted_attributes(self, learned: Any) -> dict[str, Any]:
        fitted = copy.copy(self._estimator)
        fitted.estimator_ = copy_estimator(learned)
        return {"estimator_": fitted.estimator_, **gathered_methods(fitted)}
