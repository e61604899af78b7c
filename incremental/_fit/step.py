"""The functions that let an estimator learn from one block. They can be pickled."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from dask.sizeof import sizeof
from sklearn.base import clone
from sklearn.exceptions import UndefinedMetricWarning

from incremental._blocks.block import Block
from incremental._blocks.columns import Columns, check_columns, learned_columns
from incremental._blocks.rows import is_pandas, n_rows, rows_in_cache
from incremental._blocks.stages import InParts, Stage, apply, apply_in_c_order
from incremental._errors import noted
from incremental._estimators.composition import last_step, learn_rest, rest_after
from incremental._estimators.copying import (
    Travelling,
    aligned,
    copy_estimator,
    writes_to_input,
)
from incremental._estimators.float_types import in_its_type
from incremental._estimators.merge import merge
from incremental._estimators.traits import traits_of
from incremental._fit.classes import check_classes
from incremental._graph.sizes import held_bytes


class Fitting(NamedTuple):
    """The state of a chain: an estimator, with counts of what it has learned from.

    Attributes
    ----------
    estimator : estimator, list of estimator or None
        A list of parts where a chain fits parts of a bundle. None before the first
        block is merged.
    columns : dict or None
        The columns of each piece of the first block that has rows.
    n_rows : int
        The number of rows fitted so far.
    merit : float
        The sum of the merits of the blocks, each times the block's number of rows.
        The merit of a block is the score that the estimator has on it just after it
        learned from it. If the estimator reports a loss, it is minus the loss. 0 if
        the estimator is not judged.
    n_judged : int
        The number of rows in that sum. A block whose score is undefined is left out.
    has_loss : bool
        Whether the estimator reports a loss.
    digests : bytes
        The digests of the blocks that were fitted in the current pass, in the order
        of the pass. Empty if blocks are not compared.
    rounded : bool
        Whether values of X were rounded to the float type of the first block.
    """

    estimator: Any
    columns: Columns | None = None
    n_rows: int = 0
    merit: float = 0.0
    n_judged: int = 0
    has_loss: bool = False
    digests: bytes = b""
    rounded: bool = False

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle it so that the estimator goes on learning exactly as it would have."""
        return _arrived, (Travelling(self.estimator), self[1:])


def _arrived(travelling: Travelling, rest: tuple[Any, ...]) -> Fitting:
    return Fitting(travelling.value, *rest)


sizeof.register(Fitting, held_bytes)


@dataclass(frozen=True)
class PartialFit:
    """A step that fits an estimator on one more block.

    Parameters
    ----------
    params : dict
        Parameters of ``partial_fit`` that have no entry for each row.
    batch_size : int or None
        Rows for each call of ``partial_fit``. If None, one call takes all rows.
    passed : int
        How many steps of a pipeline X has been through before, as for `learn_rest`.
    within : sequence of Stage
        Row-local stages that X goes through in this step, in parts that fit in the
        cache. Empty if `judged`, because judging needs all of X.
    judged : bool
        Whether to judge the estimator on each block after it has learned from it.
    in_place : bool
        Whether the estimator may be changed in place. It may where each step runs
        once, in this process. Elsewhere a copy is fitted, because a step may run
        twice, and the block is aligned, because it came from another process.
    checks : bool
        Whether to compare each block with the first one. False for data in memory:
        they are one block, which scikit-learn checks itself.
    """

    params: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int | None = None
    passed: int = 0
    within: Sequence[Stage] = ()
    judged: bool = False
    in_place: bool = True
    checks: bool = True

    def __call__(self, fitting: Fitting, block: Block) -> Fitting:
        """Return the fitting after one more block; as it is if the block has no rows.

        Raises
        ------
        ValueError
            If the pieces differ in their number of rows, if y holds an unknown class,
            or if the block has other columns than the first one.
        """
        if not self.checks:
            return self._fit(fitting, block)
        rows = block.count_rows()
        if rows == 0:
            return fitting
        first = block.columns if fitting.columns is None else fitting.columns
        check_columns(block.columns, first)
        with noted(f"in a block of {rows} rows"):
            return self._fit(fitting._replace(columns=first), block)

    def _fit(self, fitting: Fitting, block: Block) -> Fitting:
        estimator = fitting.estimator
        if not self.in_place:
            estimator = copy_estimator(estimator)
            block = block.replace(**{name: aligned(block[name]) for name in block})
        if self.params.get("classes") is not None:
            check_classes(block["y"], self.params["classes"])
        if self.within:
            block = block.replace(X=InParts.of(block["X"], self.within))
        rounded, writes = fitting.rounded, writes_to_input(estimator)
        for batch in self._batches(block):
            X, y = batch["X"], batch.get("y")
            row_wise = {name: batch[name] for name in batch if name not in ("X", "y")}
            params = {**self.params, **row_wise}
            own = X.copy() if writes else X
            rounded |= learn_rest(estimator, own, y, params, self.passed)
        fitting = fitting._replace(estimator=estimator, rounded=rounded)
        if self.judged:
            X, _ = in_its_type(estimator, block["X"])
            fitting = self._judge(fitting, X.copy() if writes else X, block.get("y"))
        return fitting._replace(n_rows=fitting.n_rows + n_rows(block["X"]))

    def _batches(self, block: Block) -> Iterable[Block]:
        """Yield the batches of a block.

        If X goes through stages here, it does so in parts. A part is as many whole
        batches as fit in the cache, at least one.
        """
        X = block["X"]
        if not isinstance(X, InParts):
            return block.batches(self.batch_size)
        batch = self.batch_size or n_rows(X)
        size = max(rows_in_cache(X) // batch, 1) * batch
        parts = block.batches(size)
        return (one for part in parts for one in part.batches(self.batch_size))

    def _judge(self, fitting: Fitting, X: Any, y: Any) -> Fitting:
        """Return a fitting to which the merit of one block is added.

        Parameters
        ----------
        fitting : Fitting
            The fitting after the block.
        X, y : array or frame
            The pieces of the block. y may be None.
        """
        last = last_step(fitting.estimator)
        has_loss = hasattr(last, "loss_")
        if has_loss:
            merit = -float(last.loss_)
        else:
            rest = rest_after(fitting.estimator, self.passed)
            with warnings.catch_warnings():
                # R² of a single row is undefined, so that its block does not count.
                warnings.simplefilter("ignore", UndefinedMetricWarning)
                own = X.copy() if writes_to_input(rest) else X
                merit = float(rest.score(own) if y is None else rest.score(own, y))
        rows = 0 if math.isnan(merit) else n_rows(X)
        return fitting._replace(
            merit=fitting.merit + (merit * rows if rows else 0.0),
            n_judged=fitting.n_judged + rows,
            has_loss=has_loss,
        )


@dataclass(frozen=True)
class Before:
    """A function that puts the X of a block through stages, in a task of its own.

    Parameters
    ----------
    stages : sequence of Stage
        The stages, in their order.
    in_parts : bool
        Whether X goes through them in parts that fit in the cache. Then all stages
        must be row-local, and the estimator must learn the same from any memory
        layout of X.
    """

    stages: Sequence[Stage]
    in_parts: bool = False

    def __call__(self, block: Block) -> Block:
        """Return the block with X after the stages; unchanged if it has no rows."""
        if n_rows(block["X"]) == 0:
            return block
        X = aligned(block["X"])
        through = apply_in_c_order if self.in_parts else apply
        return block.replace(X=through(self.stages, X))


class FittedAlone(NamedTuple):
    """What new estimators learned from one block.

    Attributes
    ----------
    fittings : list of Fitting
        One for each batch, to be merged in this order. Empty if there are no rows.
    digest : bytes
        The digest of the block.
    """

    fittings: list[Fitting]
    digest: bytes


@dataclass(frozen=True)
class FitAlone:
    """A function that fits new estimators on one block, to be merged later.

    Parameters
    ----------
    estimator : estimator
        It is cloned for each batch.
    fit : PartialFit
        The step that fits a clone on a batch. Its `batch_size` is that of the batches.
        If it has none, the rows of a batch are as many as fit in the cache, or all.
    """

    estimator: Any
    fit: PartialFit

    def __call__(self, block: Block) -> FittedAlone:
        """Return what clones learned from the batches of a block, in their order."""
        if block.count_rows() == 0:
            return FittedAlone([], block.digest)
        fit = replace(self.fit, batch_size=None)
        size = self.fit.batch_size or self._cached_rows(block["X"])
        # NumPy would warn of a feature without values, but other blocks may have some.
        with np.errstate(invalid="ignore"):
            fittings = [
                _fit_fresh(fit, Fitting(clone(self.estimator), block.columns), batch)
                for batch in block.batches(size)
            ]
        return FittedAlone(fittings, block.digest)

    def _cached_rows(self, X: Any) -> int | None:
        """Return how many rows to learn from at once; None for all of them.

        A scaler makes temporary arrays as large as its input. If these do not fit
        in the cache, most of the time is spent on moving them to and from memory.
        """
        dense = isinstance(X, np.ndarray) or is_pandas(X)
        if dense and X.ndim == 2 and traits_of(self.estimator).cacheable:
            return rows_in_cache(X)
        return None


def _fit_fresh(fit: PartialFit, fitting: Fitting, batch: Block) -> Fitting:
    """Fit a new estimator on a batch, by its trait `fit_fresh` if that takes the batch.

    Parameters
    ----------
    fit : PartialFit
        The step that fits it otherwise.
    fitting : Fitting
        It holds the estimator, which is not fitted and will be changed.
    batch : Block

    Returns
    -------
    Fitting
    """
    fit_fresh = traits_of(fitting.estimator).fit_fresh
    if fit_fresh is not None and list(batch) == ["X"] and not fit.params:
        X = aligned(batch["X"])
        with noted(f"in a block of {n_rows(X)} rows"):
            if fit_fresh(fitting.estimator, X):
                return fitting._replace(n_rows=len(X))
    return fit(fitting, batch)


def merge_fittings(merged: Fitting, alone: FittedAlone) -> Fitting:
    """Merge what was learned from one block into a fitting. It is the step of a chain.

    Parameters
    ----------
    merged : Fitting
        What was learned from the blocks before. It may have no estimator yet.
    alone : FittedAlone
        What was learned from the block.

    Returns
    -------
    Fitting

    Raises
    ------
    ValueError
        If the block has other columns than those before.
    """
    others = alone.fittings
    if not others:
        return merged
    columns = others[0].columns or {}
    # Columns are compared only here, because each estimator has seen one block only.
    known = merged.columns
    check_columns(
        columns, learned_columns(merged.estimator) if known is None else known
    )
    parts = others if merged.estimator is None else [merged, *others]
    return merged._replace(
        estimator=merge(*(part.estimator for part in parts)),
        columns=columns if known is None else known,
        n_rows=merged.n_rows + sum(part.n_rows for part in others),
    )
