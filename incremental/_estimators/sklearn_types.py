"""scikit-learn's classes, with types for a type checker.

scikit-learn has no types. A type checker believes that a class which inherits from an
untyped one has every attribute. It would miss each misspelt method of this library.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from incremental._typing import Method

__all__ = [
    "BaseCrossValidator",
    "BaseEstimator",
    "CallbackSupportMixin",
    "MetaEstimatorMixin",
    "available_if",
    "with_callbacks",
]

if TYPE_CHECKING:
    from typing import Self

    class BaseCrossValidator:
        """A splitter."""

    class BaseEstimator:
        """An object with parameters."""

        def get_params(self, deep: bool = True) -> dict[str, Any]:
            """Return the parameters by name."""

        def set_params(self, **params: Any) -> Self:
            """Change parameters."""

        def __sklearn_tags__(self) -> Any:
            """Return the tags."""

    class MetaEstimatorMixin:
        """An estimator that wraps another one."""

    class CallbackSupportMixin:
        """An estimator that takes callbacks."""

        def set_callbacks(self, *callbacks: Any) -> Self:
            """Set the callbacks of a fit."""

    def available_if(check: Callable[[Any], bool]) -> Callable[[Method], Method]:
        """Make a method available only if a check passes."""

    def with_callbacks(fit: Method) -> Method:
        """Make a ``fit`` set up its callbacks and tear them down."""
else:
    from sklearn.base import BaseEstimator, MetaEstimatorMixin
    from sklearn.model_selection import BaseCrossValidator
    from sklearn.utils.metaestimators import available_if

    from incremental._estimators.older_sklearn import (
        CallbackSupportMixin,
        with_callbacks,
    )
