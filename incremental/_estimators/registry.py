"""`TypeRegistry`: functions that are registered for types of estimators."""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatch
from importlib import import_module
from typing import Any, TypeVar, overload

from incremental._typing import Estimator

Function = TypeVar("Function", bound=Callable[..., Any])


class TypeRegistry:
    """A table of functions by the type of the estimator that they are for.

    It works like ``functools.singledispatch``: if a type has no function, that of its
    nearest base is found. In addition it tells which base that is.

    Parameters
    ----------
    entries : str, optional
        The name of a module that registers functions when it is imported. The first
        search imports it, because that takes longer than importing the rest of the
        package.
    """

    def __init__(self, entries: str | None = None) -> None:
        self._functions = singledispatch(_nothing)
        self._entries = entries

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
            The function, if `kind` is a type.

        Returns
        -------
        callable
            The function. If `kind` is a type and there is no function, a decorator.
        """
        return self._functions.register(kind, function)

    def find(self, kind: type) -> tuple[type, Any] | None:
        """Find the function for a type.

        Parameters
        ----------
        kind : type
            The type of an estimator.

        Returns
        -------
        tuple of type and function, or None
            The type itself, or the nearest of its bases, for which a function is
            registered; and that function. None if there is none.
        """
        if self._entries is not None:
            import_module(self._entries)
        known = self._functions.registry
        base = next(base for base in kind.__mro__ if base in known)
        return None if base is object else (base, known[base])

    def learns_as_registered(self, estimator: Estimator) -> bool:
        """Tell whether an estimator learns as the function for its type expects.

        Parameters
        ----------
        estimator : estimator

        Returns
        -------
        bool
            True if a function is registered for the type, or for a base of it whose
            ``partial_fit`` the type inherits.
        """
        kind: Any = type(estimator)
        found: Any = self.find(kind)
        return found is not None and kind.partial_fit is found[0].partial_fit


def _nothing(estimator: Estimator) -> None:
    return None
