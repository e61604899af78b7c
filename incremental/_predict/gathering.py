"""Outputs of an estimator's methods for blocks, and how they are put together."""

from __future__ import annotations

from collections.abc import Mapping
from functools import wraps
from typing import Any

import numpy as np
from toolz import dissoc

from incremental._blocks.block import Block
from incremental._blocks.columns import noting_types
from incremental._blocks.rows import is_pandas, n_rows
from incremental._estimators.copying import writes_to_input
from incremental._estimators.documents import as_list
from incremental._estimators.foreign import tags_of
from incremental._predict.outputs import check_index
from incremental._typing import Estimator


class Answers:
    """An estimator whose methods return what they returned before for an X.

    Parameters
    ----------
    estimator : estimator
        Fitted. Its methods are called for any other X.
    outputs : dict of str to object
        What each method returned, by its name.
    X : object
        What stands for the rows that it was called with.
    """

    def __init__(
        self, estimator: Estimator, outputs: Mapping[str, Any], X: Any
    ) -> None:
        self._estimator = estimator
        self._outputs = outputs
        self._X = X

    def __sklearn_tags__(self) -> Any:
        return tags_of(self._estimator)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._estimator, name)
        if name not in self._outputs:
            return value

        @wraps(value)  # scikit-learn asks for its name
        def answer(X: Any) -> Any:
            return self._outputs[name] if X is self._X else value(X)

        return answer


def respond(
    estimator: Estimator, calls: Mapping[str, Mapping[str, Any]], block: Block
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Call methods on the X of a block.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    calls : dict of str to dict
        The arguments beside X of each method to call, by its name.
    block : Block

    Returns
    -------
    tuple of two dicts, or None
        All pieces of the block but X; and the output of each method, by its name. None
        if the block has no rows.
    """
    if block.count_rows() == 0:
        return None
    X = block["X"]
    outputs = {name: ask(estimator, name, X, call) for name, call in calls.items()}
    return dissoc(dict(block), "X"), outputs


def stacked(parts: list[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Stack what `respond` returned: the row-wise data, and the outputs."""
    parts = with_rows(parts)
    rows, outputs = (
        {name: join([part[which][name] for part in parts]) for name in parts[0][which]}
        for which, join in enumerate((stack, _stack_outputs))
    )
    return rows, outputs


def ask(
    estimator: Estimator, method: str, X: Any, params: Mapping[str, Any] | None = None
) -> Any:
    """Call a method on the X of a block, on a copy if it may write to X.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    method : str
        The name of the method.
    X : array, frame or list
    params : dict, optional
        Further arguments of the method.

    Returns
    -------
    array or frame, or a list of them
        A list if the method returns several outputs.

    Raises
    ------
    ValueError
        If an output has other rows than X.
    """
    output = call(estimator, method, X, **(params or {}))
    is_list = isinstance(output, list | tuple) and len(output) > 0
    several = is_list and np.ndim(output[0]) > 0
    for one in output if several else [output]:
        if n_rows(one) != n_rows(X):
            raise ValueError(
                f"{type(estimator).__name__}.{method} returned {n_rows(one)} rows for "
                f"{n_rows(X)} rows of X; expected one for each."
            )
        check_index(one, X, type(estimator).__name__, method, by_position=True)
    return list(output) if several else output


def call(estimator: Estimator, method: str, X: Any, *args: Any, **params: Any) -> Any:
    """Call a method on the X of a block, on a copy if it may write to X."""
    own = X.copy() if writes_to_input(estimator) else X
    with noting_types(own):
        return getattr(estimator, method)(as_list(estimator, own), *args, **params)


def _stack_outputs(parts: list[Any]) -> Any:
    """Concatenate the outputs for several blocks; each of them if there are several."""
    if isinstance(parts[0], list):
        return [stack(list(outputs)) for outputs in zip(*parts, strict=True)]
    return stack(parts)


def stack(parts: list[Any]) -> Any:
    """Concatenate the rows of arrays, sparse matrices or frames."""
    first = parts[0]
    if is_pandas(first):
        import pandas as pd

        return pd.concat(parts)
    if hasattr(first, "tocsr"):
        import scipy.sparse as sp

        return sp.vstack(parts, format="csr")
    return np.concatenate([np.asarray(part) for part in parts])


def same_values(one: Any, other: Any) -> bool:
    """Tell whether two arrays hold the same values."""
    if hasattr(one, "tocsr"):
        return bool(one.shape == other.shape and (one != other).nnz == 0)
    one, other = np.asarray(one), np.asarray(other)
    return np.array_equal(one, other, equal_nan=one.dtype.kind in "fc")


def with_rows(parts: list[Any]) -> list[Any]:
    """Leave out what blocks without rows yield, which is None."""
    parts = [part for part in parts if part is not None]
    if not parts:
        raise ValueError("X has no rows in any block; expected at least one.")
    return parts
