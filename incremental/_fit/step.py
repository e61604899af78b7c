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
    estimator : estimator or None
        None before the first block is merged.
    columns : dict or None
        The columns of each piece of the first block that has rows.
    n_rows : int
        Rows fitted so far.
    merit : float
        The sum, over the rows, of the estimator's score on a block just after it
        learned from that block. If it has a loss, minus the loss. 0 if the estimator
        is not judged.
    n_judged : int
        The number of rows in that sum. A block with an undefined score is left out.
    has_loss : bool
        Whether the estimator reports a loss.
    digests : bytes
        The digests of the blocks of the current pass, if these are compared.
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
        """Pickle it so that the estimator learns on exactly as it would have."""
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
        How many steps of a pipeline X has been through already.
    within : sequence of Stage
        Row-local stages that X goes through in this step, in parts that fit in the
        cache. Empty if `judged`, because judging needs all of X.
    judged : bool
        Whether to judge the estimator on each block after it has learned from it.
    in_place : bool
        Whether the estimator may be changed in place. It may where each step runs
        once, in one process. Otherwise a copy is fitted, because a step may run
        twice and its arguments have travelled.
    checks : bool
        Whether to compare each block with the first one. Data in memory are one
        block, which scikit-learn checks itself.
    """

    params: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int | None = None
    passed: int = 0
    within: Sequence[Stage] = ()
    judged: bool = False
    in_place: bool = True
    checks: bool = True

    def __call__(self, fitting: Fitting, block: Block) -> Fitting:
        """Return the fitting after one more block.

        Raises
        ------
        ValueError
            If the pieces differ in their rows, y holds an unknown class, or the block
            has other columns than the first.
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
        X = block["X"]
        if not isinstance(X, InParts):
            return block.batches(self.batch_size)
        batch = self.batch_size or n_rows(X)
        size = max(rows_in_cache(X) // batch, 1) * batch
        parts = block.batches(size)
        return (one for part in parts for one in part.batches(self.batch_size))

    def _judge(self, fitting: Fitting, X: Any, y: Any) -> Fitting:
        last = last_step(fitting.estimator)
        has_loss = hasattr(last, "loss_")
        if has_loss:
            merit = -float(last.loss_)
        else:
            rest = rest_after(fitting.estimator, self.passed)
            with warnings.catch_warnings():
                # R² of a single row is undefined; such a block does not count.
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
    in_parts : bool
        Whether X goes through in parts that fit in the cache. Then all stages must
        be row-local, and the memory layout of X must not matter to the learner.
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
    """What fresh estimators learned from one block.

    Attributes
    ----------
    fittings : list of Fitting
        One for each batch, to be merged in this order; empty if there are no rows.
    digest : bytes
        Of the block.
    """

    fittings: list[Fitting]
    digest: bytes


@dataclass(frozen=True)
class FitAlone:
    """A function that fits new estimators on one block, to be merged later.

    Parameters
    ----------
    estimator : estimator
        It is cloned for each batch. The results merge in the order of the batches,
        as ``partial_fit`` would take them.
    fit : PartialFit
    """

    estimator: Any
    fit: PartialFit

    def __call__(self, block: Block) -> FittedAlone:
        """Return the estimators fitted on the batches of the block."""
        if block.count_rows() == 0:
            return FittedAlone([], block.digest)
        fit = replace(self.fit, batch_size=None)
        size = self.fit.batch_size or self._cached_rows(block["X"])
        # No warning if a feature is missing in a block: other blocks may have it.
        with np.errstate(invalid="ignore"):
            fittings = [
                _fit_fresh(
                    fit,
                    Fitting(clone(self.estimator, safe=False), block.columns),
                    batch,
                )
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
    fit_fresh = traits_of(fitting.estimator).fit_fresh
    if fit_fresh is not None and list(batch) == ["X"] and not fit.params:
        X = aligned(batch["X"])
        with noted(f"in a block of {n_rows(X)} rows"):
            if fit_fresh(fitting.estimator, X):
                return fitting._replace(n_rows=len(X))
    return fit(fitting, batch)


def merge_fittings(merged: Fitting, alone: FittedAlone) -> Fitting:
    """Merge what was learned from one block into a fitting.

    Raises
    ------
    ValueError
        If the block has other columns than those before.
    """
    others = alone.fittings
    if not others:
        return merged
    columns = others[0].columns or {}
    # Each estimator has seen one block only, so that columns are compared here.
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
