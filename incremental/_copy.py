"""Copies of estimators and data that go on exactly as the original would.

This is the only module that touches an estimator's private state: the nodes of
`sklearn.cluster.Birch`. Tested with scikit-learn 1.9.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from incremental._compose import last_step


def copy_estimator(estimator: Any) -> Any:
    """Return a deep copy that ``partial_fit`` continues as it would the original.

    Parameters
    ----------
    estimator : estimator
        It may have been pickled before; its arrays may be read-only.
    """
    copied = copy.deepcopy(estimator)
    for node in _birch_nodes(copied):
        # The nodes of Birch write to a buffer and read from a view of it. Copying and
        # pickling make two arrays of them.
        size = len(node.subclusters_)
        node.centroids_ = node.init_centroids_[:size, :]
        node.squared_norm_ = node.init_sq_norm_[:size]
    return copied


def aligned(piece: Any) -> Any:
    """Return data at addresses that NumPy's fast loops need, copied if it is not.

    Data that came over a network may begin anywhere. NumPy takes other code for it,
    which rounds differently.

    Parameters
    ----------
    piece : array, sparse matrix, frame or list
    """
    if all(array.flags.aligned for array in _buffers(piece)):
        return piece
    return piece.copy()


def writes_to_input(estimator: Any) -> bool:
    """Tell whether an estimator may overwrite the data that it is given.

    Blocks may be part of a persisted collection or of the caller's array.
    """
    return any(
        name.rpartition("__")[2] in ("copy", "copy_X", "copy_x") and not value
        for name, value in estimator.get_params().items()
    )


def _buffers(piece: Any) -> list[Any]:
    if hasattr(piece, "iloc"):
        columns = (
            [piece] if piece.ndim == 1 else [column for _, column in piece.items()]
        )
        plain = (column for column in columns if isinstance(column.dtype, np.dtype))
        return [column.to_numpy() for column in plain]
    if isinstance(piece, np.ndarray):
        return [piece]
    return [piece.data] if hasattr(piece, "tocsr") else []


def _birch_nodes(estimator: Any) -> Iterator[Any]:
    nodes: list[Any] = [getattr(last_step(estimator), "root_", None)]
    while nodes:
        node = nodes.pop()
        if hasattr(node, "init_centroids_") and node.subclusters_:
            yield node
            nodes.extend(subcluster.child_ for subcluster in node.subclusters_)
