"""`Declared`: what the outputs for all blocks are declared to be."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from incremental._blocks.rows import is_pandas, n_rows
from incremental._typing import Dtype, Piece

METAS = {
    "predict": "predict_meta",
    "predict_proba": "predict_proba_meta",
    "transform": "transform_meta",
}


@dataclass(frozen=True)
class Declared:
    """The declaration that the output for each block has to meet.

    Parameters
    ----------
    empty : array, pandas.Series or pandas.DataFrame
        An output without rows, which has the declared types and columns.
    rounds : bool
        Whether floats may be rounded to the declared type. True if the user gave it.
    """

    empty: Piece
    rounds: bool = False

    def hold(self, output: Piece, block: Piece, who: str, method: str) -> Piece:
        """Return the output for a block, converted to what is declared.

        No value changes, except floats that are rounded if `rounds` is True.

        Parameters
        ----------
        output : array, frame or list
            What the method returned for the block.
        block : array, frame or list
            The X of the block.
        who, method : str
            Names of the estimator and of its method, for errors.

        Returns
        -------
        array, pandas.Series or pandas.DataFrame

        Raises
        ------
        ValueError
            If the output has other rows or columns than declared, if its index has the
            rows in another order, or if the declared type cannot hold a value.
        """
        if not hasattr(output, "shape"):
            output = np.asarray(output)
        if n_rows(output) != n_rows(block):
            raise ValueError(
                f"{who}.{method} returned {n_rows(output)} rows for a block of "
                f"{n_rows(block)}; expected one for each row. Do what adds or drops "
                "rows before, on the collection."
            )
        by_position = not is_pandas(self.empty)
        check_index(output, block, who, method, by_position=by_position)
        try:
            if is_pandas(self.empty):
                return self._as_pandas(output, getattr(block, "index", None))
            output = output.to_numpy() if is_pandas(output) else output
            _check_columns(output, self.empty)
            return self._cast(output, self.empty.dtype)
        except _Misfit as misfit:
            fix = (
                f"Pass an example of what all blocks yield as `{METAS[method]}`."
                if method in METAS
                else "Give X one type in all blocks, such as `X.astype('float64')`."
            )
            raise ValueError(f"{who}.{method} returned {misfit}. {fix}") from None

    def _as_pandas(self, output: Piece, index: Any) -> Piece:
        """Return an output as the pandas object that is declared.

        Parameters
        ----------
        output : array, sparse matrix or frame
        index : pandas.Index or None
            The index of the block, for an output without one.
        """
        import pandas as pd

        empty = self.empty
        _check_columns(output, empty)
        if is_pandas(output):
            index = output.index
        elif hasattr(output, "toarray"):
            output = output.toarray()
        if empty.ndim == 1:
            values = self._cast(_column(output, 0), empty.dtype)
            values = getattr(values, "array", values)
            return pd.Series(values, index=index, name=empty.name, dtype=empty.dtype)
        dtypes = list(empty.dtypes)
        if hasattr(output, "columns") and list(output.dtypes) == dtypes:
            return output
        if not is_pandas(output) and set(dtypes) == {output.dtype}:
            return pd.DataFrame(output, index=index, columns=empty.columns)
        columns = (self._cast(_column(output, n), t) for n, t in enumerate(dtypes))
        arrays = {n: getattr(v, "array", v) for n, v in enumerate(columns)}
        return pd.DataFrame(arrays, index=index).set_axis(empty.columns, axis=1)

    def _cast(self, values: Piece, dtype: Dtype) -> Piece:
        """Cast values to a type.

        Raises
        ------
        _Misfit
            If a value would change, unless it is a float that may be rounded.
        """
        if values.dtype == dtype:
            return values
        cast = _cast_numpy if isinstance(dtype, np.dtype) else _cast_pandas
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                same, result = cast(values, dtype, self.rounds)
        except (TypeError, ValueError):
            same, result = False, None
        if not same:
            raise _Misfit(
                f"{values.dtype} values that the declared type {dtype} cannot hold"
            )
        return result


class _Misfit(Exception):  # noqa: N818
    """An error that says what a method returned in place of what is declared.

    The message completes a sentence that begins with the name of the method.
    """


def check_index(
    output: Piece, block: Piece, who: str, method: str, *, by_position: bool
) -> None:
    """Check that output in pandas has the same row labels as its block, in this order.

    Parameters
    ----------
    output : array, frame or list
        As many rows as the block has.
    block : array, frame or list
        The X of the block.
    who, method : str
        Names of the estimator and of its method, for errors.
    by_position : bool
        Whether an index that only numbers the rows is good as well. It is where the
        index will be dropped.

    Raises
    ------
    ValueError
        If the labels differ, because the rows may then be in another order.
    """
    if not is_pandas(output):
        return
    import pandas as pd

    numbers = pd.RangeIndex(len(output))
    expected = block.index if is_pandas(block) else numbers
    index = output.index
    if index.equals(expected) or (by_position and index.equals(numbers)):
        return
    own, other = _first_difference(index, expected)
    raise ValueError(
        f"{who}.{method} returned pandas whose index has {own!r} where that of X has "
        f"{other!r}; expected the labels of X in their order, by which rows are paired "
        "later. Keep the index of X, as in `pd.DataFrame(values, index=X.index)`; the "
        "steps of a pipeline do so if all of them yield pandas "
        "(`set_output(transform='pandas')`)."
    )


def _first_difference(index: Any, expected: Any) -> tuple[Any, Any]:
    """Return the first pair of labels in which two indexes differ."""
    pairs = list(zip(index, expected, strict=True))
    # Missing labels equal nothing, not even themselves.
    return next((pair for pair in pairs if repr(pair[0]) != repr(pair[1])), pairs[0])


def _check_columns(output: Piece, empty: Piece) -> None:
    """Raise `_Misfit` if an output has other columns than the declared one."""
    named = hasattr(output, "columns") and hasattr(empty, "columns")
    if named and not output.columns.equals(empty.columns):
        raise _Misfit(
            f"the columns {list(output.columns)}; declared are {list(empty.columns)}"
        )
    if n_columns(output) != n_columns(empty) or (
        output.ndim != empty.ndim and not is_pandas(empty)
    ):
        raise _Misfit(
            f"an output of shape {output.shape}; declared are {n_columns(empty)} "
            f"columns in {empty.ndim} dimensions"
        )


def n_columns(values: Piece) -> int:
    """Count the columns of an array or a frame; 1 if it has one dimension."""
    return int(np.prod(values.shape[1:]))


def _column(output: Piece, n: int) -> Piece:
    """Return one column of an output by its number."""
    if output.ndim == 1:
        return output
    return output.iloc[:, n] if is_pandas(output) else output[:, n]


def _cast_numpy(values: Piece, dtype: Dtype, rounds: bool) -> tuple[bool, Piece]:
    """Cast values to a type of NumPy.

    Parameters
    ----------
    values : array, sparse matrix or pandas.Series
    dtype : numpy.dtype
    rounds : bool
        Whether floats may be rounded.

    Returns
    -------
    same : bool
        Whether no value changed, beside floats that may be rounded.
    cast : array or sparse matrix
    """
    if is_pandas(values):
        values = values.to_numpy()
    own = values.dtype
    cast = values.astype(dtype)
    before, after = (a.data if hasattr(a, "tocsr") else a for a in (values, cast))
    if dtype.kind in "US" and own.kind not in "OUS":
        return False, cast
    if own.kind in "iu" and dtype.kind in "fc":
        limit = 2 ** (np.finfo(dtype).nmant + 1)
        return bool(np.all((before >= -limit) & (before <= limit))), cast
    if np.can_cast(own, dtype, "safe"):
        return True, cast
    if rounds and own.kind == dtype.kind == "f":
        return np.array_equal(np.isinf(before), np.isinf(after)), cast
    if own.kind == "f" and dtype.kind in "iu":
        info = np.iinfo(dtype)
        # As floats both bounds are exact, because each is 0 or a power of two.
        inside = (before >= float(info.min)) & (before < float(info.max + 1))
        return bool(np.all(inside & (before == np.trunc(before)))), cast
    missing = (before != before) & (after != after)
    return bool(np.all((before == after) | missing)), cast


def _cast_pandas(values: Piece, dtype: Dtype, rounds: bool) -> tuple[bool, Piece]:
    """Cast values to a type of pandas, as `_cast_numpy` does to one of NumPy."""
    import pandas as pd

    column = pd.Series(values)
    if hasattr(dtype, "categories") and hasattr(column.dtype, "categories"):
        # A collection may not know its categories. Then those of a block are kept.
        return True, column.array
    cast = column.astype(dtype)
    missing = column.isna()
    if not missing.equals(cast.isna()):
        return False, cast
    rounded = rounds and column.dtype.kind == dtype.kind == "f"
    if rounded or hasattr(dtype, "categories"):
        return True, cast.array
    return bool((cast == column)[~missing].all()), cast.array
