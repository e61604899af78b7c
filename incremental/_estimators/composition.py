"""Pipelines, unions and column transformers that learn from one block at a time.

In one pass each block goes through all steps. A step with ``partial_fit`` learns from
the block, then transforms it. A step that needs no fit, or is frozen, only transforms.
"""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sklearn.base import BaseEstimator, clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.utils import Tags, _safe_indexing

from incremental._errors import noted
from incremental._estimators.documents import as_list
from incremental._estimators.float_types import in_its_type
from incremental._estimators.foreign import tags_of
from incremental._estimators.older_sklearn import chosen_columns, requires_fit
from incremental._estimators.traits import partial_fit_of, traits_of
from incremental._typing import Estimator, Piece


def least_rows(estimator: Estimator) -> int:
    """Return how many rows an estimator, and every part of it, needs to learn from."""
    needs = (
        (traits_of(part).least_rows, part)
        for _, part in _parts(estimator)
        if not only_transforms(part)
    )
    return max((need(part) for need, part in needs if need is not None), default=1)


def first_step(estimator: Estimator) -> Estimator:
    """Return the estimator at the beginning of a pipeline, or the estimator itself."""
    while isinstance(estimator, Pipeline):
        steps = [step for _, step in estimator.steps if not _is_absent(step)]
        if not steps:
            break
        estimator = steps[0]
    return estimator


def last_step(estimator: Estimator) -> Estimator:
    """Return the last step of a pipeline; any other estimator as it is."""
    while isinstance(estimator, Pipeline):
        estimator = estimator.steps[-1][1]
    return estimator


def with_last_step(estimator: Estimator, last: Estimator) -> Any:
    """Return a pipeline with another last step; that step in place of anything else.

    The steps before are those of the given pipeline, which is not changed.
    """
    if not isinstance(estimator, Pipeline):
        return last
    changed = copy.copy(estimator)
    name, step = estimator.steps[-1]
    changed.steps = [*estimator.steps[:-1], (name, with_last_step(step, last))]
    return changed


def learning_steps(estimator: Estimator) -> list[Any]:
    """Return the steps before the last one of a pipeline that learn, or must be fitted.

    Empty if the estimator is no pipeline.
    """
    return [
        step
        for step in steps_before_last(estimator)
        if not (_is_absent(step) or only_transforms(step))
    ]


def leading_steps(estimator: Estimator) -> list[Estimator]:
    """Return the first steps of a pipeline, up to the first one that must learn.

    Parameters
    ----------
    estimator : estimator

    Returns
    -------
    list of estimator
        Without the step that must learn, and without the last step in any case. Empty
        if the estimator is no pipeline.
    """
    leading = []
    for _, step in estimator.steps[:-1] if isinstance(estimator, Pipeline) else ():
        if not (_is_absent(step) or only_transforms(step)):
            break
        leading.append(step)
    return leading


def only_transforms(estimator: Estimator) -> bool:
    """Tell whether an estimator transforms without ever learning."""
    if isinstance(estimator, FrozenEstimator):
        return True
    return hasattr(estimator, "transform") and not requires_fit(estimator)


def learn(estimator: Estimator, X: Piece, y: Piece, params: Mapping[str, Any]) -> bool:
    """Let an estimator learn from a block. The estimator itself is changed.

    Parameters
    ----------
    estimator : estimator
        One that `check_learns` accepts.
    X : array or frame of shape (n_samples, n_features)
        The rows of the block.
    y : array or frame of shape (n_samples,) or (n_samples, n_outputs), or None
        Their targets.
    params : dict
        Parameters of its ``partial_fit``. Those of a pipeline's step are called
        ``step__parameter``. ``classes`` are those of a pipeline's last step.

    Returns
    -------
    bool
        Whether values of X were rounded to the float type in which the estimator
        learns.

    Raises
    ------
    TypeError
        If its ``partial_fit`` returns an object other than the estimator.
    """
    if only_transforms(estimator) and partial_fit_of(estimator) is None:
        return False
    if isinstance(estimator, FrozenEstimator):
        return False
    if isinstance(estimator, Pipeline):
        return _learn_steps(estimator.steps, X, y, step_params(estimator, params))
    if isinstance(estimator, FeatureUnion):
        rounded = False
        for _, transformer in estimator.transformer_list:
            if not _is_absent(transformer):
                rounded |= learn(transformer, X, y, {})
        return rounded
    if _is_columns(estimator):
        return _learn_columns(estimator, X, y)
    if _is_fixed_encoder(estimator):
        if not hasattr(estimator, "categories_"):
            estimator.fit(X)
        return False
    X, rounded = in_its_type(estimator, X)
    data = (X,) if y is None else (X, y)
    partial_fit: Any = partial_fit_of(estimator)
    returned = partial_fit(*data, **params)
    # Some estimators of scikit-learn return None.
    if returned is not None and returned is not estimator:
        raise TypeError(
            f"{type(estimator).__name__}.partial_fit returned another object "
            f"({type(returned).__name__}), and what that has learned would be lost. "
            "Let it change the estimator and return the estimator itself."
        )
    return rounded


def learn_rest(
    estimator: Estimator, X: Piece, y: Piece, params: Mapping[str, Any], passed: int
) -> bool:
    """Let a pipeline learn from a block whose X went through its first steps before.

    Parameters
    ----------
    estimator : estimator
        A pipeline, unless `passed` is 0.
    X, y, params
        As for `learn`.
    passed : int
        How many steps X has been through. A pipeline that is the last step is
        not counted itself; its steps are.

    Returns
    -------
    bool
        As for `learn`.
    """
    if passed == 0:
        return learn(estimator, X, y, params)
    inner = step_params(estimator, params)
    before = len(estimator.steps) - 1
    if passed < before:
        return _learn_steps(estimator.steps[passed:], X, y, inner)
    last, step = estimator.steps[-1]
    if _is_absent(step):
        return False
    with noted(f"in the step {last!r}"):
        return learn_rest(step, X, y, inner[last], passed - before)


def rest_after(estimator: Any, passed: int) -> Any:
    """Return the part of a pipeline that X has still to go through.

    Parameters
    ----------
    estimator : estimator
        A pipeline, unless `passed` is 0.
    passed : int
        How many steps X has been through, as for `learn_rest`.

    Returns
    -------
    estimator
        A pipeline of the steps that are left, or the last step alone.
    """
    while passed:
        before = len(estimator.steps) - 1
        if passed < before:
            return estimator[passed:]
        estimator, passed = estimator.steps[-1][1], passed - before
    return estimator


def steps_before_last(estimator: Estimator) -> list[Estimator]:
    """Return the steps of a pipeline that come before its last one.

    If the last step is a pipeline too, its steps before its last one follow. The list
    is empty if the estimator is no pipeline.
    """
    before: list[Estimator] = []
    while isinstance(estimator, Pipeline):
        before.extend(step for _, step in estimator.steps[:-1])
        estimator = estimator.steps[-1][1]
    return before


def transform(steps: Iterable[Any], X: Piece) -> Piece:
    """Put X through fitted transformers, one after the other.

    Parameters
    ----------
    steps : iterable of estimator, str or None
        None, and a text such as ``"passthrough"``, leave X as it is.
    X : array, frame or list
        In memory.

    Returns
    -------
    array or frame
        What the last step yields.
    """
    for step in steps:
        if not _is_absent(step):
            X = step.transform(as_list(step, X))
    return X


def step_params(
    estimator: Estimator, params: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Sort the parameters of a pipeline by the step that they are for.

    Parameters
    ----------
    estimator : Pipeline
    params : dict
        The parameters, called ``step__parameter``. ``classes`` goes to the last step.

    Returns
    -------
    dict of str to dict
        For each step, by its name, its parameters under their own names.

    Raises
    ------
    TypeError
        If a parameter belongs to no step.
    """
    names = [name for name, _ in estimator.steps]
    sorted_params: dict[str, dict[str, Any]] = {name: {} for name in names}
    for name, value in params.items():
        step, _, inner = name.partition("__")
        if name == "classes":
            step, inner = names[-1], name
        if not inner or step not in sorted_params:
            raise TypeError(
                f"A pipeline takes parameters of its steps, got {name!r}; expected "
                f"'step__parameter' with a step of {', '.join(names)}."
            )
        sorted_params[step][inner] = value
    return sorted_params


def check_learns(estimator: Estimator) -> None:
    """Check that an estimator, and each estimator in it, can learn block by block.

    Raises
    ------
    TypeError
        If one of them cannot. The message names it and says what to do.
    """
    if isinstance(estimator, type):
        raise TypeError(
            f"estimator must be an estimator instance, got the class "
            f"{estimator.__name__}. Write `{estimator.__name__}()`."
        )
    if not _is_composite(estimator):
        if partial_fit_of(estimator) is None:
            raise TypeError(
                f"estimator must have `partial_fit`, got {type(estimator).__name__}, "
                "which has none. Fit it on data in memory and apply it to dask "
                "collections with `ParallelPostFit(estimator)`, or use a variant that "
                "learns incrementally."
            )
        _check_parts(estimator)
        return
    for path, part in _parts(estimator):
        able = only_transforms(part) or partial_fit_of(part) is not None
        if not (able or _is_fixed_encoder(part)):
            raise TypeError(
                f"The step {path!r} ({type(part).__name__}) can neither learn block by "
                "block nor do without learning. Use an incremental variant of it that "
                "has `partial_fit`; or fit it on a sample and freeze it with "
                "`sklearn.frozen.FrozenEstimator`; or give it a pass of its own, in a "
                "pipeline around `Incremental` or `ParallelPostFit` steps. Encoders "
                "need explicit `categories`."
            )
        _check_parts(part)


def _check_parts(bundle: Estimator) -> None:
    parts = traits_of(bundle).parts
    if parts is not None:
        parts.check(bundle)


def check_params(estimator: Estimator, params: Mapping[str, Any]) -> None:
    """Check that an estimator's ``partial_fit`` takes parameters of these names.

    Parameters
    ----------
    estimator : estimator
    params : dict
        The parameters by name, as for `learn`. Their values are not looked at.

    Raises
    ------
    TypeError
        If a parameter is unknown.
    """
    if isinstance(estimator, Pipeline):
        inner = step_params(estimator, params)
        for name, step in estimator.steps:
            check_params(step, inner[name])
        return
    known = _parameters(estimator)
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
        return
    for name in params:
        if name not in known:
            raise TypeError(
                f"{type(estimator).__name__}.partial_fit takes no parameter {name!r}; "
                f"it takes {', '.join(known)}."
            )


def needs_classes(estimator: Estimator) -> bool:
    """Tell whether an estimator's ``partial_fit`` has a parameter ``classes``.

    For a pipeline this is about its last step.
    """
    last = last_step(estimator)
    known = _parameters(last)
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
        # Such an estimator passes them on to another one, as SelectFromModel does.
        inner = getattr(last, "estimator", None)
        return "classes" in known or "classes" in _parameters(inner)
    return "classes" in known


def _parameters(estimator: Any) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of an estimator's ``partial_fit``; {} if it has none."""
    partial_fit = partial_fit_of(estimator)
    return {} if partial_fit is None else inspect.signature(partial_fit).parameters


def _learn_steps(
    steps: Sequence[tuple[str, Any]],
    X: Piece,
    y: Piece,
    params: Mapping[str, Mapping[str, Any]],
) -> bool:
    """Let steps learn from a block, each from what the step before it yields.

    Parameters
    ----------
    steps : sequence of (str, estimator)
        Steps of a pipeline by name, at least the last one.
    X, y
        As for `learn`.
    params : dict of str to dict
        As `step_params` returns it.

    Returns
    -------
    bool
        As for `learn`.
    """
    *before, (last, estimator) = steps
    rounded = False
    for name, step in before:
        if _is_absent(step):
            continue
        with noted(f"in the step {name!r}"):
            rounded |= learn(step, X, y, params[name])
            X = step.transform(X)
    if not _is_absent(estimator):
        with noted(f"in the step {last!r}"):
            rounded |= learn(estimator, X, y, params[last])
    return rounded


def _learn_columns(columns: Estimator, X: Piece, y: Piece) -> bool:
    """Let the transformers of a column transformer learn from their columns.

    Parameters and return value are those of `learn`.
    """
    if not hasattr(columns, "transformers_"):
        _start_columns(columns, X, y)
        return False
    rounded = False
    for name, transformer, chosen in columns.transformers_:
        if not _is_absent(transformer):
            with noted(f"in the step {name!r}"):
                part = _safe_indexing(X, chosen_columns(chosen), axis=1)
                rounded |= learn(transformer, part, y, {})
    return rounded


def _start_columns(columns: Estimator, X: Piece, y: Piece) -> None:
    """Let a column transformer, not fitted yet, learn from the first block.

    Its own ``fit`` chooses the columns. While it runs, stand-ins take the place of the
    transformers, because a transformer's ``fit`` may do more than ``partial_fit``.
    """
    given = columns.transformers, columns.remainder
    try:
        columns.transformers = [
            (name, part if _is_absent(part) else _FirstBlock(part), chosen)
            for name, part, chosen in columns.transformers
        ]
        if not _is_absent(columns.remainder):
            columns.remainder = _FirstBlock(columns.remainder)
        columns.fit(X, y)
    finally:
        columns.transformers, columns.remainder = given
    columns.transformers_ = [
        (name, part.learner_ if isinstance(part, _FirstBlock) else part, chosen)
        for name, part, chosen in columns.transformers_
    ]


class _FirstBlock(BaseEstimator):  # type: ignore[misc]
    """A stand-in for a transformer, whose ``fit`` lets a clone learn from one block.

    Parameters
    ----------
    transformer : estimator
        The transformer that is cloned.

    Attributes
    ----------
    learner_ : estimator
        The clone, which has learned from the block.
    """

    def __init__(self, transformer: Estimator) -> None:
        self.transformer = transformer

    def fit(self, X: Piece, y: Piece = None) -> _FirstBlock:
        self.learner_ = clone(self.transformer, safe=False)
        learn(self.learner_, X, y, {})
        return self

    def transform(self, X: Piece) -> Piece:
        return self.learner_.transform(X)

    def get_feature_names_out(self, input_features: Any = None) -> Any:
        return self.learner_.get_feature_names_out(input_features)

    def set_output(self, *, transform: str | None = None) -> _FirstBlock:
        self.transformer.set_output(transform=transform)
        return self

    def __sklearn_tags__(self) -> Tags:
        return tags_of(self.transformer)


def _is_columns(estimator: Estimator) -> bool:
    # The class is not imported, because that takes longer than importing the rest of
    # the package. If its module is not loaded, no object can be of this class.
    kind = getattr(sys.modules.get("sklearn.compose"), "ColumnTransformer", None)
    return kind is not None and isinstance(estimator, kind)


def _is_composite(estimator: Estimator) -> bool:
    return isinstance(estimator, Pipeline | FeatureUnion) or _is_columns(estimator)


def _is_absent(step: object) -> bool:
    """Tell whether a step is None or a text, such as ``"drop"``."""
    return step is None or isinstance(step, str)


def _is_fixed_encoder(estimator: Estimator) -> bool:
    """Tell whether an estimator is an encoder that is given all its categories."""
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

    return (
        isinstance(estimator, OneHotEncoder | OrdinalEncoder)
        and not isinstance(estimator.categories, str)
        and estimator.min_frequency is None
        and estimator.max_categories is None
    )


def _parts(estimator: Estimator, path: str = "") -> Iterator[tuple[str, Estimator]]:
    """Yield the estimators in a composite that are no composites themselves.

    Parameters
    ----------
    estimator : estimator
    path : str, default=""
        The path of the estimator in an outer composite.

    Yields
    ------
    path : str
        The names on the way to the part, joined as in ``get_params``: ``step__part``.
    part : estimator
    """
    if not _is_composite(estimator):
        yield path, estimator
        return
    if isinstance(estimator, Pipeline):
        parts = list(estimator.steps)
    elif isinstance(estimator, FeatureUnion):
        parts = list(estimator.transformer_list)
    else:
        parts = [(name, part) for name, part, _ in estimator.transformers]
        parts.append(("remainder", estimator.remainder))
    for name, part in parts:
        if not _is_absent(part):
            yield from _parts(part, f"{path}__{name}" if path else name)
