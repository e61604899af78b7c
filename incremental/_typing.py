"""Protocols and type variables for what the library is given."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol, TypeVar


class Estimator(Protocol):
    """An estimator. Which methods it has beside these depends on its type."""

    def get_params(self, deep: bool = ...) -> dict[str, Any]:
        """Return its parameters by name."""
        ...

    def __getattr__(self, name: str) -> Any:
        """Return a method or a learned attribute."""
        ...


class Scorer(Protocol):
    """A function that scores a fitted estimator, as `get_scorer` returns it."""

    def __call__(
        self, estimator: Estimator, X: Any, y: Any = ..., /, **params: Any
    ) -> Any:
        """Return the score."""
        ...


#: The name of a scorer, a scorer, or None for the estimator's own score.
OneScoring = str | Scorer | None

#: The same, or several of them.
Scoring = OneScoring | Collection[str] | Mapping[str, OneScoring]

EstimatorT = TypeVar("EstimatorT")
Method = TypeVar("Method", bound=Callable[..., Any])
State = TypeVar("State")
