"""`Parts`: how a bundle of independent estimators is fitted part by part."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any


class Parts(ABC):
    """How estimators of one type (bundles) divide into estimators (parts).

    Each part learns from all blocks, beside the others. The bundle joined from the
    parts must equal, bit by bit, what its own ``partial_fit`` would have made.
    """

    @abstractmethod
    def start(
        self,
        bundle: Any,
        params: Mapping[str, Any],
        row_wise: Collection[str],
        n_outputs: int,
    ) -> list[Any]:
        """Return the parts. Prepare the bundle for them if it is not fitted.

        Parameters
        ----------
        bundle : estimator
        params : dict
            Parameters of its ``partial_fit``, such as ``classes``.
        row_wise : collection of str
            The names of its parameters that have a value for each row.
        n_outputs : int
            How many columns y has.

        Returns
        -------
        list of estimator
            Empty if the bundle cannot be divided and has to learn as a whole.
        """

    @abstractmethod
    def targets(self, bundle: Any, y: Any) -> Any:
        """Return, in one object, what all parts learn from in place of y."""

    @abstractmethod
    def select(self, targets: Any, numbers: Sequence[int]) -> Iterator[Any]:
        """Yield the targets of the parts of some numbers, each of (n_samples,)."""

    @abstractmethod
    def params(self, params: Mapping[str, Any], number: int) -> dict[str, Any]:
        """Return the parameters of one part's ``partial_fit``."""

    @abstractmethod
    def join(self, bundle: Any, parts: list[Any]) -> None:
        """Put the fitted parts into their bundle."""
