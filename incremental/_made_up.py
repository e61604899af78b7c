"""What a method returns, learned from one made-up row instead of a read."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from incremental._blocks import is_bag, is_frame
from incremental._notes import noted

METAS = {
    "predict": "predict_meta",
    "predict_proba": "predict_proba_meta",
    "transform": "transform_meta",
}


def example_output(estimator: Any, method: str, X: Any, params: Any) -> Any:
    """Call a method on a row that is made up in the likeness of X.

    Several rows are tried, as what is valid depends on the estimator.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    method : str
    X : dask array, dataframe, series or bag
    params : dict
        Further arguments of the method.

    Raises
    ------
    TypeError
        If the method returns a list with an entry for each row.
    """
    note = f"raised by {type(estimator).__name__}.{method} on one made-up row"
    if method in METAS:
        note += f"; if it works on real rows, pass an example as `{METAS[method]}`"
    first_error = None
    for row in _rows(estimator, X):
        try:
            with warnings.catch_warnings(), noted(note):
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
        return output
    raise first_error or ValueError("There is no row to try.")


def _rows(estimator: Any, X: Any) -> Iterator[Any]:
    """Yield rows that an estimator may take, the likeliest first."""
    if is_bag(X):
        yield ["a"]
        return
    if is_frame(X):
        for number in (1, 0):
            yield _with_learned(estimator, _frame_row(X._meta, number))
        return
    if np.isnan(X.shape[1:]).any():
        raise ValueError(
            f"The number of columns of X is unknown (shape {X.shape}); expected a "
            "known one. Call `compute_chunk_sizes()` on X."
        )
    shape = (1, *map(int, X.shape[1:]))
    values: list[Any] = ["a", 1, 0] if X.dtype.kind in "OUST" else [1, 0]
    for value in values:
        row = _with_learned(estimator, np.full(shape, value, dtype=X.dtype))
        yield row if isinstance(X._meta, np.ndarray) else type(X._meta)(row)


def _frame_row(meta: Any, number: int) -> Any:
    """Make a row of a frame or series in which no value is missing."""
    from dask.dataframe.utils import meta_nonempty

    row = meta_nonempty(meta).iloc[:1]
    if row.ndim == 1:
        return _filled(row, number)
    return _replaced(
        row, {n: _filled(row.iloc[:, n], number) for n in range(row.shape[1])}
    )


def _filled(column: Any, number: int) -> Any:
    """Put a number or text in a column of one row, or leave what dask has there."""
    kind = getattr(column.dtype, "kind", "O")
    is_text = kind in "OU" and not hasattr(column.dtype, "categories")
    if kind in "biuf" or is_text:
        value = "a" if is_text else number
        return column.__class__([value], index=column.index, dtype=column.dtype)
    return column


def _replaced(row: Any, columns: dict[int, Any]) -> Any:
    import pandas as pd

    parts = [columns.get(n, row.iloc[:, n]) for n in range(row.shape[1])]
    return pd.concat(parts, axis=1).set_axis(row.columns, axis=1)


def _with_learned(estimator: Any, row: Any) -> Any:
    """Put in categories that encoders have learned, as others are unknown to them."""
    for chosen, values in _categories(estimator):
        if hasattr(row, "iloc"):
            places = _places(row, chosen)
            learned = (row.iloc[:, 0].__class__([v], index=row.index) for v in values)
            row = _replaced(row, dict(zip(places, learned, strict=True)))
        else:
            row = row.copy()
            row[:, chosen] = values
    return row


def _places(row: Any, chosen: Any) -> list[int]:
    """Return the positions of the columns that a column transformer has chosen."""
    if isinstance(chosen, slice):
        return list(range(row.shape[1]))[chosen]
    return [n if isinstance(n, int) else row.columns.get_loc(n) for n in chosen]


def _categories(estimator: Any) -> Iterator[tuple[Any, list[Any]]]:
    while hasattr(estimator, "steps"):
        estimator = estimator.steps[0][1]
    if hasattr(estimator, "transformers_"):
        for _, part, chosen in estimator.transformers_:
            for _, values in _categories(part):
                yield chosen, values
    elif hasattr(estimator, "categories_"):
        yield slice(None), [known[0] for known in estimator.categories_]
