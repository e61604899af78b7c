"""Schedules of searches: tables that say when candidates are scored and who goes on."""

from __future__ import annotations

from typing import Any, NamedTuple


class Rung(NamedTuple):
    """A point at which the candidates of a bracket are scored.

    Attributes
    ----------
    calls : int
        How many blocks each of them has learned from by then.
    keep : int or None
        How many of them go on; None if all do, 0 if it is the end.
    """

    calls: int
    keep: int | None


class Bracket(NamedTuple):
    """Candidates that compete with each other.

    Attributes
    ----------
    number : int
    n_models : int
        How many candidates begin.
    rungs : list of Rung
        In the order of their calls. The last one keeps none.
    """

    number: int
    n_models: int
    rungs: list[Rung]

    @property
    def n_calls(self) -> int:
        """How often candidates learn from a block, summed over all candidates."""
        total, before, alive = 0, 0, self.n_models
        for calls, keep in self.rungs:
            total, before = total + alive * (calls - before), calls
            alive = alive if keep is None else min(keep, alive)
        return total


def without_cuts(n_models: int, max_iter: int) -> Bracket:
    """Return a schedule in which all candidates take the same number of blocks."""
    return Bracket(0, n_models, [Rung(max_iter, 0)])


def halving(
    n_models: int,
    first: int,
    max_iter: int | None,
    aggressiveness: int,
    number: int = 0,
) -> Bracket:
    """Return a schedule that keeps the best of the candidates at each rung.

    Parameters
    ----------
    n_models : int
    first : int
        How many blocks a candidate has learned from at the first rung. At each later
        rung there are `aggressiveness` times as many, but at most `max_iter`.
    max_iter : int or None
        How many blocks a candidate takes at most; None if there is no limit.
    aggressiveness : int
        Of so many candidates one goes on, at each rung but the last.
    number : int
        The number of the bracket.
    """
    rungs: list[Rung] = []
    calls, keep = first, n_models // aggressiveness
    while keep and (max_iter is None or calls < max_iter):
        rungs.append(Rung(calls, keep))
        calls, keep = calls * aggressiveness, keep // aggressiveness
    last = calls if max_iter is None else min(calls, max_iter)
    return Bracket(number, n_models, [*rungs, Rung(last, 0)])


def hyperband(max_iter: int, aggressiveness: int) -> list[Bracket]:
    """Return the brackets of Hyperband, from the most adaptive to the least.

    References
    ----------
    Li, Jamieson, DeSalvo, Rostamizadeh and Talwalkar (2018). Hyperband: A novel
    bandit-based approach to hyperparameter optimization. JMLR 18 (185).
    """
    most = 0
    while aggressiveness ** (most + 1) <= max_iter:
        most += 1
    return [
        halving(
            -(-(most + 1) * aggressiveness**number // (number + 1)),
            max_iter // aggressiveness**number,
            max_iter,
            aggressiveness,
            number,
        )
        for number in range(most, -1, -1)
    ]


def scored_every(bracket: Bracket, calls: int) -> Bracket:
    """Return a bracket whose candidates are scored more often, without more cuts."""
    own = {rung.calls: rung for rung in bracket.rungs}
    more = range(calls, bracket.rungs[-1].calls, calls)
    rungs = {**{at: Rung(at, None) for at in more}, **own}
    return bracket._replace(rungs=[rungs[at] for at in sorted(rungs)])


def describe(brackets: list[Bracket]) -> dict[str, Any]:
    """Return how much work a schedule is, in the form of ``metadata``."""
    return {
        "n_models": sum(one.n_models for one in brackets),
        "partial_fit_calls": sum(one.n_calls for one in brackets),
        "brackets": [
            {
                "bracket": one.number,
                "n_models": one.n_models,
                "partial_fit_calls": one.n_calls,
                "decisions": [rung.calls for rung in one.rungs],
            }
            for one in brackets
        ],
    }
