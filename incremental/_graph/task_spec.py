"""The door to dask's task specification, which is private (``dask._task_spec``).

This library renames tasks of a collection, adds a dependency to them, and looks into
tasks that dask has fused. No public function of dask does that. Tested with dask
2025.12 to 2026.8.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dask._task_spec import (
    Alias,
    DataNode,
    GraphNode,
    Task,
    TaskRef,
    Tuple,
    convert_legacy_graph,
)

__all__ = [
    "Alias",
    "DataNode",
    "Graph",
    "GraphNode",
    "Key",
    "Task",
    "TaskRef",
    "Tuple",
    "as_nodes",
]

# The name of a task: a string, or a tuple that begins with one.
Key = Any
Graph = dict[Key, Any]


def as_nodes(graph: Mapping[Key, Any]) -> Graph:
    """Return a graph whose tasks are all objects of the task specification."""
    return dict(convert_legacy_graph(graph))
