"""`Scorers`: what `scoring` may be, checked before anything is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from incremental._typing import Scorer, Scoring

_KINDS = (
    "the name of a scorer, a callable, a list, tuple or set of names, a dict of names "
    "to scorers, or None"
)


@dataclass(frozen=True)
class Scorers:
    """One scorer, or several by their names.

    Attributes
    ----------
    by_name : dict of str to callable or None
        None stands for the estimator's own score. A single scorer is named
        ``"score"``.
    main : str
        The name of the scorer that decides where one number is needed.
    several : bool
        Whether the user gave several, perhaps a list of one.
    """

    by_name: Mapping[str, Scorer | None]
    main: str
    several: bool

    def as_asked(self, scores: Mapping[str, Any]) -> Any:
        """Return a dict of scores if several were asked for, else the score."""
        return dict(scores) if self.several else scores[self.main]

    def record(self, scores: Mapping[str, float]) -> dict[str, float]:
        """Return the score that decides as ``"score"``, and all by their names."""
        return {"score": scores[self.main], **(scores if self.several else {})}


def as_scorers(scoring: Scoring, refit: str | None = None) -> Scorers:
    """Return the scorers that `scoring` stands for.

    Parameters
    ----------
    scoring : str, callable, list, tuple, set, dict or None
        As for `ParallelPostFit`.
    refit : str, optional
        The name of the scorer that decides. By default the first. A set is put in the
        order of its names.

    Returns
    -------
    Scorers

    Raises
    ------
    TypeError
        If `scoring` or a value of the dict is of another kind.
    ValueError
        If there is no scorer of a name, if a name occurs twice, if there are none, or
        if a callable is a metric and no scorer. Also if `refit` is none of the names.
    """
    if isinstance(scoring, Mapping):
        found = _checked(scoring, list(scoring))
        by_name = {name: _one(scoring[name], f" of {name!r}") for name in found}
    elif isinstance(scoring, list | tuple | set | frozenset):
        ordered = isinstance(scoring, list | tuple)
        by_name = {
            name: _one(name)
            for name in _checked(scoring, scoring if ordered else list(scoring))
        }
        if not ordered:
            by_name = {name: by_name[name] for name in sorted(by_name)}
    else:
        _check_refit(refit, [], scoring)
        return Scorers({"score": _one(scoring)}, "score", several=False)
    _check_refit(refit, list(by_name), scoring)
    return Scorers(by_name, refit or next(iter(by_name)), several=True)


def _checked(scoring: Any, names: Any) -> list[str]:
    """Return the names of several scorers, if they can be that."""
    if not names:
        raise ValueError(
            f"scoring must name at least one scorer, got {scoring!r}. Pass None for "
            "the estimator's own score."
        )
    for name in names:
        if isinstance(name, str):
            continue
        error = ValueError if callable(name) else TypeError
        raise error(
            f"scoring must hold names of scorers, got {name!r} in {scoring!r}. Pass "
            "a dict such as {'mine': scorer} for scorers that are callables."
        )
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(
            f"scoring must name each scorer once, got {scoring!r} with "
            f"{', '.join(sorted(map(repr, twice)))} more than once."
        )
    return list(names)


def _one(scoring: Any, whose: str = "") -> Scorer | None:
    """Return the scorer of that name, or the callable itself.

    Raises
    ------
    TypeError
        If it is neither a text nor callable nor None.
    ValueError
        If there is no scorer of that name, or if a callable is a metric.
    """
    from sklearn.metrics import check_scoring, get_scorer

    if scoring is None:
        return None
    if isinstance(scoring, str):
        return get_scorer(scoring)  # type: ignore[no-any-return]
    if not callable(scoring):
        raise TypeError(f"scoring{whose} must be {_KINDS}, got {scoring!r}.")
    # It tells metrics from scorers.
    return check_scoring(scoring=scoring)  # type: ignore[no-any-return]


def _check_refit(refit: Any, names: list[str], scoring: Any) -> None:
    if refit is None or (isinstance(refit, str) and refit in names):
        return
    expected = f"one of {', '.join(map(repr, names))}" if names else "None"
    raise ValueError(
        f"refit must be the name of the scorer that decides, here {expected}, since "
        f"scoring={scoring!r}; got {refit!r}."
    )
