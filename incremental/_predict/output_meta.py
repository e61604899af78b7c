"""What a method returns, found by calling it on one made-up row."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from incremental._blocks.collections import as_collection
from incremental._blocks.columns import noting_types
from incremental._blocks.frames import replace_columns
from incremental._blocks.rows import is_pandas, take_rows
from incremental._errors import noted
from incremental._predict.outputs import METAS, n_columns
from incremental._typing import Data, Dtype, Estimator, Piece

# A function that makes a type of text wide enough, see `_text_dtype`.
Widen = Callable[[Dtype], Dtype]


def declared_output(
    estimator: Estimator,
    method: str,
    X: Data,
    params: Mapping[str, Any],
    meta: Piece = None,
) -> Piece:
    """Return an output without rows, as a method is declared to yield it for a block.

    Parameters
    ----------
    estimator, method, X, params
        As for `example_output`.
    meta : array, pandas.Series or pandas.DataFrame, or a list of them, optional
        The user's example, whose kind, names and types are taken. If one of its types
        is of another kind than that of the output for a made-up row, and cannot hold
        that output, the type of the output is taken.

    Returns
    -------
    array, pandas.Series or pandas.DataFrame, or a list of them
        A type of text is as wide as the longest class. If the classes are unknown, it
        becomes the type of objects.

    Raises
    ------
    TypeError
        If `meta` is no array or pandas object.
    ValueError
        If `meta` has other outputs or columns than the method returns.
    """
    text = _text_dtype(estimator, method)
    if meta is None:
        example = example_output(estimator, method, X, params)
        _each(_check_is_lazy_kind, example)
        return _each(lambda one: _retyped(one, None, text), example)
    _each(_check_is_example, meta)
    try:
        example = example_output(estimator, method, X, params)
    except Exception:
        # The user gives an example because no made-up row works: it is trusted.
        return _each(lambda one: _retyped(one, None, text), meta)
    _each(_check_is_lazy_kind, example)
    wanted, received = (len(a) if _is_several(a) else None for a in (meta, example))
    if wanted != received:
        raise ValueError(
            f"`{METAS[method]}` is for {_outputs(wanted)}, but {method} returns "
            f"{_outputs(received)}. Pass a list with an example for each of several."
        )
    if received is None:
        return _combined(meta, example, method, text)
    pairs = zip(meta, example, strict=True)
    return [_combined(one, other, method, text) for one, other in pairs]


def _check_is_lazy_kind(output: Piece) -> None:
    """Check that there is a dask collection of outputs of such a kind.

    Raises
    ------
    TypeError
        If it is a dataframe of another library than pandas.
    """
    if hasattr(output, "columns") and not is_pandas(output):
        kind = type(output)
        raise TypeError(
            f"The estimator yields a {kind.__module__.partition('.')[0]} "
            f"{kind.__name__}, for which dask has no collection; expected an array or "
            "pandas. Call `set_output(transform='pandas')` or "
            "`set_output(transform='default')` before the estimator is applied to "
            "dask collections."
        )


def _is_several(outputs: Piece) -> bool:
    """Tell whether a method returned several outputs, in a list or a tuple."""
    return isinstance(outputs, list | tuple)


def _outputs(count: int | None) -> str:
    """Say how many outputs there are; None stands for one that is not in a list."""
    return "one output" if count is None else f"a list of {count}"


def _each(function: Callable[[Piece], Any], outputs: Piece) -> Any:
    """Call a function on an output, or on each of several."""
    several = _is_several(outputs)
    return list(map(function, outputs)) if several else function(outputs)


def _check_is_example(example: Piece) -> None:
    if not hasattr(example, "dtype") and not hasattr(example, "dtypes"):
        raise TypeError(
            f"An example of the output must be an array, a pandas.Series or a "
            f"pandas.DataFrame, got {example!r}."
        )


def _combined(meta: Piece, example: Piece, method: str, text: Widen) -> Piece:
    """Return `meta` without rows, with types that can hold the example as well.

    Parameters
    ----------
    meta : array, pandas.Series or pandas.DataFrame
        The user's example.
    example : array, pandas.Series or pandas.DataFrame
        The output for a made-up row.
    method : str
        The name of the method, for messages.
    text : callable
        As `_text_dtype` returns it.
    """
    _check_is_example(example)
    if not is_pandas(meta):
        # The shape is taken from what the method really returned.
        values = np.asarray(example) if is_pandas(example) else example
        return _retyped(values, [_wider(meta.dtype, values.dtype)], text)
    named = hasattr(meta, "columns") and hasattr(example, "columns")
    if n_columns(meta) != n_columns(example) or (
        named and not meta.columns.equals(example.columns)
    ):
        raise ValueError(
            f"`{METAS[method]}` has the columns {_names(meta)}, but {method} returns "
            f"{_names(example)}. Pass an example of the same columns."
        )
    pairs = zip(_dtypes(meta), _dtypes(example), strict=True)
    return _retyped(meta, [_wider(*pair) for pair in pairs], text)


def _names(example: Piece) -> list[Any] | int:
    """Return the names of the columns, or their number if they have no names."""
    return list(example.columns) if hasattr(example, "columns") else n_columns(example)


def _dtypes(example: Piece) -> list[Dtype]:
    """Return the type of each column."""
    if hasattr(example, "columns"):
        return list(example.dtypes)
    return [example.dtype] * n_columns(example)


def _wider(wanted: Dtype, received: Dtype) -> Dtype:
    """Return the user's type if it suits the type of an output, else the latter.

    It suits if both are of one kind, or if it can hold all values of the other.
    """
    if not (isinstance(wanted, np.dtype) and isinstance(received, np.dtype)):
        return wanted
    if (wanted.kind in "US") != (received.kind in "US"):
        return wanted if wanted.kind == "O" else received
    numbers = wanted.kind == received.kind or {wanted.kind, received.kind} == {"i", "u"}
    return wanted if numbers or np.can_cast(received, wanted, "safe") else received


def _retyped(example: Piece, dtypes: list[Dtype] | None, text: Widen) -> Piece:
    """Return an example without rows and with other types.

    Parameters
    ----------
    example : array, pandas.Series or pandas.DataFrame
    dtypes : list or None
        The type for each column. If None, the columns keep their types.
    text : callable
        As `_text_dtype` returns it. It is called on each type.
    """
    _check_is_example(example)
    empty = take_rows(example, slice(0, 0))
    dtypes = [text(dtype) for dtype in (_dtypes(empty) if dtypes is None else dtypes)]
    if not hasattr(empty, "columns"):
        return empty.astype(dtypes[0]) if dtypes else empty
    if dtypes == list(empty.dtypes):
        return empty
    columns = {n: empty.iloc[:, n].astype(dtype) for n, dtype in enumerate(dtypes)}
    return replace_columns(empty, columns)


def _text_dtype(estimator: Estimator, method: str) -> Widen:
    """Return a function that makes a type of text wide enough for all classes.

    The function takes a type and returns one. A type that is not of text is returned
    as it is. If the classes are unknown or no text, it returns the type of objects.
    """
    classes = getattr(estimator, "classes_", None) if method == "predict" else None
    several = classes if isinstance(classes, list) else [classes]
    known = [getattr(one, "dtype", None) for one in several]

    def widen(dtype: Dtype) -> Dtype:
        if getattr(dtype, "kind", "O") not in "US" or not isinstance(dtype, np.dtype):
            return dtype
        if any(getattr(one, "kind", "O") != dtype.kind for one in known):
            return np.dtype(object)
        return np.result_type(*known)

    return widen


def example_output(
    estimator: Estimator, method: str, X: Data, params: Mapping[str, Any]
) -> Piece:
    """Return the output of a method for a made-up row that is like those of X.

    Several rows are tried, because estimators differ in which values they accept.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    method : str
        The name of the method.
    X : dask array, dataframe, series or bag
    params : dict
        Further arguments of the method.

    Returns
    -------
    array, pandas.Series or pandas.DataFrame, or a list of them

    Raises
    ------
    TypeError
        If the method returns a list of rows.
    Exception
        If the method fails on all rows: what it raised on the first one.
    """
    note = f"raised by {type(estimator).__name__}.{method} on one made-up row"
    if method in METAS:
        note += f"; if it works on real rows, pass an example as `{METAS[method]}`"
    first_error = None
    for row in _rows(estimator, X):
        try:
            with warnings.catch_warnings(), noted(note), noting_types(row):
                warnings.simplefilter("ignore")
                output = getattr(estimator, method)(row, **params)
        except Exception as error:
            first_error = first_error or error
            continue
        if isinstance(output, list) and not method.startswith("predict"):
            raise TypeError(
                f"{type(estimator).__name__}.{method} returns a list of rows, which "
                "has no lazy form. Compute parts of X and call it on `estimator_`."
            )
        several = _is_several(output) and any(hasattr(a, "shape") for a in output)
        return (
            np.asarray(output) if isinstance(output, list) and not several else output
        )
    raise first_error or ValueError("There is no row to try.")


def _rows(estimator: Estimator, X: Data) -> Iterator[Piece]:
    """Yield made-up rows that an estimator may take, the likeliest first."""
    for row in as_collection(X).made_up_rows():
        yield _with_learned(estimator, row) if hasattr(row, "shape") else row


def _with_learned(estimator: Estimator, row: Piece) -> Piece:
    """Put known categories into a made-up row: encoders refuse unknown ones."""
    for chosen, values in _categories(estimator):
        if is_pandas(row):
            places = _places(row, chosen)
            learned = (row.iloc[:, 0].__class__([v], index=row.index) for v in values)
            row = replace_columns(row, dict(zip(places, learned, strict=True)))
        else:
            row = row.copy()
            row[:, chosen] = values
    return row


def _places(row: Piece, chosen: Any) -> list[int]:
    """Return the numbers of some columns.

    Parameters
    ----------
    row : pandas.DataFrame
    chosen : slice, or sequence of int or str
        The columns, as a column transformer has chosen them.
    """
    if isinstance(chosen, slice):
        return list(range(row.shape[1]))[chosen]
    return [n if isinstance(n, int) else row.columns.get_loc(n) for n in chosen]


def _categories(estimator: Estimator) -> Iterator[tuple[Any, list[Any]]]:
    """Yield the columns that an encoder takes, and a category that it knows for each.

    Yields
    ------
    chosen : slice or sequence
        The columns of X, as `_places` takes them.
    values : list
        The first known category of each of these columns.
    """
    while hasattr(estimator, "steps"):
        estimator = estimator.steps[0][1]
    if hasattr(estimator, "transformers_"):
        for _, part, chosen in estimator.transformers_:
            for _, values in _categories(part):
                yield chosen, values
    elif hasattr(estimator, "categories_"):
        yield slice(None), [known[0] for known in estimator.categories_]
