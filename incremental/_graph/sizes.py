"""How many bytes a result holds, which distributed asks for.

Distributed decides by this size whether to move a result or to wait for the worker
that has it. For an object of an unknown class dask counts only the object itself,
without its arrays.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable
from itertools import chain, islice
from types import ModuleType
from typing import Any

import numpy as np
from dask.sizeof import sizeof

_SAMPLE = 100
_SEQUENCES = (list, tuple, set, frozenset, deque)
_ATOMS = (str, bytes, int, float, type(None), np.generic, type, ModuleType)


def held_bytes(value: object) -> int:
    """Count the bytes of everything that an object holds. Each array counts once.

    Long containers are estimated from a sample.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.preprocessing import MaxAbsScaler
    >>> scaler = MaxAbsScaler().fit(np.ones((2, 1_000_000)))
    >>> 16_000_000 < held_bytes(scaler) < 16_010_000
    True
    """
    return round(_count(value, {}))


def _count(value: Any, seen: dict[int, Any]) -> float:
    """Count the bytes of an object and of all that it holds.

    Parameters
    ----------
    value : object
    seen : dict of int to object
        The objects that were counted before, by their ids. Others are added to it.
    """
    total, stack = 0.0, [value]
    while stack:
        one = stack.pop()
        if isinstance(one, np.ndarray):
            # Views share the memory of one base array.
            while isinstance(one.base, np.ndarray):
                one = one.base
        if id(one) in seen:
            continue
        # Kept, so that no other object can get the same id.
        seen[id(one)] = one
        if isinstance(one, _ATOMS):
            total += sys.getsizeof(one)
            continue
        own, parts, length = _open(one)
        total += own
        if length > _SAMPLE:
            sample = islice(parts, _SAMPLE)
            total += sum(_count(part, seen) for part in sample) * length / _SAMPLE
        else:
            stack.extend(parts)
    return total


def _open(one: Any) -> tuple[int, Iterable[Any], int]:
    """Look into an object.

    Returns
    -------
    own : int
        The bytes of the object without what it holds.
    parts : iterable
        The objects that it holds.
    length : int
        The number of the parts of a container, otherwise 0.
    """
    if isinstance(one, np.ndarray):
        objects = one.dtype.hasobject
        return one.nbytes, one.flat if objects else (), one.size if objects else 0
    if isinstance(one, dict):
        return sys.getsizeof(one), chain.from_iterable(one.items()), 2 * len(one)
    if isinstance(one, _SEQUENCES):
        return sys.getsizeof(one), one, len(one)
    if sizeof.dispatch(type(one)) is not sizeof.dispatch(object):
        return int(sizeof(one)), (), 0
    if hasattr(type(one), "nbytes"):
        return int(one.nbytes), (), 0
    return sys.getsizeof(one), _attributes(one), 0


def _attributes(one: Any) -> list[Any]:
    """Return the values of an object's attributes, or what it would be pickled as."""
    kind: Any = type(one)
    if kind.__reduce__ is not object.__reduce__:
        # Compiled classes, such as scikit-learn's trees, show their arrays only here.
        try:
            return list(one.__reduce__()[1:3])
        except TypeError:
            return []  # It cannot be pickled, so it does not travel.
    slots = (vars(base).get("__slots__", ()) for base in kind.__mro__)
    names = chain.from_iterable([s] if isinstance(s, str) else s for s in slots)
    held = [getattr(one, name) for name in names if hasattr(one, name)]
    return [*held, *getattr(one, "__dict__", {}).values()]
