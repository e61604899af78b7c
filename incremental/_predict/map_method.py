"""An estimator's method over the blocks of a collection, lazy and in parallel."""

from __future__ import annotations

from functools import partial
from typing import Any

import dask
import dask.array as da
import numpy as np
from dask.delayed import Delayed
from dask.sizeof import sizeof
from dask.tokenize import tokenize
from sklearn import get_config
from toolz import compose

from incremental._blocks.collections import (
    is_array,
    is_bag,
    is_frame,
    known_rows,
    merge_columns,
)
from incremental._blocks.columns import (
    Columns,
    check_columns,
    columns_of,
    declared_columns,
)
from incremental._blocks.mapped_array import Origin, Partitions, untuned
from incremental._blocks.rows import n_rows
from incremental._blocks.stages import remember
from incremental._errors import noted
from incremental._estimators.configuration import (
    Configured,
    changed_settings,
    configured,
)
from incremental._estimators.copying import Travelling, writes_to_input
from incremental._estimators.documents import as_list
from incremental._estimators.traits import scales_each_value
from incremental._graph.sizes import held_bytes
from incremental._predict.output_meta import declared_output
from incremental._predict.outputs import Declared


def _size(travelling: Travelling) -> int:
    return held_bytes(travelling.value)


sizeof.register(Travelling, _size)


def map_method(
    estimator: Any, method: str, X: Any, *, meta: Any = None, **params: Any
) -> Any:
    """Apply a method of a fitted estimator to every block of a collection.

    The estimator is one node of the graph, whatever the number of blocks. It works
    under the configuration that scikit-learn has at the time of the call.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    method : str
        Name of the method, such as ``"predict"``.
    X : dask array or dataframe of shape (n_samples, n_features)
    meta : array, pandas.Series or pandas.DataFrame, optional
        An example of what the method returns, found with one made-up row if None. A
        type that cannot hold what that row gives is widened.
    **params
        Further arguments of the method.

    Returns
    -------
    dask array, dask dataframe or series, or a list of them
        A list where the method returns a list or a tuple.

    Raises
    ------
    TypeError
        If the method returns pandas for a dask array.
    """
    if is_array(X):
        X = merge_columns("X", X)
    output = declared_output(estimator, method, X, params, meta)
    several = isinstance(output, list)
    empty = [_with_index(one, X) for one in (output if several else [output])]
    declared = [Declared(one, rounds=meta is not None) for one in empty]
    columns = declared_columns(X)
    token = tokenize(estimator, *changed_settings().items())
    name = f"{type(estimator).__name__}-{token}"
    # As `dask.delayed` makes it, dask cannot fuse it with a dataframe of one partition:
    # it gives the task another name there than the task itself has.
    model = Delayed(name, {name: Travelling((estimator, get_config()))})
    if not several:
        mapped = _map(
            _apply, method, X, empty[0], model, method, params, declared[0], columns
        )
        # A parameter may let it write to what it is given.
        plain = method == "transform" and is_array(X) and not params
        if plain and scales_each_value(estimator):
            call = partial(
                _call,
                estimator=estimator,
                method=method,
                params={},
                declared=declared[0],
            )
            remember(mapped, X, configured(call))
        return mapped
    anything = np.empty(0, dtype=object)
    outputs = _map(
        _apply, method, X, anything, model, method, params, declared, columns
    )
    return [_map(_pick, method, outputs, one, n) for n, one in enumerate(empty)]


def _with_index(empty: Any, X: Any) -> Any:
    """Give no rows of pandas the index that those of X have."""
    pandas_both = hasattr(empty, "iloc") and is_frame(X)
    return empty.set_axis(X._meta.index[:0]) if pandas_both else empty


def _map(function: Any, name: str, X: Any, empty: Any, *args: Any) -> Any:
    """Map over blocks, with the kind, type and columns of the result given."""
    map_blocks = partial(_map_blocks, function, name, empty, args)
    mapped = map_blocks(X)
    if not is_array(mapped) or known_rows(mapped) is not None:
        return mapped
    origin = Origin((X,), map_blocks) if is_frame(X) else None
    before = getattr(X, "origin", None) if is_array(X) else None
    if before is not None:
        origin = Origin(before.frames, compose(map_blocks, before.map_blocks))
    return Partitions.view(mapped, origin)


def _map_blocks(
    function: Any, name: str, empty: Any, args: tuple[Any, ...], X: Any
) -> Any:
    yields_pandas = hasattr(empty, "iloc")
    if is_frame(X) and (yields_pandas or isinstance(empty, np.ndarray)):
        with untuned():
            return X.map_partitions(function, *args, meta=empty, token=name)
    if yields_pandas:
        raise TypeError(
            f"Expected an array for the blocks of a dask {type(X).__name__}, got a "
            f"pandas {type(empty).__name__}. Pass a dask dataframe, or let the "
            "estimator and the meta parameters yield arrays "
            "(`set_output(transform='default')`)."
        )
    if not is_array(X):
        return _map_delayed(function, name, X, empty, args)
    return da.map_blocks(
        function,
        X,
        *args,
        token=name,
        meta=empty,
        dtype=empty.dtype,
        chunks=(X.chunks[0], *((size,) for size in empty.shape[1:])),
        drop_axis=list(range(1, X.ndim)),
        new_axis=list(range(1, empty.ndim)),
    )


def _map_delayed(
    function: Any, name: str, X: Any, empty: Any, args: tuple[Any, ...]
) -> Any:
    """Map over the partitions of a bag, or of a frame to what dask takes no meta of."""
    with untuned():
        parts = (X.map_partitions(list) if is_bag(X) else X).to_delayed()
    call = dask.delayed(function, name=name, pure=True, traverse=False)
    blocks = [
        da.from_delayed(
            call(part, *args, block_id=(position,)),
            shape=(np.nan, *empty.shape[1:]),
            dtype=empty.dtype,
            meta=empty,
        )
        for position, part in enumerate(parts)
    ]
    return da.concatenate(blocks, allow_unknown_chunksizes=True)


def _apply(
    block: Any,
    model: Travelling,
    method: str,
    params: Any,
    declared: Any,
    columns: Columns,
    block_id: Any = None,
    partition_info: Any = None,
) -> Any:
    """Call a method on a block; dask tells an array's block or a frame's partition."""
    if n_rows(block) == 0:
        several = isinstance(declared, list)
        return [one.empty for one in declared] if several else declared.empty
    position = block_id[0] if partition_info is None else partition_info["number"]
    with noted(f"in {method} of block {position}"):
        check_columns(columns_of({"X": block}), columns, "what the collection declares")
        estimator, config = model.value
        call = Configured(_call, config)
        return call(block, estimator, method, params, declared)


def _call(block: Any, estimator: Any, method: str, params: Any, declared: Any) -> Any:
    own = block.copy() if writes_to_input(estimator) else block
    output = getattr(estimator, method)(as_list(estimator, own), **params)
    who = type(estimator).__name__
    if isinstance(declared, Declared):
        return declared.hold(output, block, who, method)
    if not isinstance(output, list | tuple) or len(output) != len(declared):
        raise ValueError(
            f"{who}.{method} returned a {type(output).__name__}; expected a list of "
            f"{len(declared)} outputs, as on other rows."
        )
    return [
        one.hold(values, block, who, method)
        for one, values in zip(declared, output, strict=True)
    ]


def _pick(outputs: Any, which: int) -> Any:
    return outputs[which]
