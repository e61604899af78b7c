"""`Parts`: how a bundle of independent estimators learns part by part."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any


class Parts(ABC):
    """How the ``partial_fit`` of a type of estimators divides among others.

    The parts learn beside each other, each from all blocks. The bundle that they make
    has to be, bit by bit, the one that its own ``partial_fit`` makes.
    """

    @abstractmethod
    def start(
        self, bundle: Any, params: Mapping[str, Any], n_outputs: int
    ) -> list[Any]:
        """Return the parts, and make the bundle ready for them if it is not fitted.

        Parameters
        ----------
        bundle : estimator
        params : dict
            Parameters of its ``partial_fit``, such as ``classes``.
        n_outputs : int
            How many columns y has.

        Returns
        -------
        list of estimator
            Empty if it cannot be divided, so that it has to learn as a whole.
        """

    @abstractmethod
    def targets(self, bundle: Any, y: Any) -> Any:
        """Return what the parts learn from for the rows of a block, in one object."""

    @abstractmethod
    def target(self, targets: Any, number: int) -> Any:
        """Return what one part learns from, of shape (n_samples,)."""

    @abstractmethod
    def params(self, params: Mapping[str, Any], number: int) -> dict[str, Any]:
        """Return the parameters of one part's ``partial_fit``."""

    @abstractmethod
    def join(self, bundle: Any, parts: list[Any]) -> None:
        """Put parts that have learned into their bundle."""
