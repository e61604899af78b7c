"""An estimator's method over the blocks of a collection, lazy and in parallel."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
from dask.delayed import Delayed
from dask.sizeof import sizeof
from dask.tokenize import tokenize
from sklearn import get_config

from incremental._blocks.block import Block
from incremental._blocks.collection import (
    Collection,
    array_of_tasks,
    check_yields_array,
    frame_of_tasks,
)
from incremental._blocks.collections import as_collection
from incremental._blocks.columns import (
    Columns,
    check_columns,
    columns_of,
    declared_columns,
    noting_types,
)
from incremental._blocks.mapped_array import MappedArray
from incremental._blocks.rows import is_pandas, n_rows
from incremental._blocks.stages import Mapped, Stage
from incremental._errors import noted
from incremental._estimators.configuration import Configured, changed_settings
from incremental._estimators.copying import Travelling, writes_to_input
from incremental._estimators.documents import as_list
from incremental._estimators.traits import traits_of
from incremental._graph.blocks import Blocks
from incremental._graph.fold import mapped, pick
from incremental._graph.sizes import held_bytes
from incremental._predict.output_meta import declared_output
from incremental._predict.outputs import Declared
from incremental._typing import Data, Estimator, Piece


def _size(travelling: Travelling[Any]) -> int:
    return held_bytes(travelling.value)


sizeof.register(Travelling, _size)


def map_method(
    estimator: Estimator, method: str, X: Data, *, meta: Piece = None, **params: Any
) -> Data:
    """Apply a method of a fitted estimator to every block of a collection.

    The graph holds the estimator once, whatever the number of blocks. The method runs
    under the configuration of scikit-learn that holds when `map_method` is called.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    method : str
        Name of the method, such as ``"predict"``.
    X : dask array, dataframe, series or bag
    meta : array, pandas.Series or pandas.DataFrame, optional
        An example of what the method returns, see `declared_output`. By default the
        method is called on a made-up row to learn what it returns.
    **params
        Further arguments of the method.

    Returns
    -------
    dask array, dask dataframe or series, or a list of them
        A list if the method returns several outputs.

    Raises
    ------
    TypeError
        If the method returns pandas objects for a dask array or bag.
    """
    collection = as_collection(X).with_whole_rows("X")
    empty, call = _declare(estimator, method, collection, params, meta)
    several = isinstance(call.declared, list)
    token = tokenize(estimator, *changed_settings().items())
    name = f"{type(estimator).__name__}-{token}"
    held = Travelling((estimator, get_config()))
    # `dask.delayed` is not used: when dask fuses such a task with a dataframe of one
    # partition, it looks for the task under another name than the task has.
    model = Delayed(name, {name: held})
    # Only without parameters: `copy=False`, for one, makes it write to its input.
    plain = method == "transform" and not params
    row_local = plain and traits_of(estimator).row_local
    stage = Stage(partial(_apply, model=held, call=call), method, row_local)
    if not several:
        return _map(collection, stage, empty[0], _apply, model, call)
    outputs = _map(collection, stage, np.empty(0, dtype=object), _apply, model, call)
    return [
        _map(
            as_collection(outputs),
            Stage(partial(_pick, which=number), method),
            one,
            _pick,
            number,
        )
        for number, one in enumerate(empty)
    ]


def map_models(
    estimators: Sequence[Estimator],
    numbers: Sequence[int],
    method: str,
    blocks: Blocks,
    X: Data,
    *,
    meta: Piece = None,
) -> Data:
    """Apply to each block of a collection a method of its own fitted estimator.

    Parameters
    ----------
    estimators : sequence of estimator
        Fitted. The method returns the same columns and types for all of them.
    numbers : sequence of int
        For each block, the number of the estimator.
    method : str
    blocks : Blocks
        Those of X, as `for_later` returns them.
    X, meta
        As for `map_method`.

    Returns
    -------
    dask array, dask dataframe or series, or a list of them
        As from `map_method`.

    Raises
    ------
    TypeError
        As `map_method` does.
    """
    collection = as_collection(X).with_whole_rows("X")
    empty, call = _declare(estimators[0], method, collection, {}, meta)
    for one in empty:
        if not collection.has_index:
            check_yields_array(one, collection.value)
    config = get_config()
    asked = [
        partial(_apply_to_block, model=Travelling((one, config)), call=call)
        for one in estimators
    ]
    functions = {at: asked[number] for at, number in enumerate(numbers)}
    graph, keys = mapped(blocks, functions, name=method)
    several = isinstance(call.declared, list)
    n_rows = blocks.n_rows or (np.nan,) * len(blocks)
    outputs = []
    for number, one in enumerate(empty):
        which = partial(_pick, which=number) if several else _same
        own, name = pick(graph, keys, which)
        if is_pandas(one):
            divisions = collection.value.divisions
            made = frame_of_tasks(one, own, name, len(blocks), divisions)
        else:
            made = array_of_tasks(one, own, name, n_rows)
        outputs.append(made)
    return outputs if several else outputs[0]


def _apply_to_block(block: Block, model: Travelling[Any], call: Call) -> Any:
    return _apply(block["X"], model, call)


def _same(output: Piece) -> Piece:
    return output


def _declare(
    estimator: Estimator,
    method: str,
    collection: Collection,
    params: Mapping[str, Any],
    meta: Piece,
) -> tuple[list[Piece], Call]:
    """Return the outputs of a method without rows, and the call that yields them."""
    X = collection.value
    output = declared_output(estimator, method, X, params, meta)
    several = isinstance(output, list)
    empty = [_with_index(one, collection) for one in (output if several else [output])]
    declared = [Declared(one, rounds=meta is not None) for one in empty]
    held = declared if several else declared[0]
    return empty, Call(method, params, held, declared_columns(X))


def _with_index(empty: Piece, X: Collection) -> Piece:
    """Give pandas output without rows an index of the type that X has."""
    if is_pandas(empty) and X.has_index:
        return empty.set_axis(X.example.index[:0])
    return empty


def _map(
    X: Collection,
    stage: Stage,
    empty: Piece,
    function: Callable[..., Any],
    *args: Any,
) -> Data:
    """Map a function over the blocks of a collection.

    Parameters
    ----------
    X : Collection
    stage : Stage
        The same function, as a stage that a resulting array remembers.
    empty : array, pandas.Series or pandas.DataFrame
        What the function returns for a block, without rows.
    function : callable
        ``function(block, *args)``
    *args
        Further arguments of the function. They may be lazy.

    Returns
    -------
    dask array, dataframe or series
    """
    mapped = X.map_blocks(function, stage.name, empty, *args)
    if not isinstance(mapped, da.Array):
        return mapped
    # The source is a copy of X, because the user may assign to X later.
    before = X.mapped or Mapped((copy.copy(X.value),), ())
    made = Mapped(before.sources, (*before.stages, stage._replace(token=mapped.name)))
    return MappedArray.of(mapped, made)


@dataclass(frozen=True)
class Call:
    """A call that is made on each block, with what its result is declared to be.

    Parameters
    ----------
    method : str
        The name of the method.
    params : dict
        Arguments of the method beside X.
    declared : Declared or list of Declared
        The declared output. A list if the method returns several outputs.
    columns : dict
        The columns of X that the collection declares.
    """

    method: str
    params: Mapping[str, Any]
    declared: Declared | list[Declared]
    columns: Columns


def _apply(
    block: Piece,
    model: Travelling[tuple[Estimator, dict[str, Any]]],
    call: Call,
    block_id: Any = None,
    partition_info: Any = None,
) -> Piece:
    """Call a method on a block, and check the columns of the block and the output.

    Parameters
    ----------
    block : array, frame or list
        The X of the block. If it has no rows, the method is not called.
    model : Travelling
        The estimator, and the configuration of scikit-learn to run it under.
    call : Call
    block_id, partition_info : optional
        What dask tells of the block, for messages: the one for an array, the other for
        a dataframe.

    Returns
    -------
    array, pandas.Series or pandas.DataFrame, or a list of them
    """
    declared = call.declared
    if n_rows(block) == 0:
        if isinstance(declared, Declared):
            return declared.empty
        return [one.empty for one in declared]
    with noted(f"in {call.method}{_which(block_id, partition_info)}"):
        columns = columns_of({"X": block})
        check_columns(columns, call.columns, "what the collection declares")
        estimator, config = model.value
        return Configured(_call, config)(
            block, estimator, call.method, call.params, declared
        )


def _which(block_id: Any, partition_info: Any) -> str:
    """Say which block it is, as far as dask tells."""
    if partition_info is not None:
        return f" of block {partition_info['number']}"
    return "" if block_id is None else f" of block {block_id[0]}"


def _call(
    block: Piece,
    estimator: Estimator,
    method: str,
    params: Mapping[str, Any],
    declared: Declared | list[Declared],
) -> Piece:
    """Call a method on a block that has rows, and convert the output as declared.

    Parameters
    ----------
    block : array, frame or list
        The X of the block.
    estimator : estimator
        Fitted.
    method, params, declared
        As for `Call`.
    """
    own = block.copy() if writes_to_input(estimator, **params) else block
    with noting_types(own):
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


def _pick(outputs: Sequence[Piece], which: int) -> Piece:
    return outputs[which]
