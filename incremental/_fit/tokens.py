"""Tokens of values: equal for equal values in every process, different for others.

dask's tokens depend on more than the value. They depend on the order of a set, which
differs between processes, and on addresses of objects.
"""

from __future__ import annotations

import dis
import sys
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import singledispatch
from hashlib import blake2b
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
from cloudpickle import CloudPickler

_PLAIN = {type(None), bool, int, float, complex, str, bytes}


def tokenize(value: object) -> str:
    """Return a token of a value.

    An object is taken apart as `pickle` does it. What can be imported is described by
    its name. Any other function is described by its code and what the code refers
    to. Every other object is described by its class and attributes. The order of
    sets and dicts does not matter.

    Parameters
    ----------
    value : object
        It may refer to itself.

    Returns
    -------
    str
        Hexadecimal digits.

    Raises
    ------
    TypeError
        If it holds an object that cannot be taken apart, such as a lock.

    Examples
    --------
    >>> tokenize({"a": 1, "b": {2, 3}}) == tokenize({"b": {3, 2}, "a": 1})
    True
    >>> tokenize(lambda x: x + 1) == tokenize(lambda x: x + 2)
    False
    """
    # There is no recursion, because a value may be nested very deeply.
    whole = _Parts("", [value])
    path = [(value, whole)]
    depths: dict[int, int] = {}
    # The values are kept beside their tokens, so that no later value gets their id.
    known: dict[int, tuple[str, Any]] = {}
    while not whole.tokens:
        taken, parts = path[-1]
        if len(parts.tokens) == len(parts.values):
            path.pop()
            del depths[id(taken)]
            known[id(taken)] = parts.token(), taken
            path[-1][1].tokens.append(known[id(taken)][0])
            continue
        one = parts.values[len(parts.tokens)]
        if type(one) in _PLAIN:
            parts.tokens.append(repr(one))
        elif id(one) in known:
            parts.tokens.append(known[id(one)][0])
        elif id(one) in depths:
            parts.tokens.append(f"{len(path) - depths[id(one)]} above")
        else:
            depths[id(one)] = len(path)
            path.append((one, _take_apart(one)))
    return whole.token()


@dataclass
class _Parts:
    """A value that is taken apart, with the tokens of the values in it.

    Parameters
    ----------
    name : str
        What kind of value it is, such as the name of its class.
    values : list
        The values that it is made of.
    unordered : int
        The number of values in an item of a value without order: 1 for a set, 2 for
        a dict. 0 if the values have an order.
    tokens : list of str
        The tokens of the first of `values`, as many as are known so far.
    """

    name: str
    values: list[Any]
    unordered: int = 0
    tokens: list[str] = field(default_factory=list)

    def token(self) -> str:
        """Return the token of the value, once all values in it have theirs."""
        tokens: list[Any] = self.tokens
        if self.unordered:
            size = self.unordered
            tokens = sorted(zip(*[iter(tokens)] * size, strict=True))
        text = repr((self.name, tokens)).encode()
        return blake2b(text, digest_size=16).hexdigest()


@singledispatch
def _take_apart(value: Any) -> _Parts:
    """Take a value apart into a name and the values that it is made of.

    It is made for each kind of value by one of the functions registered below.
    """
    kind = type(value)
    if hasattr(kind, "__dask_tokenize__"):
        return _Parts(_name(kind), [value.__dask_tokenize__()])
    if hasattr(kind, "to_numpy") and (hasattr(kind, "iloc") or hasattr(kind, "dtype")):
        return _take_frame_apart(value)
    if hasattr(kind, "tocsr"):
        csr = value.tocsr(copy=True)
        csr.sum_duplicates()
        wide = [np.asarray(one, dtype=np.int64) for one in (csr.indptr, csr.indices)]
        return _Parts("sparse", [csr.shape, csr.data, *wide])
    return _take_object_apart(value)


def _take_object_apart(value: Any) -> _Parts:
    """Take an object apart as `pickle` and `cloudpickle` do.

    Raises
    ------
    TypeError
        If they cannot.
    """
    name = _name(type(value))
    special = CloudPickler.dispatch_table.get(type(value))
    try:
        taken = value.__reduce_ex__(4) if special is None else special(value)
    except Exception as error:
        raise TypeError(
            f"checkpoint cannot tell one {name} from another: {error}. Let what the "
            "fit is given hold no locks, open files, generators or connections."
        ) from error
    if isinstance(taken, str):
        return _Parts(f"{name} {getattr(value, '__module__', '')}.{taken}", [])
    make, args, state, items, pairs = (*taken, None, None, None)[:5]
    if isinstance(state, dict) and hasattr(type(value), "get_params"):
        # A vectoriser has an attribute that differs between processes: the id of its
        # stop words.
        state = {key: state[key] for key in state if not _is_address(key)}
    parts = [make, args, state, None if items is None else list(items)]
    if isinstance(value, OrderedDict):
        return _Parts(name, [*parts, list(pairs)])
    return _Parts(name, [*parts, None if pairs is None else dict(pairs)])


def _is_address(name: str) -> bool:
    """Tell by the name of an attribute whether it holds the id of an object."""
    return name.startswith("_") and name.endswith("_id")


def _take_frame_apart(value: Any) -> _Parts:
    """Take a frame, series, index or array of pandas apart, by its columns."""
    kind = type(value)
    if not hasattr(kind, "dtype"):
        columns = [value.iloc[:, at] for at in range(value.shape[1])]
        types = [column.dtype for column in columns]
        values = [column.to_numpy() for column in columns]
        return _Parts(_name(kind), [value.columns, value.index, types, values])
    about = [getattr(value, name, None) for name in _ABOUT if hasattr(kind, name)]
    return _Parts(_name(kind), [*about, value.to_numpy()])


_ABOUT = ("dtype", "name", "names", "index")


@_take_apart.register(list)
@_take_apart.register(tuple)
def _take_sequence_apart(value: Any) -> _Parts:
    return _Parts(_name(type(value)), list(value))


@_take_apart.register(set)
@_take_apart.register(frozenset)
def _take_set_apart(value: Any) -> _Parts:
    return _Parts(_name(type(value)), list(value), unordered=1)


@_take_apart.register(dict)
def _take_dict_apart(value: Any) -> _Parts:
    if type(value) is not dict:
        return _take_object_apart(value)
    return _Parts("dict", [one for pair in value.items() for one in pair], unordered=2)


@_take_apart.register(type)
def _take_type_apart(value: type) -> _Parts:
    return _Parts(f"class {_name(value)}", [])


@_take_apart.register(ModuleType)
def _take_module_apart(value: ModuleType) -> _Parts:
    return _Parts(f"module {value.__name__}", [])


@_take_apart.register(FunctionType)
def _take_function_apart(value: FunctionType) -> _Parts:
    name = f"function {_name(value)}"
    if _is_imported(value):
        return _Parts(name, [])
    known = value.__globals__
    found = {one: known[one] for one in _globals_of(value.__code__) if one in known}
    defaults = [value.__defaults__, value.__kwdefaults__]
    held = [value.__closure__, vars(value), found]
    return _Parts(name, [value.__code__, *defaults, *held])


def _is_imported(function: FunctionType) -> bool:
    """Tell whether `pickle` would store a function by its name only."""
    found: Any = sys.modules.get(function.__module__)
    for name in function.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is function and function.__module__ != "__main__"


def _globals_of(code: CodeType) -> Iterator[str]:
    """Yield the names of the global variables that code reads."""
    for instruction in dis.get_instructions(code):
        if instruction.opname == "LOAD_GLOBAL":
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _globals_of(constant)


@_take_apart.register(CodeType)
def _take_code_apart(value: CodeType) -> _Parts:
    # The file and the line numbers are left out: they say nothing of what code does.
    names = [value.co_names, value.co_varnames, value.co_freevars, value.co_cellvars]
    counts = [value.co_argcount, value.co_posonlyargcount, value.co_kwonlyargcount]
    rest = [value.co_code, value.co_consts, value.co_exceptiontable, value.co_flags]
    return _Parts("code", [*names, *counts, *rest])


@_take_apart.register(np.ndarray)
@_take_apart.register(np.generic)
def _take_array_apart(value: Any) -> _Parts:
    array = np.asarray(value)
    dtype, shape = array.dtype, array.shape
    if dtype.names is not None:
        # Each field is taken alone, because the bytes between fields may be anything.
        fields = [array[name] for name in dtype.names]
        return _Parts("array", [shape, dtype.names, fields])
    if dtype.hasobject or dtype.kind == "T":
        return _Parts("array", [shape, dtype.str, array.tolist()])
    flat = np.ascontiguousarray(array).reshape(-1)
    if dtype.char in "gG":
        flat = _without_padding(flat)
    held = flat.view(np.uint8).data if flat.nbytes else b""
    found = blake2b(held, digest_size=16)
    return _Parts(f"array {shape} {dtype.str} {found.hexdigest()}", [])


@_take_apart.register(np.ma.MaskedArray)
def _take_masked_apart(value: Any) -> _Parts:
    return _Parts("masked", [np.ma.getmaskarray(value), value.filled()])


def _without_padding(array: Any) -> Any:
    """Return the bytes of long doubles that hold values: 10 of 16 on x86.

    Parameters
    ----------
    array : ndarray of shape (n,)
        Long doubles, or complex numbers made of them.

    Returns
    -------
    ndarray of bytes
    """
    parts = array.astype(array.dtype.newbyteorder("=")).view(np.longdouble)
    used = 10 if np.finfo(np.longdouble).nmant == 63 else parts.itemsize
    each = parts.view(np.uint8).reshape(parts.size, parts.itemsize)
    return np.ascontiguousarray(each[:, :used]).reshape(-1)


def _name(named: Any) -> str:
    """Return the full name of a class or function."""
    return f"{named.__module__}.{named.__qualname__}"
