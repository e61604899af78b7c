"""How much memory an estimator holds, which distributed wants to know of a result.

It weighs moving a result against waiting for the worker that has it. To dask an object
of a class that it does not know is as large as its shell, without any array.
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


def held_bytes(value: Any) -> int:
    """Count the bytes of all that an object holds, each array once.

    Of long containers a sample is counted.

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
    total, stack = 0.0, [value]
    while stack:
        one = stack.pop()
        if isinstance(one, np.ndarray):
            # Views of one buffer hold it together.
            while isinstance(one.base, np.ndarray):
                one = one.base
        if id(one) in seen:
            continue
        # The object itself too, as another one could get its id otherwise.
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
    """Return the size of an object's shell, what is in it, and how many that are."""
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
    """Return what an object holds by name, or what it says that it is made from."""
    kind: Any = type(one)
    if kind.__reduce__ is not object.__reduce__:
        # Compiled classes, such as scikit-learn's trees, tell of their arrays only so.
        try:
            return list(one.__reduce__()[1:3])
        except TypeError:
            return []  # It cannot be pickled, so it does not travel.
    slots = (vars(base).get("__slots__", ()) for base in kind.__mro__)
    names = chain.from_iterable([s] if isinstance(s, str) else s for s in slots)
    held = [getattr(one, name) for name in names if hasattr(one, name)]
    return [*held, *getattr(one, "__dict__", {}).values()]
