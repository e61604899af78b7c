"""`TypeRegistry`: functions by the type of estimator that they are for."""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatch
from typing import Any, TypeVar, overload

from incremental._typing import Estimator

Function = TypeVar("Function", bound=Callable[..., Any])


class TypeRegistry:
    """Functions by type, found for a type or the nearest of its bases.

    As ``functools.singledispatch`` has them, but that it says which base it was.
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
            A function, as a decorator gets it, says by the annotation of its first
            parameter for which type it is.
        function : callable, optional
            What to register, if `kind` is a type; a decorator is returned without it.
        """
        return self._functions.register(kind, function)

    def find(self, kind: type) -> tuple[type, Any] | None:
        """Return the nearest base of a type that has a function, and that function."""
        known = self._functions.registry
        base = next(base for base in kind.__mro__ if base in known)
        return None if base is object else (base, known[base])

    def __contains__(self, kind: type) -> bool:
        return kind in self._functions.registry


def _nothing(estimator: Estimator) -> None:
    return None
