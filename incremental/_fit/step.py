"""What happens to an estimator on one block. Pure functions that pickle."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from dask.sizeof import sizeof
from sklearn.base import clone
from sklearn.exceptions import UndefinedMetricWarning
from toolz import dissoc

from incremental._blocks.columns import (
    Columns,
    check_columns,
    columns_of,
    learned_columns,
)
from incremental._blocks.rows import (
    by_rows,
    check_rows,
    n_rows,
    rows_in_cache,
    take_rows,
)
from incremental._blocks.stages import Deferred, defer, map_in_c_order
from incremental._errors import noted
from incremental._estimators.composition import (
    last_step,
    leading_steps,
    learn,
    learn_last,
    steps_before_last,
    transform,
)
from incremental._estimators.copying import (
    Travelling,
    aligned,
    copy_estimator,
    writes_to_input,
)
from incremental._estimators.float_types import in_its_type
from incremental._estimators.merge import merge, merges
from incremental._estimators.moments import fit_moments
from incremental._estimators.traits import cached_rows
from incremental._fit.ahead import make_ahead
from incremental._fit.classes import check_classes
from incremental._graph.sizes import held_bytes

_Parts = Generator[Mapping[str, Any], None, None]


class Fitting(NamedTuple):
    """An estimator on its way through the blocks.

    Attributes
    ----------
    estimator : estimator or None
        None where the first block's is to be taken.
    columns : dict or None
        The columns of the first block that has rows, for each of its pieces.
    n_rows : int
        Rows fitted so far.
    merit : float
        Sum over the rows of how good the estimator was on them just after it learned
        from their block, if that is judged: its score, or minus its loss.
    n_judged : int
        How many rows that is. A block whose score is undefined does not count.
    has_loss : bool
        Whether it reports a loss.
    digests : bytes
        What describes the blocks of the pass under way, if they are to be recognised.
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
        """Pickle it so that the estimator goes on exactly as it would have."""
        return _arrived, (Travelling(self.estimator), self[1:])


def _arrived(travelling: Travelling, rest: tuple[Any, ...]) -> Fitting:
    return Fitting(travelling.value, *rest)


sizeof.register(Fitting, held_bytes)


@dataclass(frozen=True)
class PartialFit:
    """Fit an estimator on one block more.

    Parameters
    ----------
    names : tuple of str
        What the pieces of a block are: ``"X"``, ``"y"`` or a row-wise parameter.
    params : dict
        Other parameters of the estimator's ``partial_fit``.
    batch_size : int or None
        Rows for each call of ``partial_fit``; all of the block if None.
    skip : int
        How many leading steps of a pipeline X has been through already.
    last_only : bool
        Whether only the last step of a pipeline learns, as in later passes, and X has
        been through all others already.
    judged : bool
        Whether the estimator is to be judged on each block that it has learned from.
    in_place : bool
        Whether the estimator may be fitted itself, as where all steps run once and in
        one process. Otherwise a step may run twice, and what it gets has travelled.
    deferred : tuple of callable
        What X is still to go through, in parts that fit in the processor's cache. Not
        with ``judged``, which takes all of X.
    ahead : bool
        Whether a part goes through it while the estimator learns from the one before,
        in another thread.
    """

    names: tuple[str, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int | None = None
    skip: int = 0
    last_only: bool = False
    judged: bool = False
    in_place: bool = True
    deferred: tuple[Callable[..., Any], ...] = ()
    ahead: bool = False

    def __call__(self, fitting: Fitting, *pieces: Any) -> Fitting:
        """Return the fitting after one more block.

        A piece more than there are names is the columns that the block had before X
        went through anything.

        Raises
        ------
        ValueError
            If the pieces differ in their rows, y holds an unknown class, or the block
            has other columns than the first.
        """
        pieces, before = pieces[: len(self.names)], pieces[len(self.names) :]
        rows = check_rows(self.names, pieces)
        if rows == 0:
            return fitting
        columns = (
            before[0]
            if before
            else columns_of(dict(zip(self.names, pieces, strict=True)))
        )
        first = columns if fitting.columns is None else fitting.columns
        check_columns(columns, first)
        fitting = fitting._replace(columns=first)
        if not self.in_place:
            fitting = fitting._replace(estimator=copy_estimator(fitting.estimator))
            pieces = tuple(map(aligned, pieces))
        with noted(f"in a block of {rows} rows"):
            block = dict(zip(self.names, pieces, strict=True))
            block["X"] = defer(block["X"], self.deferred)
            return self.fit_block(fitting, block)

    def fit_block(self, fitting: Fitting, block: dict[str, Any]) -> Fitting:
        """Fit the estimator itself on a block, as it comes."""
        if self.params.get("classes") is not None:
            check_classes(block["y"], self.params["classes"])
        rounded, writes = fitting.rounded, writes_to_input(fitting.estimator)
        with closing(self._batches(block)) as batches:
            for batch in batches:
                X = batch["X"]
                params = {**self.params, **dissoc(batch, "X", "y")}
                own = X.copy() if writes else X
                rounded |= self._learn(fitting.estimator, own, batch.get("y"), params)
        if self.judged:
            X, _ = in_its_type(fitting.estimator, block["X"])
            fitting = self._judge(fitting, X, block.get("y"))
        rows = fitting.n_rows + n_rows(block["X"])
        return fitting._replace(rounded=rounded, n_rows=rows)

    def _batches(self, block: Mapping[str, Any]) -> _Parts:
        X = block["X"]
        parts: Iterable[Mapping[str, Any]] = [block]
        if isinstance(X, Deferred):
            batch = self.batch_size or n_rows(X)
            size = max(rows_in_cache(X) // batch, 1) * batch
            parts = _batches(block, size)
            if self.ahead and n_rows(X) > size:
                parts = make_ahead(parts)
        for part in parts:
            yield from _batches(part, self.batch_size)

    def _learn(self, estimator: Any, X: Any, y: Any, params: Any) -> bool:
        if self.last_only:
            return learn_last(estimator, X, y, params)
        return learn(estimator, X, y, params, skip=self.skip)

    def _judge(self, fitting: Fitting, X: Any, y: Any) -> Fitting:
        last = last_step(fitting.estimator)
        has_loss = hasattr(last, "loss_")
        if has_loss:
            merit = -float(last.loss_)
        else:
            rest = last if self.last_only else fitting.estimator
            rest = rest[self.skip :] if self.skip else rest
            with warnings.catch_warnings():
                # R² of a single row is undefined, and does not count.
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
class MapX:
    """Put the X of a block through a function.

    Parameters
    ----------
    names : tuple of str
        What the pieces of a block are.
    function : callable
    adds_columns : bool
        Whether the columns that the block had are returned as one piece more.
    """

    names: tuple[str, ...]
    function: Callable[[Any], Any]
    adds_columns: bool = False

    def __call__(self, *pieces: Any) -> tuple[Any, ...]:
        """Return the pieces with X mapped; an empty X is left as it is."""
        block = dict(zip(self.names, pieces, strict=True))
        columns = (columns_of(block),) if self.adds_columns else ()
        if check_rows(self.names, pieces):
            block["X"] = self.function(aligned(block["X"]))
        return (*block.values(), *columns)


@dataclass(frozen=True)
class FitAlone:
    """Fit fresh estimators on a block, to be merged with those of the others.

    Parameters
    ----------
    estimator : estimator
        Its clones are fitted, one for each batch: they merge in the order in which
        ``partial_fit`` would add them up.
    fit : PartialFit
    """

    estimator: Any
    fit: PartialFit

    def __call__(self, *pieces: Any) -> list[Fitting]:
        """Return what the batches of the block give."""
        if check_rows(self.fit.names, pieces) == 0:
            return []
        fit = replace(self.fit, batch_size=None)
        block = dict(zip(fit.names, pieces, strict=True))
        fresh = Fitting(None, columns_of(block))
        size = self.fit.batch_size or cached_rows(self.estimator, block["X"])
        # A feature that one block lacks is no reason to warn: others may have it.
        with np.errstate(invalid="ignore"):
            return [
                _fit_fresh(fit, fresh._replace(estimator=clone(self.estimator)), batch)
                for batch in _batches(block, size)
            ]


def _fit_fresh(fit: PartialFit, fitting: Fitting, batch: Mapping[str, Any]) -> Fitting:
    if fit.names == ("X",) and not fit.params:
        X = aligned(batch["X"])
        with noted(f"in a block of {n_rows(X)} rows"):
            if fit_moments(fitting.estimator, X):
                return fitting._replace(n_rows=len(X))
    return fit(fitting, *batch.values())


def merge_fittings(merged: Fitting, others: list[Fitting]) -> Fitting:
    """Return the fitting on the rows of all.

    Raises
    ------
    ValueError
        If the others have other columns.
    """
    if not others:
        return merged
    columns = others[0].columns or {}
    # What is merged has not compared them itself, as `partial_fit` does.
    known = merged.columns
    check_columns(
        columns, learned_columns(merged.estimator) if known is None else known
    )
    parts = others if merged.estimator is None else [merged, *others]
    return Fitting(
        merge(*(part.estimator for part in parts)),
        columns if known is None else known,
        sum(part.n_rows for part in parts),
    )


class Steps(NamedTuple):
    """How a pass takes its blocks: what to do in parallel, and what one by one.

    ``per_thread`` blocks ahead for each thread keep all of them busy.
    """

    step: Callable[..., Fitting]
    start: Fitting
    name: str
    prepare: Callable[..., Any] | None = None
    prepare_name: str = ""
    per_thread: int = 1


def plan_steps(fresh: Any, fitted: Fitting | None, fit: PartialFit) -> Steps:
    """Decide which part of a fit is done in parallel.

    Parameters
    ----------
    fresh : estimator
        A clone that is not fitted.
    fitted : Fitting or None
        What the pass continues.
    fit : PartialFit
        What the pass does on a block.
    """
    if merges(fresh) and not fit.judged:
        start = fitted or Fitting(None)
        alone = FitAlone(fresh, fit)
        return Steps(merge_fittings, start, "merge", alone, "partial_fit")
    start = fitted or Fitting(fresh)
    # What learns row by row neither merges nor is a pipeline.
    if fit.deferred and fit.batch_size is None:
        in_parts = MapX(fit.names, partial(map_in_c_order, fit.deferred))
        return Steps(
            replace(fit, deferred=()), start, "partial_fit", in_parts, "transform"
        )
    if fit.last_only:
        leading, rest = steps_before_last(start.estimator), fit
    else:
        leading = leading_steps(start.estimator)
        rest = replace(fit, skip=len(leading))
    if not leading:
        return Steps(fit, start, "partial_fit")
    through = partial(_transform, Travelling(leading))
    first = MapX(fit.names, through, adds_columns=True)
    return Steps(rest, start, "partial_fit", first, "transform", per_thread=2)


def _transform(steps: Travelling, X: Any) -> Any:
    return transform(steps.value, X)


def _batches(block: Mapping[str, Any], size: int | None) -> _Parts:
    if size is None:
        yield block
        return
    # Once, and not for each batch.
    pieces = {name: by_rows(piece) for name, piece in block.items()}
    for start in range(0, n_rows(block["X"]), size):
        batch = slice(start, start + size)
        yield {name: take_rows(piece, batch) for name, piece in pieces.items()}
