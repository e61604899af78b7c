"""`ByBlock`: scores that are made of what is known of each block.

This is the only module that reads private state of scikit-learn's scorers:
``_score_func``, ``_kwargs``, ``_sign`` and ``_response_method``. They say which metric
a scorer computes, and which methods it calls. Tested with scikit-learn 1.6 and 1.9.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Container, Mapping
from functools import partial, wraps
from typing import Any, NamedTuple

from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.frozen import FrozenEstimator

from incremental._estimators.composition import last_step
from incremental._estimators.foreign import tags_of
from incremental._estimators.traits import traits_of
from incremental._predict.gathering import call
from incremental._predict.reductions import (
    Reduction,
    reduction_of,
    weighted_mean,
    weights_of,
)
from incremental._typing import Estimator, Scorer

# The methods that a scorer may call if it does not say which. The blocks are read once
# for the outputs of all of them and y.
RESPONSES = ("predict", "predict_proba", "decision_function")


class ByBlock(NamedTuple):
    """A score of an estimator that is made of what is known of each block.

    Attributes
    ----------
    methods : list of str
        The methods of the estimator whose outputs it needs.
    needs_y : bool
        Whether it cannot be computed without y.
    chunk : callable
        ``chunk(answers, block)`` returns what is to be known of a block, a dict of
        its pieces by name. The methods of ``answers`` return the outputs for it.
    aggregate : callable
        ``aggregate(parts) -> float`` returns the score.
    """

    methods: list[str]
    needs_y: bool
    chunk: Callable[[Any, Mapping[str, Any]], Any]
    aggregate: Callable[[list[Any]], float]


def own_score(estimator: Estimator) -> ByBlock:
    """Return how an estimator's own score is computed block by block.

    Raises
    ------
    TypeError
        If it is not known.
    """
    last = last_step(estimator)
    while isinstance(last, FrozenEstimator):
        last = last_step(last.estimator)
    reduction = _own_metric(last)
    if reduction is not None:
        chunk = partial(_predict_block, reduction.chunk)
        return ByBlock(["predict"], True, chunk, reduction.aggregate)
    how = traits_of(last).score
    if how is None:
        raise TypeError(
            f"{type(last).__name__} has a `score` of its own, which is not known to be "
            "a sum or a mean over the rows. Pass `scoring`, a name or a callable as "
            "scikit-learn's `get_scorer` takes, call `estimator_.score` on data in "
            "memory, or register what it is with `traits_of.register`."
        )
    needs_y = tags_of(last).target_tags.required
    aggregate = weighted_mean if how == "mean" else _weighted_sum
    return ByBlock([], needs_y, partial(_score_block, estimator), aggregate)


def _own_metric(estimator: Estimator) -> Reduction | None:
    """Return how the metric reduces that a ``score`` of scikit-learn's mixins computes.

    None if an estimator has another ``score``.
    """
    from sklearn.metrics import accuracy_score, r2_score

    metrics = {ClassifierMixin.score: accuracy_score, RegressorMixin.score: r2_score}
    metric = metrics.get(getattr(type(estimator), "score", None))
    return None if metric is None else reduction_of(metric)


def _score_block(
    estimator: Estimator, answers: Any, block: Mapping[str, Any]
) -> tuple[float, float]:
    """Return the weight of a block, and the estimator's own score of it."""
    X, y, weight = block["X"], block.get("y"), block.get("sample_weight")
    total, weights = weights_of(X, weight)
    return total, call(estimator, "score", X, y, **weights)


def _weighted_sum(parts: list[tuple[float, float]]) -> float:
    # Rows that weigh nothing are scored without weights.
    return sum(score for weight, score in parts if weight != 0)


def _predict_block(
    chunk: Callable[[Any, Any, Any], Any], answers: Any, block: Mapping[str, Any]
) -> Any:
    predicted = answers.predict(block["X"])
    return chunk(block["y"], predicted, block.get("sample_weight"))


def score_by_block(scorer: Scorer, estimator: Estimator) -> ByBlock | None:
    """Return how a scorer's score is computed block by block; None if it is not known.

    Parameters
    ----------
    scorer : callable
    estimator : estimator
        Fitted.
    """
    from sklearn.metrics import accuracy_score, make_scorer

    # A subclass may compute something else.
    if type(scorer) is not type(make_scorer(accuracy_score)):
        return None
    made: Any = scorer
    classes = getattr(estimator, "classes_", None)
    classes = None if isinstance(classes, list) else classes
    reduction = reduction_of(made._score_func, made._kwargs, classes)
    if reduction is None:
        return None
    return ByBlock(
        responses(scorer, estimator),
        False,
        partial(_metric_of_block, made, reduction.chunk),
        partial(_signed, made._sign, reduction.aggregate),
    )


def _metric_of_block(
    scorer: Any,
    chunk: Callable[[Any, Any, Any], Any],
    answers: Any,
    block: Mapping[str, Any],
) -> Any:
    """Give a reduction what a scorer gives its metric."""
    from sklearn.metrics import make_scorer

    received: list[Any] = []

    @wraps(scorer._score_func)  # scikit-learn asks for its parameters
    def note(y: Any, predicted: Any, **params: Any) -> float:
        received.append((y, predicted, params.get("sample_weight")))
        return 0.0

    weight = {name: block[name] for name in ("sample_weight",) if name in block}
    noting = make_scorer(
        note, response_method=scorer._response_method, **scorer._kwargs
    )
    noting(answers, block["X"], block.get("y"), **weight)
    ((y, predicted, given),) = received
    return chunk(y, predicted, given)


def _signed(
    sign: int, aggregate: Callable[[list[Any]], float], parts: list[Any]
) -> float:
    return sign * aggregate(parts)


def takes_weight(scorer: Scorer) -> bool:
    """Tell whether a scorer takes ``sample_weight``."""
    function: Any = getattr(scorer, "_score_func", scorer)
    params = inspect.signature(function).parameters.values()
    return any(
        one.name == "sample_weight" or one.kind is one.VAR_KEYWORD for one in params
    )


def check_weights(scorer: Scorer, given: Container[str]) -> None:
    """Check that a scorer gets no weights if it takes none.

    Raises
    ------
    TypeError
        If it gets some.
    """
    if "sample_weight" in given and not takes_weight(scorer):
        raise TypeError(
            f"{scorer!r} takes no sample_weight. Leave it out, or pass another "
            "`scoring`."
        )


def says_what_it_calls(scorer: Scorer) -> bool:
    """Tell whether a scorer says which methods it calls."""
    return hasattr(scorer, "_response_method")


def responses(scorer: Scorer, estimator: Estimator) -> list[str]:
    """Return the names of the methods that a scorer will call on an estimator.

    If the scorer does not say which, these are all methods that it may call.
    """
    asked = getattr(scorer, "_response_method", None) or RESPONSES
    names = [asked] if isinstance(asked, str) else asked
    found = [name for name in names if hasattr(estimator, name)]
    # scikit-learn's scorers call the first of these methods that the estimator has.
    return found if names is RESPONSES else found[:1]


def weights_for(
    scorer: Scorer, rows: Mapping[str, Any], *, several: bool
) -> dict[str, Any]:
    """Return the weights for a scorer; none for one of several that takes none."""
    given = {name: rows[name] for name in ("sample_weight",) if name in rows}
    return {} if several and given and not takes_weight(scorer) else given
