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
from dask.tokenize import tokenize
from sklearn.base import clone
from sklearn.exceptions import UndefinedMetricWarning
from toolz import dissoc

from incremental._ahead import make_ahead
from incremental._blocks import by_rows, check_rows, n_rows, take_rows
from incremental._classes import check_classes
from incremental._compose import (
    last_step,
    leading_steps,
    learn,
    learn_last,
    steps_before_last,
    transform,
)
from incremental._copy import aligned, copy_estimator, writes_to_input
from incremental._known import cached_rows, rows_in_cache
from incremental._merge import merge, merges
from incremental._moments import fit_moments
from incremental._notes import noted
from incremental._origin import Deferred, defer, map_in_c_order
from incremental._sizeof import held_bytes

_HEAD_ROWS = 1_000

_Parts = Generator[Mapping[str, Any], None, None]


class Fitting(NamedTuple):
    """An estimator on its way through the blocks.

    Attributes
    ----------
    estimator : estimator or None
        None where the first block's is to be taken.
    dtype : numpy.dtype or None
        The floating-point type of the first X. None before it, or if X is not numeric.
    n_rows : int
        Rows fitted so far.
    merit : float
        Sum over the rows of how good the estimator was on them just after it learned
        from their block, if that is judged: its score, or minus its loss.
    n_judged : int
        How many rows that is. A block whose score is undefined does not count.
    has_loss : bool
        Whether it reports a loss.
    head : str or None
        A hash of the first rows of the first block, if they are to be recognised.
    """

    estimator: Any
    dtype: Any = None
    n_rows: int = 0
    merit: float = 0.0
    n_judged: int = 0
    has_loss: bool = False
    head: str | None = None


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
    keeps_head : bool
        Whether a hash of the first rows is kept.
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
    keeps_head: bool = False
    in_place: bool = True
    deferred: tuple[Callable[..., Any], ...] = ()
    ahead: bool = False

    def __call__(self, fitting: Fitting, *pieces: Any) -> Fitting:
        """Return the fitting after one more block.

        Raises
        ------
        ValueError
            If the pieces differ in their rows, or y holds an unknown class.
        """
        rows = check_rows(self.names, pieces)
        if rows == 0:
            return fitting
        if not self.in_place:
            fitting = fitting._replace(estimator=copy_estimator(fitting.estimator))
            pieces = tuple(map(aligned, pieces))
        with noted(f"in a block of {rows} rows"):
            block = dict(zip(self.names, pieces, strict=True))
            block["X"] = defer(block["X"], self.deferred)
            if self.keeps_head and fitting.head is None:
                fitting = fitting._replace(head=hash_head(*block.values()))
            return self.fit_block(fitting, block)

    def fit_block(self, fitting: Fitting, block: dict[str, Any]) -> Fitting:
        """Fit the estimator itself on a block, as it comes."""
        if self.params.get("classes") is not None:
            check_classes(block["y"], self.params["classes"])
        dtype, writes = fitting.dtype, writes_to_input(fitting.estimator)
        with closing(self._batches(block)) as batches:
            for batch in batches:
                dtype = dtype or _float_dtype(batch["X"])
                X = _conform(batch["X"], dtype)
                params = {**self.params, **dissoc(batch, "X", "y")}
                own = X.copy() if writes else X
                self._learn(fitting.estimator, own, batch.get("y"), params)
        if self.judged:
            X = _conform(block["X"], dtype)
            fitting = self._judge(fitting, X, block.get("y"))
        return fitting._replace(dtype=dtype, n_rows=fitting.n_rows + n_rows(block["X"]))

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

    def _learn(self, estimator: Any, X: Any, y: Any, params: Any) -> None:
        if self.last_only:
            learn_last(estimator, X, y, params)
        else:
            learn(estimator, X, y, params, skip=self.skip)

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
                merit = float(rest.score(X) if y is None else rest.score(X, y))
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
    """

    names: tuple[str, ...]
    function: Callable[[Any], Any]

    def __call__(self, *pieces: Any) -> tuple[Any, ...]:
        """Return the pieces with X mapped; an empty X is left as it is."""
        block = dict(zip(self.names, pieces, strict=True))
        if check_rows(self.names, pieces):
            block["X"] = self.function(block["X"])
        return tuple(block.values())


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
        head = hash_head(*pieces) if self.fit.keeps_head else None
        fit = replace(self.fit, batch_size=None, keeps_head=False)
        block = dict(zip(fit.names, pieces, strict=True))
        size = self.fit.batch_size or cached_rows(self.estimator, block["X"])
        # A feature that one block lacks is no reason to warn: others may have it.
        with np.errstate(invalid="ignore"):
            return [
                _fit_fresh(fit, Fitting(clone(self.estimator), head=head), batch)
                for batch in _batches(block, size)
            ]


def _fit_fresh(fit: PartialFit, fitting: Fitting, batch: Mapping[str, Any]) -> Fitting:
    if fit.names == ("X",) and not fit.params:
        X = aligned(batch["X"])
        with noted(f"in a block of {n_rows(X)} rows"):
            if fit_moments(fitting.estimator, X):
                return fitting._replace(dtype=X.dtype, n_rows=len(X))
    return fit(fitting, *batch.values())


def merge_fittings(merged: Fitting, others: list[Fitting]) -> Fitting:
    """Return the fitting on the rows of all."""
    if not others:
        return merged
    parts = others if merged.estimator is None else [merged, *others]
    return Fitting(
        merge(*(part.estimator for part in parts)),
        parts[0].dtype,
        sum(part.n_rows for part in parts),
        head=parts[0].head,
    )


def hash_head(*pieces: Any) -> str | None:
    """Hash the first rows of a block; None if it has none."""
    if n_rows(pieces[0]) == 0:
        return None
    heads = (take_rows(piece, slice(0, _HEAD_ROWS)) for piece in pieces)
    # In one order, since a hash depends on how an array lies in memory.
    return str(tokenize(*map(_in_c_order, heads)))


def _in_c_order(piece: Any) -> Any:
    return np.ascontiguousarray(piece) if type(piece) is np.ndarray else piece


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
    first = MapX(fit.names, partial(transform, leading))
    return Steps(rest, start, "partial_fit", first, "transform", per_thread=2)


def _batches(block: Mapping[str, Any], size: int | None) -> _Parts:
    if size is None:
        yield block
        return
    # Once, and not for each batch.
    pieces = {name: by_rows(piece) for name, piece in block.items()}
    for start in range(0, n_rows(block["X"]), size):
        batch = slice(start, start + size)
        yield {name: take_rows(piece, batch) for name, piece in pieces.items()}


def _float_dtype(X: Any) -> Any:
    common = _common_dtype(X)
    if common is None or common.kind == "f":
        return common
    return np.dtype("f8") if common.kind in "biu" else None


def _conform(X: Any, dtype: Any) -> Any:
    """Cast numbers whose type differs from that of the first block.

    Estimators that keep their parameters in the type of the first block, as
    ``SGDClassifier`` does, raise otherwise. Integers become float64 on their own.
    """
    own = _common_dtype(X)
    if dtype is None or own is None or own == dtype or own.kind not in "biuf":
        return X
    return X if own.kind != "f" and dtype == np.float64 else X.astype(dtype)


def _common_dtype(X: Any) -> Any:
    """Return the type that X has as one NumPy array; None if it is not a plain one."""
    if hasattr(X, "dtypes"):
        dtypes = list(np.atleast_1d(np.asarray(X.dtypes, dtype=object)))
        plain = dtypes and all(isinstance(dtype, np.dtype) for dtype in dtypes)
        return np.result_type(*dtypes) if plain else None
    dtype = getattr(X, "dtype", None)
    return dtype if isinstance(dtype, np.dtype) else None
