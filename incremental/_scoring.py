"""Scores of predictions made in parallel, without gathering the data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any, NamedTuple

import dask
import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.frozen import FrozenEstimator

from incremental._blocks import Blocks, align, is_lazy, n_rows
from incremental._chain import map_blocks, scheduler
from incremental._compose import last_step


def as_scorer(scoring: Any) -> Callable[..., float]:
    """Return the scorer that has a name, or the callable that is one.

    Raises
    ------
    TypeError
        If it is neither.
    """
    if isinstance(scoring, str):
        from sklearn.metrics import get_scorer

        return get_scorer(scoring)  # type: ignore[no-any-return]
    if not callable(scoring):
        raise TypeError(
            f"scoring must be the name of a scorer, a callable or None, got "
            f"{scoring!r}."
        )
    return scoring  # type: ignore[no-any-return]


def score_by_block(estimator: Any, X: Any, y: Any, sample_weight: Any = None) -> float:
    """Score a fitted estimator as its own ``score`` does, block by block.

    Parameters
    ----------
    estimator : estimator
        Fitted; a classifier is scored by its accuracy, a regressor by R².
    X : dask array or dataframe of shape (n_samples, n_features)
    y : array or frame of shape (n_samples,) or (n_samples, n_outputs)
    sample_weight : array or frame of shape (n_samples,), optional

    Returns
    -------
    float

    Raises
    ------
    TypeError
        If the estimator has a ``score`` of its own.
    ValueError
        If y is missing or there are no rows.
    """
    if y is None:
        raise ValueError("score requires y to be passed, but y is None.")
    rows = {"X": X, "y": y, "sample_weight": sample_weight}
    blocks = align({name: value for name, value in rows.items() if value is not None})
    return score_blocks(estimator, blocks)


def score_blocks(
    estimator: Any, blocks: Blocks, order: Sequence[int] | None = None
) -> float:
    """Score a fitted estimator as its own ``score`` does, on blocks.

    Parameters
    ----------
    estimator : estimator
    blocks : Blocks
        Of X, y and perhaps ``sample_weight``.
    order : sequence of int, optional
        Positions of the blocks; all of them by default.

    Returns
    -------
    float

    Raises
    ------
    TypeError
        If the estimator has a ``score`` of its own.
    ValueError
        If there are no rows.
    """
    partial_score, finish = score_of(estimator)
    parts = map_blocks(
        blocks,
        partial(_score_block, blocks.names, estimator, partial_score),
        get=scheduler(),
        name="score",
        order=order,
    )
    parts = [part for part in parts if part is not None]
    if not parts:
        raise ValueError("X has no rows in any block; expected at least one.")
    return float(finish(parts))


def score_gathered(
    scorer: Callable[..., float], wrapper: Any, X: Any, y: Any, **params: Any
) -> float:
    """Call a scorer on predictions made in parallel; they and y are gathered.

    Parameters
    ----------
    scorer : callable
        ``scorer(estimator, X, y, **params)``.
    wrapper : estimator
        Whose methods are lazy.
    X : dask array or dataframe of shape (n_samples, n_features)
        Never computed, unless the scorer itself does it.
    y : array or frame of shape (n_samples,) or (n_samples, n_outputs), or None
    **params
        Row-wise ones are gathered too.
    """
    lazy = {name: value for name, value in params.items() if is_lazy(value)}
    y, gathered = dask.compute(y, lazy)
    return scorer(_Gathered(wrapper), X, y, **{**params, **gathered})


def score_held_out(
    scorer: Callable[..., float], estimator: Any, blocks: Blocks, order: Sequence[int]
) -> float:
    """Call a scorer on predictions for some blocks; they and y are gathered.

    Parameters
    ----------
    scorer : callable
        ``scorer(estimator, X, y)``. X is None: it is not gathered.
    estimator : estimator
        Fitted.
    blocks : Blocks
        Of X and perhaps y.
    order : sequence of int
        Positions of the blocks.
    """
    on_blocks = _OnBlocks(estimator, blocks, order)
    responses = [name for name in _RESPONSES if hasattr(estimator, name)]
    gathered = on_blocks.gather(responses)
    return float(scorer(on_blocks, None, gathered.get("y")))


# What scorers ask for, to gather it in the one read that y takes.
_RESPONSES = ("predict", "predict_proba", "decision_function")


class _OnBlocks:
    """An estimator whose methods return their output for blocks, whatever X is."""

    def __init__(self, estimator: Any, blocks: Blocks, order: Sequence[int]) -> None:
        self._estimator = estimator
        self._blocks = blocks
        self._order = order
        self._gathered: dict[str, Any] = {}

    def gather(self, methods: list[str]) -> dict[str, Any]:
        """Gather y and the output of methods."""
        respond = partial(_respond, self._blocks.names, self._estimator, methods)
        parts = map_blocks(
            self._blocks, respond, get=scheduler(), name="score", order=self._order
        )
        parts = [part for part in parts if part is not None]
        if not parts:
            raise ValueError("X has no rows in any block; expected at least one.")
        for name in parts[0]:
            several = [part[name] for part in parts]
            self._gathered[name] = (
                [np.concatenate(outputs) for outputs in zip(*several, strict=True)]
                if isinstance(several[0], list)
                else np.concatenate(several)
            )
        return self._gathered

    def score(self, X: Any = None, y: Any = None, sample_weight: Any = None) -> float:
        """Score the estimator as its own ``score`` does."""
        return score_blocks(self._estimator, self._blocks, self._order)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._estimator, name)
        if name.startswith("_") or not callable(value):
            return value

        @wraps(value)
        def gathered(X: Any) -> Any:
            if name not in self._gathered:
                self.gather([name])
            return self._gathered[name]

        return gathered


def _respond(
    names: tuple[str, ...], estimator: Any, methods: list[str], *pieces: Any
) -> Any:
    block = dict(zip(names, pieces, strict=True))
    if n_rows(block["X"]) == 0:
        return None
    found = {name: getattr(estimator, name)(block["X"]) for name in methods}
    return {**found, "y": np.asarray(block["y"])} if "y" in block else found


def gathered_methods(wrapper: Any) -> dict[str, Callable[..., Any]]:
    """Return those methods that scorers call, returning what they do, computed.

    Parameters
    ----------
    wrapper : estimator
        Fitted; its methods are lazy.
    """
    gathered = _Gathered(wrapper)
    names = ("predict", "predict_proba", "predict_log_proba", "decision_function")
    return {name: getattr(gathered, name) for name in names if hasattr(wrapper, name)}


class _Gathered:
    """An estimator whose methods return what the wrapper's would, computed."""

    def __init__(self, wrapper: Any) -> None:
        self._wrapper = wrapper

    def __getattr__(self, name: str) -> Any:
        if name == "score":
            return partial(score_by_block, self._wrapper._fitted_estimator())
        value = getattr(self._wrapper, name)
        if name.startswith("_") or not callable(value):
            return value

        @wraps(value)
        def compute(*args: Any, **params: Any) -> Any:
            return dask.compute(value(*args, **params))[0]

        return compute


def score_of(estimator: Any) -> tuple[Callable[..., Any], Callable[..., float]]:
    """Return what to compute of each block for a score, and what makes it of that.

    Raises
    ------
    TypeError
        If the estimator has a ``score`` of its own.
    """
    estimator = last_step(estimator)
    while isinstance(estimator, FrozenEstimator):
        estimator = last_step(estimator.estimator)
    score = getattr(type(estimator), "score", None)
    if score is ClassifierMixin.score:
        return _count_correct, _accuracy
    if score is RegressorMixin.score:
        return Moments.of, _r2
    raise TypeError(
        f"{type(estimator).__name__} has a `score` of its own, which is not computed "
        "block by block. Pass `scoring`, a name or a callable as scikit-learn's "
        "`get_scorer` takes, or call `estimator_.score` on data in memory."
    )


def _score_block(
    names: tuple[str, ...], estimator: Any, score: Callable[..., Any], *pieces: Any
) -> Any:
    block = dict(zip(names, pieces, strict=True))
    rows = n_rows(block["X"])
    if rows == 0:
        return None
    predicted = estimator.predict(block["X"])
    return score(block["y"], predicted, block.get("sample_weight"))


def _count_correct(y: Any, predicted: Any, weight: Any) -> tuple[float, float]:
    from sklearn.metrics import accuracy_score

    correct = accuracy_score(y, predicted, normalize=False, sample_weight=weight)
    return correct, len(predicted) if weight is None else np.sum(np.asarray(weight))


def _accuracy(parts: list[tuple[float, float]]) -> float:
    correct, total = np.sum(np.asarray(parts, dtype=float), axis=0)
    return float(correct / total)


class Moments(NamedTuple):
    """What R² needs of some rows; moments merge by Chan's formula.

    References
    ----------
    Chan, Golub and LeVeque (1982). Updating formulae and a pairwise algorithm for
    computing sample variances. COMPSTAT 1982.
    """

    rows: int
    weight: float
    mean: Any
    total: Any
    residual: Any

    @classmethod
    def of(cls, y: Any, predicted: Any, weight: Any) -> Moments:
        """Compute the moments of the rows of a block."""
        y, predicted = (
            np.asarray(a, dtype=float).reshape(len(a), -1) for a in (y, predicted)
        )
        w = np.ones(len(y)) if weight is None else np.asarray(weight, dtype=float)
        mean = np.average(y, axis=0, weights=w) if w.any() else np.zeros(y.shape[1])
        total, residual = w @ (y - mean) ** 2, w @ (y - predicted) ** 2
        return cls(len(y), w.sum(), mean, total, residual)

    def merge(self, other: Moments) -> Moments:
        """Return the moments of the rows of both."""
        weight = self.weight + other.weight
        delta = other.mean - self.mean
        share = other.weight / weight if weight else 0.0
        return Moments(
            self.rows + other.rows,
            weight,
            self.mean + delta * share,
            self.total + other.total + delta**2 * self.weight * share,
            self.residual + other.residual,
        )


def _r2(parts: list[Moments]) -> float:
    import warnings

    from sklearn.exceptions import UndefinedMetricWarning

    first, *others = parts
    for part in others:
        first = first.merge(part)
    if first.rows < 2:
        warnings.warn(
            "R^2 score is not well-defined with less than two samples.",
            UndefinedMetricWarning,
            stacklevel=2,
        )
        return float("nan")
    # A constant y has no variance to explain: scikit-learn scores 1 for predictions
    # that are exact and 0 for others.
    constant = np.where(first.residual == 0, 1.0, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = np.where(first.total == 0, constant, 1 - first.residual / first.total)
    return float(np.mean(scores))
