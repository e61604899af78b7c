"""scikit-learn's callbacks: they are told of the passes of a fit and their blocks.

This is the only module that touches the private side of scikit-learn's callback
support: the context of a fit, which only its own estimators are meant to make. Tested
with scikit-learn 1.9.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache, cached_property, partial
from typing import Any

import dask

from incremental._blocks.collections import is_lazy
from incremental._estimators.copying import copy_estimator
from incremental._estimators.documents import as_documents
from incremental._fit.progress import BlockFitted, Progress
from incremental._fit.step import Fitting
from incremental._graph.blocks import Blocks, read_blocks
from incremental._predict.scorers import as_scorers
from incremental._predict.scoring import OnBlocks, score_in_memory
from incremental._typing import Data, Estimator, Piece


class FitTasks:
    """An observer that tells scikit-learn's callbacks of a fit.

    To them the fit is a task. Its passes are tasks in it, and their blocks in these.
    A search has rungs in place of passes, without tasks for their blocks.

    Parameters
    ----------
    estimator : Incremental or search
        The wrapper that is being fitted and has the callbacks.
    max_iter : int
        How many passes the fit makes at most, or how many rungs the search has.
    X, y : array-like or collection
        The arguments of the fit. Callbacks get X as it is, and y computed. The
        predictions that scorers ask for are computed too, from the same blocks as
        y.

    References
    ----------
    https://scikit-learn.org/stable/developers/callbacks.html
    """

    def __init__(self, estimator: Any, max_iter: int, X: Data, y: Data) -> None:
        self._estimator = estimator
        self._X, self._y = X, y
        self._fit = estimator._init_callback_context(max_subtasks=max_iter)
        self._fit.call_on_fit_task_begin(
            estimator=estimator, X=lambda: X, y=lambda: dask.compute(y)[0]
        )
        self._blocks_left = self._passes = 0
        self._pass: Any = None
        self._block: Any = None

    def begin_pass(self, progress: Progress) -> None:
        """Begin the task of a pass, and that of its next block."""
        n_blocks = len(progress.order)
        self._blocks_left = n_blocks - progress.place
        while self._passes < len(progress.history):  # made before it was resumed
            self._fit.subcontext(task_name="pass")
            self._passes += 1
        self._pass = self._begin(self._fit, "pass", max_subtasks=n_blocks)
        self._passes += 1
        for _ in range(progress.place):
            self._pass.subcontext(task_name="block")
        if not progress.stop:
            self._begin_block()

    def end_block(self, event: BlockFitted) -> bool:
        """End the task of a block and begin the next; return whether to stop."""
        stop = self._end(self._block, lambda: event.load().estimator)
        self._blocks_left -= 1
        if not stop:
            self._begin_block()
        return stop

    def end_pass(self, progress: Progress) -> bool:
        """End the task of a pass; return whether to stop."""
        return self._end(self._pass, lambda: progress.fitting.estimator, on_data=True)

    def skip_rungs(self, count: int) -> None:
        """Count rungs that were over before the search was resumed."""
        for _ in range(count):
            self._fit.subcontext(task_name="rung")

    def begin_rung(self) -> None:
        """Begin the task of a rung: candidates learn, and are scored."""
        self._pass = self._begin(self._fit, "rung")

    def end_rung(self, load: Callable[[], Estimator]) -> bool:
        """End the task of a rung; return whether to stop.

        Parameters
        ----------
        load : callable
            ``load()`` returns the best candidate so far.
        """
        return self._end(self._pass, load, on_data=True)

    def end_fit(self, fitting: Fitting) -> None:
        """End the task of the fit."""
        self._end(self._fit, lambda: fitting.estimator, on_data=True)

    def _begin_block(self) -> None:
        """Begin the task of the next block, if there is one in the pass."""
        if self._blocks_left > 0:
            self._block = self._begin(self._pass, "block")

    def _begin(self, parent: Any, name: str, **options: Any) -> Any:
        """Begin a task.

        Parameters
        ----------
        parent : CallbackContext
            The task that it is in.
        name : str
        **options
            Arguments of scikit-learn's ``subcontext``.

        Returns
        -------
        CallbackContext
            The task.
        """
        task = parent.subcontext(task_name=name, **options)
        return task.call_on_fit_task_begin(estimator=self._estimator)

    def _end(
        self, task: Any, load: Callable[[], Estimator], *, on_data: bool = False
    ) -> bool:
        """End a task.

        Parameters
        ----------
        task : CallbackContext
        load : callable
            ``load()`` returns the estimator as it is then. It is called once at most,
            and only if a callback asks.
        on_data : bool
            Whether callbacks may ask for X and y.

        Returns
        -------
        bool
            Whether a callback wants the fit to stop.
        """
        look = cache(lambda: self._look(load()))
        data = {"X": lambda: self._X, "y": lambda: self._compute_y(look()[1])}
        return bool(
            task.call_on_fit_task_end(
                estimator=self._estimator,
                reconstruction_attributes=lambda: _attributes(*look()),
                **(data if on_data else {}),
            )
        )

    def _look(self, learned: Estimator) -> tuple[Estimator, OnBlocks | None]:
        """Return what callbacks score with.

        Parameters
        ----------
        learned : estimator
            The estimator as it is now. It is copied.

        Returns
        -------
        fitted : Incremental
            The wrapper, fitted with the copy.
        on_blocks : OnBlocks or None
            The copy on the blocks of X; None if X is in memory.
        """
        fitted = copy.copy(self._estimator)
        fitted.estimator_ = copy_estimator(learned)
        if self._blocks is None:
            return fitted, None
        return fitted, OnBlocks(
            fitted.estimator_, self._blocks, X=self._X, wrapper=fitted
        )

    def _compute_y(self, on_blocks: OnBlocks | None) -> Piece:
        """Return y in memory, from the same read of the blocks as predictions."""
        if self._y is None or on_blocks is None:
            return dask.compute(self._y)[0]
        return on_blocks.gather()["y"]

    @cached_property
    def _blocks(self) -> Blocks | None:
        if not is_lazy(self._X):
            return None
        X = as_documents(self._estimator.estimator, self._X)
        return read_blocks({"X": X} if self._y is None else {"X": X, "y": self._y})


def _attributes(fitted: Estimator, on_blocks: OnBlocks | None) -> dict[str, Any]:
    """Return the attributes that a callback's copy of the wrapper needs to score.

    Parameters
    ----------
    fitted : Incremental
    on_blocks : OnBlocks or None
        As `FitTasks._look` returns both.

    Returns
    -------
    dict
        The fitted estimator. If X is lazy, also the methods that predict and score.
    """
    attributes = {"estimator_": fitted.estimator_}
    if on_blocks is None:
        return attributes
    names = ("predict", "predict_proba", "predict_log_proba", "decision_function")
    found = {name: getattr(on_blocks, name) for name in names if hasattr(fitted, name)}
    if hasattr(fitted, "score"):
        found["score"] = partial(_score, fitted.scoring, on_blocks)
    return {**attributes, **found}


def _score(
    scoring: Any, on_blocks: OnBlocks, X: Any, y: Any = None, **weight: Any
) -> Any:
    """Score what callbacks get as the estimator."""
    scorers = as_scorers(scoring)
    return scorers.as_asked(score_in_memory(scorers, on_blocks, X, y, **weight))
