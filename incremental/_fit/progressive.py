"""`Progressive`: scores on batches that an estimator has not learned from yet."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning

from incremental._blocks.block import Block
from incremental._blocks.rows import n_rows
from incremental._predict.scorers import Scorers
from incremental._predict.scoring import score_in_memory
from incremental._typing import Estimator


class Tally(NamedTuple):
    """The scores of one scorer on the batches so far.

    Attributes
    ----------
    total : float
        The sum of the scores, each times the weight of its batch.
    weight : float
        The sum of these weights. A batch whose score is undefined is left out.
    """

    total: float = 0.0
    weight: float = 0.0

    def plus(self, other: Tally) -> Tally:
        """Return the tally of the batches of both."""
        return Tally(self.total + other.total, self.weight + other.weight)

    def since(self, before: Tally) -> float:
        """Return the mean score since an earlier tally; NaN if none was added."""
        weight = self.weight - before.weight
        return (self.total - before.total) / weight if weight else math.nan


@dataclass(frozen=True)
class Progressive:
    """A rule that scores an estimator on each batch before it learns from it.

    A score of the estimator's own takes ``sample_weight``, as far as it can, and then
    counts by the sum of the weights. Others count by the number of rows.

    Parameters
    ----------
    scorers : Scorers
    """

    scorers: Scorers

    def add(
        self, tallies: Sequence[Tally], estimator: Estimator, batch: Block
    ) -> tuple[Tally, ...]:
        """Return the tallies, in the order of the scorers, after one more batch.

        Parameters
        ----------
        tallies : sequence of Tally
            Empty before the first batch.
        estimator : estimator
            Fitted.
        batch : Block
            Rows that it has not learned from.
        """
        before = tallies or [Tally()] * len(self.scorers.by_name)
        found = self._score(estimator, batch)
        return tuple(
            one.plus(found.get(name, Tally()))
            for name, one in zip(self.scorers.by_name, before, strict=True)
        )

    def _score(self, estimator: Estimator, batch: Block) -> dict[str, Tally]:
        X, y, rows = batch["X"], batch.get("y"), float(n_rows(batch["X"]))
        own = [name for name, one in self.scorers.by_name.items() if one is None]
        others = {
            name: one for name, one in self.scorers.by_name.items() if one is not None
        }
        with warnings.catch_warnings():
            # R² of a single row is undefined; such a batch does not count.
            warnings.simplefilter("ignore", UndefinedMetricWarning)
            scores: dict[str, float] = {}
            if others:
                # They are as many as there are methods: each is called once.
                several = Scorers(others, next(iter(others)), several=True)
                scores = score_in_memory(several, estimator, X, y)
            found = {name: _tally(score, rows) for name, score in scores.items()}
            for name in own:
                weights, weight = _weights(estimator, batch), rows
                if weights:
                    weight = float(np.sum(weights["sample_weight"]))
                if weight:
                    data = (X,) if y is None else (X, y)
                    found[name] = _tally(estimator.score(*data, **weights), weight)
        return found

    def means(
        self, after: Sequence[Tally], before: Sequence[Tally]
    ) -> dict[str, float]:
        """Return what the record of a pass says of it.

        Parameters
        ----------
        after, before : sequence of Tally
            At the end of the pass, and at its beginning. Either may be empty.

        Returns
        -------
        dict of str to float
            The mean score by which passes are compared as ``"progressive_score"``.
            If there are several scorers, also that of each.
        """
        names = list(self.scorers.by_name)
        none = [Tally()] * len(names)
        means = {
            name: end.since(begin)
            for name, end, begin in zip(
                names, after or none, before or none, strict=True
            )
        }
        return {
            f"progressive_{name}": mean
            for name, mean in self.scorers.record(means).items()
        }


def _tally(score: Any, weight: float) -> Tally:
    score = float(score)
    return Tally() if math.isnan(score) else Tally(score * weight, weight)


def _weights(estimator: Estimator, batch: Block) -> Mapping[str, Any]:
    """Return the weights of a batch, if the estimator's own score takes any."""
    if "sample_weight" not in batch:
        return {}
    takes = "sample_weight" in inspect.signature(estimator.score).parameters
    return {"sample_weight": batch["sample_weight"]} if takes else {}
