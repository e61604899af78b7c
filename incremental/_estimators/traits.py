"""`traits_of`: what is known of estimators beyond what they declare."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from importlib import import_module
from inspect import getattr_static
from typing import Any

from incremental._estimators.parts import Parts
from incremental._estimators.registry import TypeRegistry
from incremental._typing import Estimator


@dataclass(frozen=True)
class Traits:
    """What is known of an estimator. By default nothing is.

    Each trait speaks of some methods: it does not hold for a subclass, or an estimator,
    that has others of these names.

    Parameters
    ----------
    ignores_y : bool, default=False
        Its ``partial_fit`` learns nothing from y.
    cacheable : bool, default=False
        Its states, learned from parts of a block and merged, are as good as the one
        learned from the block: a block may be cut to fit in the processor's cache.
    row_local : bool, default=False
        What its ``transform`` yields for some rows of an array is, bit by bit, the same
        rows of what it yields for all.
    learns_row_by_row : bool, default=False
        Its ``partial_fit`` takes one row after the other, from a copy in C order: how X
        lies in memory makes no difference, not by a bit.
    learns_in_type_of : str or None, default=None
        The learned attribute whose float type later blocks have to have.
    parts : Parts or None, default=None
        How its ``partial_fit`` divides among estimators that learn independently.
    """

    ignores_y: bool = False
    cacheable: bool = False
    row_local: bool = False
    learns_row_by_row: bool = False
    learns_in_type_of: str | None = None
    parts: Parts | None = None


# The methods that each trait speaks of; a trait without any holds for all subclasses.
_METHODS: dict[str, tuple[str, ...]] = {
    "ignores_y": ("partial_fit",),
    "cacheable": ("partial_fit",),
    "row_local": ("transform",),
    # scikit-learn's own SGD models share a method below it.
    "learns_row_by_row": ("partial_fit", "_partial_fit"),
    "parts": ("partial_fit",),
}


# The modules of scikit-learn that have estimators with traits.
_WITH_TRAITS = (
    "sklearn.cluster",
    "sklearn.linear_model",
    "sklearn.multiclass",
    "sklearn.multioutput",
    "sklearn.preprocessing",
)


class TraitsTable(TypeRegistry):
    """The traits of types of estimators; called with an estimator it returns them.

    Register another type with `register`, as with ``functools.singledispatch``: with a
    function that returns the `Traits` of an estimator of that type.

    Examples
    --------
    >>> from sklearn.preprocessing import MinMaxScaler
    >>> from incremental import Traits, traits_of
    >>> traits_of(MinMaxScaler()).row_local
    True

    A type of one's own:

    >>> from sklearn.base import BaseEstimator
    >>> class Clip(BaseEstimator):
    ...     def transform(self, X):
    ...         return X.clip(0, 1)
    >>> @traits_of.register
    ... def traits_of_clip(estimator: Clip) -> Traits:
    ...     return Traits(row_local=True)
    >>> traits_of(Clip()).row_local
    True
    >>> class Scale(Clip):
    ...     def transform(self, X):
    ...         return X / X.max()
    >>> traits_of(Scale()).row_local
    False
    """

    def __call__(self, estimator: Estimator) -> Traits:
        """Return what is known of an estimator.

        Parameters
        ----------
        estimator : estimator

        Returns
        -------
        Traits
        """
        _register_scikit_learns()
        registered = self.find(type(estimator))
        if registered is None:
            return _NONE
        known, function = registered
        found: Traits = function(estimator)
        others = [
            name
            for name, methods in _METHODS.items()
            if any(_is_other(estimator, known, method) for method in methods)
        ]
        return replace(found, **{name: getattr(_NONE, name) for name in others})


_NONE = Traits()
traits_of = TraitsTable()


def _is_other(estimator: Estimator, known: type, method: str) -> bool:
    # Not by `getattr`, which makes a new function of what `available_if` decorates.
    own, its = (getattr_static(kind, method, None) for kind in (type(estimator), known))
    return own is not its or method in vars(estimator)


def has_callbacks(estimator: Any) -> bool:
    """Tell whether an estimator has callbacks that its fit has to call."""
    return bool(getattr(estimator, "_skl_callbacks", None))


def _register_scikit_learns() -> None:
    # Not imported, because that costs more than the rest of the package: nothing can
    # be of a type that is not loaded.
    for module in _WITH_TRAITS:
        if module in sys.modules:
            table = import_module("incremental._estimators.sklearn_traits")
            table.register(module)
