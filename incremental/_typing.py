"""Protocols, aliases and type variables for what the library is given."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol, TypeVar

import numpy as np

# The kinds of data have no type in common, and some are of packages that need not be
# installed. These names say what is meant all the same.

#: What has a row for each sample: a dask array, dataframe, series or bag, an object of
#: xarray, or data in memory (an array, sparse matrix, frame or list).
Data = Any
#: Data in memory: an array, sparse matrix, frame or list. Such as the X of one block.
Piece = Any
#: The type of the values of an array or of a column, of NumPy or of pandas.
Dtype = Any
#: The classes of a classifier: array-like, or a list of such for the columns of y.
Classes = Any
#: A number of blocks, or ``"auto"``.
Prefetch = int | str
#: What `sklearn.utils.check_random_state` takes.
RandomState = int | np.integer[Any] | np.random.RandomState | None


class Estimator(Protocol):
    """An estimator. Which methods it has beside these depends on its type."""

    def get_params(self, deep: bool = ...) -> dict[str, Any]:
        """Return its parameters by name."""
        ...

    def __getattr__(self, name: str) -> Any:
        """Return a method or a learned attribute."""
        ...

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a parameter or a learned attribute."""


class Scorer(Protocol):
    """A function that scores a fitted estimator, as `get_scorer` returns it."""

    def __call__(
        self, estimator: Estimator, X: Piece, y: Piece = ..., /, **params: Any
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
