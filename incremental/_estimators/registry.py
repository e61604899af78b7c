"""`TypeRegistry`: functions that are registered for types of estimators."""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatch
from typing import Any, TypeVar, overload

from incremental._typing import Estimator

Function = TypeVar("Function", bound=Callable[..., Any])


class TypeRegistry:
    """Functions by type, found for a type or the nearest of its bases.

    It works like ``functools.singledispatch``. In addition it tells for which base
    a function was registered.
    """

    def __init__(self) -> None:
        self._functions = singledispatch(_nothing)

    @overload
    def register(self, kind: type, function: Function) -> Function: ...
    @overload
    def register(self, kind: type) -> Callable[[Function], Function]: ...
    @overload
    def register(self, kind: Function) -> Function: ...
    def register(self, kind: Any, function: Any = None) -> Any:
        """Register a function for a type.

        Parameters
        ----------
        kind : type or function
            The type. Or, when used as a bare decorator, the function: the annotation
            of its first parameter gives the type.
        function : callable, optional
            The function, if `kind` is a type. Without it a decorator is returned.
        """
        return self._functions.register(kind, function)

    def find(self, kind: type) -> tuple[type, Any] | None:
        """Return the nearest registered base and its function; None without one."""
        known = self._functions.registry
        base = next(base for base in kind.__mro__ if base in known)
        return None if base is object else (base, known[base])


def _nothing(estimator: Estimator) -> None:
    return None
