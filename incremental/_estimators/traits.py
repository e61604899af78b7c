"""`traits_of`: what is known of estimators beyond what they declare."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, Literal

from incremental._estimators.parts import Parts
from incremental._estimators.registry import TypeRegistry
from incremental._typing import Estimator


@dataclass(frozen=True)
class Traits:
    """A record of what is known of an estimator. By default nothing is known.

    Each trait is about some methods of the estimator. A subclass, or an instance,
    that overrides one of these methods does not have the trait.

    Parameters
    ----------
    ignores_y : bool, default=False
        Its ``partial_fit`` learns nothing from y.
    cacheable : bool, default=False
        A block may be cut into parts that fit in the processor's cache. A state is
        learned from each, and these states merge in place of one learned from the
        whole block.
    row_local : bool, default=False
        Its ``transform`` yields the same bits for a row, whether it gets the whole
        array or only some rows of it.
    learns_row_by_row : bool, default=False
        Its ``partial_fit`` copies X in C order and takes one row after the other.
        So the result does not depend, in a single bit, on the memory layout of X.
    learns_in_type_of : str or None, default=None
        The name of a learned attribute. X must have its float type in all blocks
        after the first.
    parts : Parts or None, default=None
        The rule that divides it into estimators that learn independently. For a type
        without ``partial_fit`` it supplies one.
    fit_fresh : callable or None, default=None
        ``fit_fresh(estimator, X) -> bool`` fits an estimator that is not fitted, and
        whose states merge, as its ``partial_fit`` does but faster. It returns False,
        and leaves the estimator as it was, for an X that it does not take.
    least_rows : callable or None, default=None
        ``least_rows(estimator) -> int`` returns how many rows its first
        ``partial_fit`` needs. If None, a single row is enough. Not used if its
        states merge.
    score : {"sum", "mean"} or None, default=None
        Whether its own ``score`` is the sum or the mean of a score of each row, by
        the weights of the rows if it takes them. Then it is computed block by block.
    """

    ignores_y: bool = False
    cacheable: bool = False
    row_local: bool = False
    learns_row_by_row: bool = False
    learns_in_type_of: str | None = None
    parts: Parts | None = None
    fit_fresh: Callable[[Any, Any], bool] | None = None
    least_rows: Callable[[Any], int] | None = None
    score: Literal["sum", "mean"] | None = None


# The methods that each trait is about. A trait not listed holds for all subclasses.
_METHODS: dict[str, tuple[str, ...]] = {
    "ignores_y": ("partial_fit",),
    "cacheable": ("partial_fit",),
    "row_local": ("transform",),
    # scikit-learn's SGD models do the work in `_partial_fit`.
    "learns_row_by_row": ("partial_fit", "_partial_fit"),
    # A rule may supply a `partial_fit` that does what `fit` does.
    "parts": ("partial_fit", "fit"),
    "fit_fresh": ("partial_fit",),
    "least_rows": ("partial_fit",),
    "score": ("score", "score_samples"),
}


# The modules of scikit-learn whose estimators are not registered yet.
_to_register = {
    "sklearn.cluster",
    "sklearn.covariance",
    "sklearn.decomposition",
    "sklearn.dummy",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.mixture",
    "sklearn.multiclass",
    "sklearn.multioutput",
    "sklearn.neighbors",
    "sklearn.preprocessing",
}


class TraitsTable(TypeRegistry):
    """A function that returns the `Traits` of an estimator, by its type.

    Register a function for another type with `register`, as with
    ``functools.singledispatch``. The function takes an estimator of the type and
    returns its `Traits`.

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
    """Tell whether an estimator overrides a method.

    Parameters
    ----------
    estimator : estimator
    known : type
        The class of the estimator, or a base of it, for which traits are registered.
    method : str
        The name of the method.
    """
    return method in vars(estimator) or _defined(
        type(estimator), method
    ) is not _defined(known, method)


def _defined(kind: type, method: str) -> Any:
    # `getattr` would return a new function each time for `available_if` methods.
    return next((vars(k)[method] for k in kind.__mro__ if method in vars(k)), None)


def partial_fit_of(estimator: Estimator) -> Callable[..., Any] | None:
    """Return the function with which an estimator learns from a block.

    It is its ``partial_fit``, or what the rule for its parts supplies; None without
    either.
    """
    own: Callable[..., Any] | None = getattr(estimator, "partial_fit", None)
    parts = traits_of(estimator).parts if own is None else None
    return own if parts is None else parts.learner(estimator)


def has_callbacks(estimator: object) -> bool:
    """Tell whether an estimator has callbacks that its fit has to call."""
    return bool(getattr(estimator, "_skl_callbacks", None))


def _register_scikit_learns() -> None:
    # The modules are not imported, because that takes longer than importing the rest of
    # the package. If a module is not loaded, no object can be of its classes.
    for module in tuple(_to_register):
        if module in sys.modules:
            table = import_module("incremental._estimators.sklearn_traits")
            if table.register(module):
                _to_register.discard(module)
