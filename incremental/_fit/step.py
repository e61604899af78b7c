"""The functions that let an estimator learn from one block. They can be pickled."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, NamedTuple, Protocol

import numpy as np
from dask.sizeof import sizeof
from sklearn.base import clone
from sklearn.exceptions import UndefinedMetricWarning

from incremental._blocks.block import Block
from incremental._blocks.columns import (
    Columns,
    check_columns,
    learned_columns,
    noting_types,
)
from incremental._blocks.rows import is_pandas, n_rows, rows_in_cache
from incremental._blocks.stages import InParts, Stage, apply, apply_in_c_order
from incremental._errors import noted
from incremental._estimators.composition import last_step, learn_rest, rest_after
from incremental._estimators.copying import (
    Travelling,
    aligned,
    copy_estimator,
)
from incremental._estimators.float_types import in_its_type
from incremental._estimators.merge import merge
from incremental._estimators.traits import traits_of
from incremental._fit.batches import WHOLE_BLOCKS, Batching, Layout, Waiting, in_layout
from incremental._fit.classes import check_classes
from incremental._fit.progressive import Progressive, Tally
from incremental._fit.row_shuffle import Mixing, RowShuffle
from incremental._graph.sizes import held_bytes
from incremental._typing import Classes, Estimator, Piece


class Fitting(NamedTuple):
    """The state of a chain: an estimator, with counts of what it has learned from.

    Attributes
    ----------
    estimator : estimator, list of estimator or None
        A list of parts where a chain fits parts of a bundle. None before the first
        block is merged.
    columns : dict or None
        For each piece (X, y, …), its columns in the first block that has rows.
    n_rows : int
        The number of rows fitted so far.
    merit : float
        The sum of the merits of the batches, each times the batch's number of rows.
        The merit of a batch is minus the loss that the estimator reports, or else its
        score on the batch just after learning from it. 0 if the estimator is not
        judged.
    n_judged : int
        The number of rows in that sum. A batch whose score is undefined is left out.
    has_loss : bool
        Whether the estimator reports a loss.
    digests : bytes
        The digests of the blocks that were fitted in the current pass, in the order
        of the pass. Empty if blocks are not compared.
    rounded : bool
        Whether values of X were rounded to the float type of the first block.
    waiting : Waiting
        Rows of the current pass that wait until a batch is full.
    mixing : Mixing
        Rows of the current pass that wait to be drawn, if rows are shuffled.
    tallies : tuple of Tally
        The scores on batches just before the estimator learned from them, one for
        each scorer. Empty if there are none.
    replicas : tuple of Fitting
        The states of the replicas in the current pass. Empty if there are none, and
        between passes. The counts of each begin at 0 with the pass.
    """

    estimator: Any
    columns: Columns | None = None
    n_rows: int = 0
    merit: float = 0.0
    n_judged: int = 0
    has_loss: bool = False
    digests: bytes = b""
    rounded: bool = False
    waiting: Waiting = Waiting()
    mixing: Mixing = Mixing()
    tallies: tuple[Tally, ...] = ()
    replicas: tuple[Fitting, ...] = ()

    def map_rows(self, function: Callable[[Block], Block]) -> Fitting:
        """Return it with what a function makes of the rows that wait."""
        return self._replace(
            waiting=self.waiting.map(function),
            mixing=self.mixing.map_rows(function),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle it so that the estimator goes on learning exactly as it would have."""
        return _arrived, (Travelling(self.estimator), self[1:])


def _arrived(travelling: Travelling[Any], rest: tuple[Any, ...]) -> Fitting:
    return Fitting(travelling.value, *rest)


sizeof.register(Fitting, held_bytes)


class Learn(Protocol):
    """A function that lets the estimator of a chain learn from one batch.

    In place of an estimator there may be a list of parts.
    """

    def __call__(self, fitting: Fitting, batch: Block) -> Fitting:
        """Return the fitting after one more batch."""
        ...


@dataclass(frozen=True)
class PartialFit:
    """A function that calls ``partial_fit`` with one batch.

    Parameters
    ----------
    params : dict
        Parameters of ``partial_fit`` that are not row-wise, such as ``classes``.
    passed : int
        How many steps of a pipeline X has been through already.
    judged : bool
        Whether to judge the estimator on each batch after it has learned from it.
    copies : bool
        Whether the estimator gets a copy of X, since it may write to what it gets.
    progressive : Progressive or None
        How the estimator is scored on each batch before it learns from it. None if it
        is not.
    begun : bool
        Whether the estimator has learned already before the first batch, so that this
        is scored too.
    """

    params: Mapping[str, Any] = field(default_factory=dict)
    passed: int = 0
    judged: bool = False
    copies: bool = False
    progressive: Progressive | None = None
    begun: bool = False

    def __call__(self, fitting: Fitting, batch: Block) -> Fitting:
        """Return the fitting after one more batch. The estimator itself is changed."""
        estimator = fitting.estimator
        if self.progressive is not None and (self.begun or fitting.n_rows):
            fitting = fitting._replace(tallies=self._tested(fitting, batch))
        X, y = batch["X"], batch.get("y")
        row_wise = {name: batch[name] for name in batch if name not in ("X", "y")}
        params = {**self.params, **row_wise}
        own = X.copy() if self.copies else X
        with noting_types(own):
            rounded = learn_rest(estimator, own, y, params, self.passed)
        fitting = fitting._replace(
            n_rows=fitting.n_rows + n_rows(X), rounded=fitting.rounded or rounded
        )
        if self.judged:
            X, _ = in_its_type(estimator, X)
            fitting = self._judge(fitting, X.copy() if self.copies else X, y)
        return fitting

    def _tested(self, fitting: Fitting, batch: Block) -> tuple[Tally, ...]:
        progressive: Any = self.progressive
        X, _ = in_its_type(fitting.estimator, batch["X"])
        batch = batch.replace(X=X.copy() if self.copies else X)
        rest = rest_after(fitting.estimator, self.passed)
        with noted("while scoring rows for progressive_validation"):
            found: tuple[Tally, ...] = progressive.add(fitting.tallies, rest, batch)
        return found

    def _judge(self, fitting: Fitting, X: Piece, y: Piece) -> Fitting:
        last = last_step(fitting.estimator)
        has_loss = hasattr(last, "loss_")
        if has_loss:
            merit = -float(last.loss_)
        else:
            rest = rest_after(fitting.estimator, self.passed)
            with warnings.catch_warnings():
                # R² of a single row is undefined; such a batch does not count.
                warnings.simplefilter("ignore", UndefinedMetricWarning)
                merit = float(rest.score(X) if y is None else rest.score(X, y))
        rows = 0 if math.isnan(merit) else n_rows(X)
        return fitting._replace(
            merit=fitting.merit + (merit * rows if rows else 0.0),
            n_judged=fitting.n_judged + rows,
            has_loss=has_loss,
        )


@dataclass(frozen=True)
class Step:
    """The step of a chain: it takes the rows of one more block.

    Rows become batches, and the estimator learns from these one after the other. What
    does not fill a batch waits, in the state of the chain, for the next block.

    Parameters
    ----------
    learn : callable
        ``learn(fitting, batch) -> fitting``.
    batching : Batching
        Which rows make a batch.
    shuffle : RowShuffle or None
        How the rows of several blocks are mixed before; None if they are not.
    within : sequence of Stage
        Row-local stages that X goes through in this step, in parts that fit in the
        cache.
    classes : array-like or None
        The classes that may occur in y, if they are checked here.
    in_place : bool
        True where each step runs exactly once, in this process. Otherwise a step fits
        a copy, since it may run twice, and aligns the block's arrays in memory, since
        they came from another process.
    layout : {"C", "F", "K"}
        How the X of a batch lies in memory; ``"K"`` if that makes no difference.
    checks : bool
        Whether to compare each block with the first one. False for data in memory:
        they are one block, which scikit-learn checks itself.
    """

    learn: Learn
    batching: Batching = WHOLE_BLOCKS
    shuffle: RowShuffle | None = None
    within: Sequence[Stage] = ()
    classes: Classes = None
    in_place: bool = True
    layout: Layout = "K"
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
            return self._take(fitting, block)
        rows = block.count_rows()
        if rows == 0:
            return fitting
        first = block.columns if fitting.columns is None else fitting.columns
        check_columns(block.columns, first)
        with noted(f"in a block of {rows} rows"):
            return self._take(fitting._replace(columns=first), block)

    def finish(self, fitting: Fitting) -> Fitting:
        """Return the fitting at the end of a pass, when no row waits any longer."""
        rest = [] if self.shuffle is None else self.shuffle.rest(fitting.mixing)
        fitting = fitting._replace(mixing=Mixing())
        with noted("in the last rows of the pass"):
            for block in rest:
                fitting = self._batch(fitting, block)
            last = self.batching.rest(fitting.waiting)
            # Its own length is the size, so that it stays one batch, even if larger
            # than the others.
            size = n_rows(last[0]["X"]) if last and self.batching.size else None
            return self._learn(fitting._replace(waiting=Waiting()), last, size)

    def _take(self, fitting: Fitting, block: Block) -> Fitting:
        if self.classes is not None:
            check_classes(block["y"], self.classes)
        if self.shuffle is not None:
            block, mixing = self.shuffle.take(fitting.mixing, block)
            fitting = fitting._replace(mixing=mixing)
        return self._batch(fitting, block)

    def _batch(self, fitting: Fitting, block: Block) -> Fitting:
        due, waiting = self.batching.take(fitting.waiting, block)
        return self._learn(fitting._replace(waiting=waiting), due, self.batching.size)

    def _learn(
        self, fitting: Fitting, due: Sequence[Block], size: int | None
    ) -> Fitting:
        """Return the fitting after it learned from rows, in batches of some size."""
        due = [block for block in due if n_rows(block["X"]) or not self.checks]
        if due and not self.in_place:
            fitting = fitting._replace(estimator=_copied(fitting.estimator))
            due = [_aligned(block) for block in due]
        for batch in chain.from_iterable(self._batches(block, size) for block in due):
            fitting = self.learn(fitting, batch)
        return fitting

    def _batches(self, due: Block, size: int | None) -> Iterable[Block]:
        """Cut rows into their batches, with X after the stages."""
        X = InParts.of(due["X"], self.within)
        block = due.replace(X=X) if self.within else due
        if size is None:
            return [block]
        if isinstance(X, InParts):
            parts = block.batches(max(rows_in_cache(X) // size, 1) * size)
        else:
            parts = iter([block])
        batches = chain.from_iterable(part.batches(size) for part in parts)
        return (in_layout(batch, self.layout) for batch in batches)


def _copied(estimator: Any) -> Any:
    """Copy an estimator, or each of a list of them."""
    if isinstance(estimator, list):
        return [copy_estimator(one) for one in estimator]
    return copy_estimator(estimator)


def _aligned(block: Block) -> Block:
    return block.replace(**{name: aligned(block[name]) for name in block})


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
        It is cloned for each batch. The results merge in the order of the batches,
        as ``partial_fit`` would take them.
    step : Step
        What each clone does with its batch.
    """

    estimator: Estimator
    step: Step

    def __call__(self, block: Block) -> FittedAlone:
        """Return what clones learned from the batches of a block, in their order."""
        if block.count_rows() == 0:
            return FittedAlone([], block.digest)
        size = self.step.batching.size or self._cached_rows(block["X"])
        step = replace(self.step, batching=WHOLE_BLOCKS)
        # No warning if a feature is missing in a block: other blocks may have it.
        with np.errstate(invalid="ignore"):
            fittings = [
                _fit_fresh(
                    step,
                    Fitting(clone(self.estimator, safe=False), block.columns),
                    batch,
                )
                for batch in block.batches(size)
            ]
        return FittedAlone(fittings, block.digest)

    def _cached_rows(self, X: Piece) -> int | None:
        """Return how many rows to learn from at once; None for all of them.

        A scaler makes temporary arrays as large as its input. If these do not fit
        in the cache, most of the time is spent on moving them to and from memory.
        """
        dense = isinstance(X, np.ndarray) or is_pandas(X)
        if dense and X.ndim == 2 and traits_of(self.estimator).cacheable:
            return rows_in_cache(X)
        return None


def _fit_fresh(step: Step, fitting: Fitting, batch: Block) -> Fitting:
    fit_fresh = traits_of(fitting.estimator).fit_fresh
    if fit_fresh is not None and list(batch) == ["X"]:
        X = aligned(batch["X"])
        with noted(f"in a block of {n_rows(X)} rows"):
            if fit_fresh(fitting.estimator, X):
                return fitting._replace(n_rows=len(X))
    return step(fitting, batch)


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
