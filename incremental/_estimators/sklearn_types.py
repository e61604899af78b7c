"""scikit-learn's classes as a type checker is to see them: it has no types itself.

A class that inherits from something untyped has every attribute to a type checker,
which would then find no misspelt method of ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from incremental._typing import Method

__all__ = [
    "BaseEstimator",
    "CallbackSupportMixin",
    "MetaEstimatorMixin",
    "available_if",
    "with_callbacks",
]

if TYPE_CHECKING:
    from typing import Self

    class BaseEstimator:
        """Has parameters."""

        def get_params(self, deep: bool = True) -> dict[str, Any]:
            """Return the parameters by name."""

        def set_params(self, **params: Any) -> Self:
            """Change parameters."""

        def __sklearn_tags__(self) -> Any:
            """Return the tags."""

    class MetaEstimatorMixin:
        """Marks an estimator that wraps another one."""

    class CallbackSupportMixin:
        """Has callbacks."""

        def set_callbacks(self, *callbacks: Any) -> Self:
            """Set the callbacks of a fit."""

    def available_if(check: Callable[[Any], bool]) -> Callable[[Method], Method]:
        """Let a method be there only where a check says so."""

    def with_callbacks(fit: Method) -> Method:
        """Let a fit set up and tear down its callbacks."""
else:
    from sklearn.base import BaseEstimator, MetaEstimatorMixin
    from sklearn.utils.metaestimators import available_if

    from incremental._estimators.older_sklearn import (
        CallbackSupportMixin,
        with_callbacks,
    )
