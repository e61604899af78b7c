"""What happens to an estimator on one block. Pure functions that pickle."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from incremental._blocks import check_rows, n_rows, take_rows
from incremental._classes import check_classes
from incremental._copy import aligned, copy_estimator
from incremental._notes import noted


class Fitting(NamedTuple):
    """An estimator on its way through the blocks.

    Attributes
    ----------
    estimator : estimator
    dtype : numpy.dtype or None
        The floating-point type of the first X. None before it, or if X is not numeric.
    n_rows : int
        Rows fitted so far.
    """

    estimator: Any
    dtype: Any = None
    n_rows: int = 0


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
    in_place : bool
        Whether the estimator may be fitted itself, as where all steps run once and in
        one process. Otherwise a step may run twice, and what it gets has travelled.
    """

    names: tuple[str, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int | None = None
    in_place: bool = True

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
            fitting = self.fit_block(fitting, block)
        return fitting._replace(n_rows=fitting.n_rows + rows)

    def fit_block(self, fitting: Fitting, block: dict[str, Any]) -> Fitting:
        """Fit the estimator itself on a block, as it comes."""
        if self.params.get("classes") is not None:
            check_classes(block["y"], self.params["classes"])
        dtype = fitting.dtype or _float_dtype(block["X"])
        X = _conform(block["X"], dtype)
        for batch in _batches({**block, "X": X}, self.batch_size):
            call_partial_fit(fitting.estimator, batch, self.params)
        return fitting._replace(dtype=dtype)


def call_partial_fit(
    estimator: Any, pieces: Mapping[str, Any], params: Mapping[str, Any]
) -> None:
    """Call ``partial_fit`` with the pieces of a block and the other parameters."""
    row_wise = {name: piece for name, piece in pieces.items() if name not in ("X", "y")}
    data = (pieces[name] for name in ("X", "y") if name in pieces)
    estimator.partial_fit(*data, **row_wise, **params)


def check_partial_fit(estimator: Any) -> None:
    """Check that an estimator learns block by block.

    Raises
    ------
    TypeError
        If it has no ``partial_fit``.
    """
    if not hasattr(estimator, "partial_fit"):
        raise TypeError(
            f"estimator must have `partial_fit`, got {type(estimator).__name__}, which "
            "has none. Fit it on data in memory and apply it to dask collections with "
            "`ParallelPostFit(estimator)`, or use a variant that learns incrementally."
        )


def check_params(estimator: Any, names: Iterable[str]) -> None:
    """Check that an estimator's ``partial_fit`` takes parameters of these names.

    Raises
    ------
    TypeError
        If it does not.
    """
    parameters = inspect.signature(estimator.partial_fit).parameters
    if any(
        parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()
    ):
        return
    for name in names:
        if name not in parameters:
            raise TypeError(
                f"{type(estimator).__name__}.partial_fit takes no parameter {name!r}; "
                f"it takes {', '.join(parameters)}."
            )


def _batches(block: Mapping[str, Any], size: int | None) -> Iterator[Mapping[str, Any]]:
    if size is None:
        yield block
        return
    for start in range(0, n_rows(block["X"]), size):
        batch = slice(start, start + size)
        yield {name: take_rows(piece, batch) for name, piece in block.items()}


def _float_dtype(X: Any) -> Any:
    common = _common_dtype(X)
    if common is None or common.kind == "f":
        return common
    return np.dtype("f8") if common.kind in "biu" else None


def _conform(X: Any, dtype: Any) -> Any:
    """Cast floating-point X whose type differs from that of the first block.

    Estimators that keep their parameters in the type of the first block, as
    ``SGDClassifier`` does, raise otherwise.
    """
    own = _common_dtype(X)
    drifted = dtype is not None and own is not None and own.kind == "f" and own != dtype
    return X.astype(dtype) if drifted else X


def _common_dtype(X: Any) -> Any:
    """Return the type that X has as one NumPy array; None if it is not a plain one."""
    if hasattr(X, "dtypes"):
        dtypes = list(np.atleast_1d(np.asarray(X.dtypes, dtype=object)))
        plain = dtypes and all(isinstance(dtype, np.dtype) for dtype in dtypes)
        return np.result_type(*dtypes) if plain else None
    dtype = getattr(X, "dtype", None)
    return dtype if isinstance(dtype, np.dtype) else None
