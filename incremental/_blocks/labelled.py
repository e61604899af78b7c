"""xarray's objects: the data in them, and the labels that results get.

This is the only module that touches private state of xarray
(``Variable._in_memory``). It tells a variable of an opened file from one in memory
without reading it. Tested with xarray 2026.9.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import dask.array as da
import numpy as np

from incremental._blocks.counted import without_lengths
from incremental._typing import Data


def is_labelled(value: Data) -> bool:
    """Tell whether a value is a ``DataArray`` or a ``Dataset`` of xarray."""
    # Nobody can have such an object who has not imported xarray.
    xarray = sys.modules.get("xarray")
    return xarray is not None and isinstance(value, xarray.DataArray | xarray.Dataset)


def without_labels(value: Data) -> Data:
    """Return the array in an object of xarray, or the dataframe in a `CountedFrame`.

    Any other value is returned as it is.

    Nothing is read: a lazy array stays lazy.

    Parameters
    ----------
    value : xarray.DataArray, xarray.Dataset or any object
        The variables of a ``Dataset`` become the columns of a table, in their order.

    Raises
    ------
    TypeError
        If the values lie in a file and are not cut into chunks. Also if the columns
        would be of text and of numbers.
    ValueError
        If the variables of a ``Dataset`` are not all along one dimension.
    """
    if not is_labelled(value):
        return without_lengths(value)
    if not _is_table(value):
        return _array(value)
    variables = list(value.data_vars.values())
    dims = {name: one.dims for name, one in value.data_vars.items()}
    if len(set(dims.values())) != 1 or len(variables[0].dims) != 1:
        raise ValueError(
            "Expected an xarray.Dataset of which all variables have the same single "
            f"dimension, as the columns of a table, got the dimensions {dims}. Pass "
            "one of its variables, or make an array of rows and columns: "
            "`ds.to_array('feature').stack(sample=[...])"
            ".transpose('sample', 'feature')`."
        )
    arrays = [_array(one) for one in variables]
    kinds = {"number" if a.dtype.kind in "biufc" else a.dtype for a in arrays}
    if len(kinds) > 1:
        types = {name: str(one.dtype) for name, one in value.data_vars.items()}
        raise TypeError(
            f"Expected an xarray.Dataset of numbers, or of a single type, got {types}: "
            "an array of all of them would change the values. Pass a dataframe, as "
            "`ds.to_dask_dataframe()`, or leave variables out."
        )
    lazy = any(isinstance(array, da.Array) for array in arrays)
    return (da if lazy else np).stack(arrays, axis=-1)


def as_samples(X: Data) -> Data:
    """Return X without labels, if its rows are samples.

    Raises
    ------
    TypeError, ValueError
        As `without_labels` does. Also if X has more than two dimensions.
    """
    if is_labelled(X) and not _is_table(X) and X.ndim > 2:
        features, *others = X.dims
        stacked = f"X.stack(sample={others!r}).transpose('sample', {features!r})"
        raise ValueError(
            f"X is an xarray.DataArray of the dimensions {X.dims}; expected two: "
            "samples and features. Make one dimension of all but that of the "
            f"features, for example `{stacked}` if that is {features!r}. "
            "`.unstack('sample')` undoes it in what is predicted."
        )
    return without_labels(X)


def all_without_labels(
    X: Data, y: Data, params: Mapping[str, Any]
) -> tuple[Data, Data, dict[str, Any]]:
    """Return X, y and parameters without labels.

    Raises
    ------
    TypeError, ValueError
        As `as_samples` does. Also if X and another one have other labels of rows.
    """
    check_labels({"X": X, "y": y, **params})
    others = {name: without_labels(value) for name, value in params.items()}
    return as_samples(X), without_labels(y), others


def check_labels(values: Mapping[str, Any]) -> None:
    """Check that the rows of xarray's objects have the labels of those of the first.

    Their rows are paired by position, where xarray itself would pair them by label.

    Raises
    ------
    ValueError
        If labels of the same dimension differ.
    """
    labelled = {name: one for name, one in values.items() if is_labelled(one)}
    indexes = {
        name: (rows, one.indexes[rows])
        for name, one in labelled.items()
        if (rows := _rows(one)) in one.indexes
    }
    for name, (rows, index) in indexes.items():
        first, (first_rows, expected) = next(iter(indexes.items()))
        alike = rows != first_rows or len(index) != len(expected)
        if not (alike or index.equals(expected)):
            raise ValueError(
                f"{name} and {first} have other labels along their dimension {rows!r}; "
                "expected the same labels in the same order, because rows are paired "
                f"by position. Pass `{name}.reindex_like({first})`, or drop the labels "
                f"of one of them with `.drop_vars({rows!r})`."
            )


def feature_labels(X: Data) -> list[str] | None:
    """Return the labels of the features of an object of xarray.

    Returns
    -------
    list of str, or None
        The names of the variables of a ``Dataset``, or the labels along the second
        dimension of a ``DataArray``. None if X has none, or others than text.
    """
    if not is_labelled(X):
        return None
    if _is_table(X):
        labels = list(X.data_vars)
    else:
        features = X.dims[1] if X.ndim == 2 else None
        labels = list(X.indexes[features]) if features in X.indexes else []
    is_text = labels and all(isinstance(label, str) for label in labels)
    return labels if is_text else None


def check_feature_labels(X: Data, expected: Sequence[str] | None) -> None:
    """Check that the features of X are labelled as those of a fit, if they are.

    The variables of a ``Dataset`` need not come in the order of another one: that
    of an opened Zarr store is the order in which the file system lists them.

    Parameters
    ----------
    X : xarray.DataArray, xarray.Dataset or any object
    expected : sequence of str or None

    Raises
    ------
    ValueError
        If they differ, or come in another order.
    """
    labels = feature_labels(X)
    if labels is None or expected is None or labels == list(expected):
        return
    raise ValueError(
        f"X has the features {labels}, but {list(expected)} were fitted; expected the "
        f"same in the same order. Select them, as `X[{list(expected)}]` of a Dataset "
        "or with `.sel` of a DataArray."
    )


def with_labels_of(X: Data, output: Data, name: str) -> Data:
    """Return what was computed for each row of X with the labels of these rows.

    Parameters
    ----------
    X : xarray.DataArray, xarray.Dataset or any object
    output : array, or a list or tuple of them
        An output with a row for each row of X.
    name : str
        The name that a ``DataArray`` gets.

    Returns
    -------
    xarray.DataArray, or a list or tuple of them
        It has the first dimension of X with its coordinates. A second dimension is
        called ``"output"``. The output itself is returned if X has no labels. It is
        also returned if it is sparse or pandas, which xarray does not hold.
    """
    if not is_labelled(X):
        return output
    if isinstance(output, list | tuple):
        return type(output)(with_labels_of(X, one, name) for one in output)
    held = output._meta if isinstance(output, da.Array) else output
    if not isinstance(held, np.ndarray):
        return output
    from xarray import DataArray

    rows = _rows(X)
    others = ["output", *(f"output_{n}" for n in range(1, output.ndim))]
    dims = [rows, *(one for one in others if one != rows)][: output.ndim]
    coords = X.coords.to_dataset()
    apart = [label for label, one in coords.coords.items() if set(one.dims) - {rows}]
    return DataArray(
        output, dims=dims, coords=coords.drop_vars(apart).coords, name=name
    )


def _rows(value: Data) -> Any:
    """Return the dimension of the rows; None if there is none."""
    first = next(iter(value.data_vars.values()), None) if _is_table(value) else value
    return None if first is None else next(iter(first.dims), None)


def _is_table(value: Data) -> bool:
    return hasattr(value, "data_vars")


def _array(value: Data) -> Data:
    variable = value.variable
    # `data` would read the whole of a file.
    if variable.chunks is None and not variable._in_memory:
        raise TypeError(
            f"The values of the xarray object {value.name!r} of shape {value.shape} "
            "lie in a file, and it is not cut into chunks; expected dask arrays or "
            "values in memory. Open it in chunks, as "
            "`xarray.open_dataset(path, chunks={})`, or call `.chunk(...)`, or "
            "`.load()` if it fits in memory."
        )
    return value.data
