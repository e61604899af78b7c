"""`Parts`: how a bundle of independent estimators is fitted part by part."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from incremental._typing import Estimator, Piece


class Parts(ABC):
    """A rule that divides estimators of one type (bundles) into estimators (parts).

    An instance serves all bundles of the type and keeps nothing about them. Each part
    learns from all blocks, beside the other parts. The bundle joined from the parts
    must equal, bit by bit, what its own ``partial_fit`` would have made.
    """

    @abstractmethod
    def start(
        self,
        bundle: Estimator,
        params: Mapping[str, Any],
        row_wise: Collection[str],
        n_outputs: int,
    ) -> list[Estimator]:
        """Return the parts of a bundle. Prepare the bundle if it is not fitted.

        Parameters
        ----------
        bundle : estimator
            The estimator to divide. It may be changed.
        params : dict
            Parameters of its ``partial_fit`` that have no entry for each row, such as
            ``classes``.
        row_wise : collection of str
            The names of the parameters that have an entry for each row, such as
            ``sample_weight``.
        n_outputs : int
            How many columns y has.

        Returns
        -------
        list of estimator
            Empty if the bundle cannot be divided and has to learn as a whole. The
            number of a part is its index in this list.
        """

    @abstractmethod
    def targets(self, bundle: Estimator, y: Piece) -> Piece:
        """Return, in one object, the targets of all parts for one block.

        Parameters
        ----------
        bundle : estimator
            The bundle after `start`. Its parts may be missing.
        y : array or frame of shape (n_samples,) or (n_samples, n_outputs)
            The y of a block that has rows.

        Returns
        -------
        array or sparse matrix of n_samples rows
            What travels with the rows of the block, and what `select` gets.
        """

    @abstractmethod
    def select(
        self,
        X: Piece,
        targets: Piece,
        numbers: Sequence[int],
        params: Mapping[str, Any],
    ) -> Iterator[tuple[Piece, Piece]]:
        """Yield the X and the y that the parts of some numbers learn from.

        Parameters
        ----------
        X : array or frame of shape (n_samples, n_features)
            The X of a batch.
        targets : array or sparse matrix of n_samples rows
            As `targets` returned it, for the rows of the batch.
        numbers : sequence of int
        params : dict
            The parameters of the bundle, as for `start`.

        Yields
        ------
        X, y : array or frame
            As many rows of both. A part that gets none learns nothing from the batch.
        """

    @abstractmethod
    def params(
        self, params: Mapping[str, Any], number: int, part: Estimator
    ) -> dict[str, Any]:
        """Return the parameters of one part's ``partial_fit``.

        Parameters
        ----------
        params : dict
            The parameters of the bundle, as for `start`.
        number : int
            The number of the part.
        part : estimator

        Returns
        -------
        dict
            Without parameters that have an entry for each row.
        """

    @abstractmethod
    def join(self, bundle: Estimator, parts: list[Estimator]) -> None:
        """Put the parts into their bundle, which is changed.

        Parameters
        ----------
        bundle : estimator
            The bundle after `start`.
        parts : list of estimator
            All parts, in the order of their numbers, after they have learned.
        """

    def learner(self, bundle: Estimator) -> Callable[..., Any] | None:
        """Return how a bundle learns as a whole from a block: its ``partial_fit``.

        None if it cannot. A rule for a type without ``partial_fit`` supplies one.
        """
        return getattr(bundle, "partial_fit", None)

    def check(self, bundle: Estimator) -> None:  # noqa: B027
        """Check that a bundle can learn block by block, if that depends on its parts.

        Raises
        ------
        TypeError, ValueError
            If it cannot.
        """
