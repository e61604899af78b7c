"""`fit_many`: several estimators, fitted on one read of the data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sklearn.base import clone
from toolz import memoize

from incremental._blocks.collections import check_kinds
from incremental._blocks.labelled import all_without_labels, feature_labels
from incremental._errors import noted
from incremental._estimators.float_types import warn_of_rounding
from incremental._estimators.foreign import tags_of
from incremental._estimators.traits import has_callbacks
from incremental._fit.classes import as_classes, find_classes
from incremental._fit.parameters import check_passes
from incremental._fit.passes import Passes
from incremental._fit.progress import Progress
from incremental._graph.blocks import Blocks, read_blocks
from incremental._graph.schedulers import active_scheduler
from incremental._graph.shared_reductions import settle
from incremental._incremental import Incremental, _Data, _new_rng
from incremental._parallel_post_fit import ParallelPostFit, beside_in_memory
from incremental._search.together import Learner, fit_together

# Which rows make a batch depends on these parameters of `Incremental`.
_SHARED = ("batch_size", "shuffle_blocks", "shuffle_rows", "random_state")
# Parameters that a fit beside others does not take, with their defaults.
_ALONE: Mapping[str, Any] = {
    "early_stopping": False,
    "validation_data": None,
    "checkpoint": None,
    "replicas": 1,
}


def fit_many(
    estimators: Iterable[Any], X: Any, y: Any = None, **params: Any
) -> list[Any]:
    """Fit several estimators beside each other, and read each block once for all.

    Each of them ends in the same bits as in a fit of its own, in the same order of the
    blocks. The memory that it takes depends on the size of a block and of the models.

    Parameters
    ----------
    estimators : iterable of estimator
        Estimators with ``partial_fit``, or `Incremental` wrappers. They are cloned,
        never changed. Wrappers have to agree on `batch_size`, `shuffle_blocks`,
        `shuffle_rows` and `random_state`. An estimator without a wrapper gets these
        too; if there is no wrapper, it is fitted as ``Incremental(estimator)`` is.
        The smallest `prefetch` holds; with `shuffle_rows` they have to agree on it
        too. Each makes as many passes as its own
        `max_iter` and `tol` say.
    X : array-like or collection of shape (n_samples, n_features)
    y : array-like or collection of shape (n_samples,) or (n_samples, n_outputs), \
optional
    **params
        Arguments of ``partial_fit``, as for `Incremental.fit`. All estimators get them.

    Returns
    -------
    list of estimator
        New fitted objects, in the order of `estimators`: a wrapper for a wrapper, and
        a plain estimator for a plain one.

    Raises
    ------
    TypeError
        If an estimator has no ``partial_fit``, or does not take a parameter.
    ValueError
        If there is no estimator, if wrappers do not agree, if one has
        `early_stopping`, `validation_data`, `checkpoint`, `replicas` or callbacks, or
        for the reasons for which `Incremental.fit` raises it.

    Examples
    --------
    >>> import dask.array as da
    >>> from sklearn.linear_model import SGDClassifier
    >>> from incremental import fit_many
    >>> X = da.random.default_rng(0).normal(size=(1000, 5), chunks=(100, 5))
    >>> y = (X[:, 0] > 0).astype(int)
    >>> models = [SGDClassifier(alpha=alpha) for alpha in (1e-4, 1e-2)]
    >>> [model.coef_.shape for model in fit_many(models, X, y)]
    [(1, 5), (1, 5)]
    """
    given = list(estimators)
    names = [f"estimators[{at}] ({type(one).__name__})" for at, one in enumerate(given)]
    wrappers = wrapped(given, names)
    labels = feature_labels(X)
    X, y, params = all_without_labels(X, y, params)
    check_kinds({"X": X, "y": y})
    X, y, params = beside_in_memory(X, y, params)
    progresses = _fit(wrappers, names, X, y, params)
    if any(one.fitting.rounded for one in progresses):
        warn_of_rounding()
    for wrapper, progress in zip(wrappers, progresses, strict=True):
        wrapper._commit(progress, list(progress.history), labels)
    return [
        wrapper if isinstance(one, Incremental) else wrapper.estimator_
        for one, wrapper in zip(given, wrappers, strict=True)
    ]


def wrapped(given: Sequence[Any], names: Sequence[str]) -> list[Incremental]:
    """Return a new wrapper for each estimator.

    Raises
    ------
    ValueError
        If there is no estimator, or wrappers do not agree or cannot be fitted
        beside others.
    TypeError
        If one is a wrapper of another kind.
    """
    if not given:
        raise ValueError("estimators must have at least one estimator, got none.")
    own = [(name, one) for name, one in zip(names, given, strict=True) if _is_own(one)]
    for name, one in zip(names, given, strict=True):
        if isinstance(one, ParallelPostFit) and not _is_own(one):
            raise TypeError(
                f"{name} cannot be fitted beside others; expected an estimator with "
                "`partial_fit` or an `Incremental`. Pass what it wraps."
            )
    for name, one in own:
        with noted(f"in {name}"):
            check_passes(one)
        check_together(name, one)
        check_alike(*own[0], name, one)
    shared = {name: getattr(own[0][1], name) for name in _SHARED} if own else {}
    if own:
        ahead = [one.prefetch for _, one in own]
        shared["prefetch"] = min(ahead, key=active_scheduler().look_ahead)
    return [
        clone(one).set_params(prefetch=shared["prefetch"])
        if _is_own(one)
        else Incremental(one, **shared)
        for one in given
    ]


def _is_own(estimator: Any) -> bool:
    return isinstance(estimator, Incremental)


def check_together(name: str, wrapper: Incremental) -> None:
    """Check that a wrapper can be fitted beside others."""
    for parameter, default in _ALONE.items():
        value = getattr(wrapper, parameter)
        if value is not default and value != default:
            raise ValueError(
                f"{name} has {parameter}={value!r}, which a fit beside others does not "
                f"take; expected {default!r}. Fit it alone, with its own `fit`."
            )
    if has_callbacks(wrapper):
        raise ValueError(
            f"{name} has callbacks, which a fit beside others does not call. Fit it "
            "alone, with its own `fit`."
        )


def check_alike(first: str, lead: Incremental, name: str, wrapper: Incremental) -> None:
    """Check that a wrapper agrees with the first one."""
    # Rows are mixed with those of as many blocks as `prefetch` says.
    for parameter in (*_SHARED, *(["prefetch"] if lead.shuffle_rows else [])):
        expected, value = getattr(lead, parameter), getattr(wrapper, parameter)
        same = expected is value or (
            type(expected) is type(value) and bool(expected == value)
        )
        if not same:
            raise ValueError(
                f"{parameter} must be the same in all wrappers, since they take the "
                f"same rows in the same order: {first} has {expected!r}, {name} has "
                f"{value!r}. Give them one value, or fit them in separate calls."
            )


def _fit(
    wrappers: list[Incremental], names: list[str], X: Any, y: Any, params: Any
) -> list[Progress]:
    """Make the passes of all wrappers, beside each other."""
    learners, passes = open_together(wrappers, names, X, y, params)

    def tell(at: int, progress: Progress) -> None:
        if wrappers[at].verbose:
            record = passes[at].describe(progress.history[-1])
            print(f"{names[at]}: {record}")  # noqa: T201

    rng = _new_rng(wrappers[0].random_state)
    return [one.progress for one in fit_together(learners, passes, rng, tell)]


def open_together(
    wrappers: list[Incremental],
    names: list[str],
    X: Any,
    y: Any,
    params: Any,
    *,
    reads_y: bool = False,
    cut: Callable[[Blocks], Blocks] | None = None,
) -> tuple[list[Learner], list[Passes]]:
    """Check what the fits are given, and pair the rows of all in one go.

    Parameters
    ----------
    wrappers : list of Incremental
    names : list of str
        What error messages call them.
    X, y, params
        As for `fit_many`, without labels.
    reads_y : bool, default=False
        Whether blocks have y also if none of the estimators learns from it.
    cut : callable, optional
        ``cut(blocks) -> Blocks`` cuts data in memory. By default they are one block.

    Returns
    -------
    learners : list of Learner
    passes : list of Passes
    """
    checked = []
    for wrapper, name in zip(wrappers, names, strict=True):
        with noted(f"in {name}"):
            checked.append(wrapper._check(None, X, y, dict(params)))
    rows = _united([one for _, one, _ in checked], names, X)
    if reads_y and y is not None:
        rows = {"X": rows["X"], "y": y, **rows}
    blocks = settle(read_blocks(rows))
    if blocks.in_memory and cut is not None:
        blocks = cut(blocks)
    find = memoize(find_classes, key=_kind_of_classes)
    classes = memoize(as_classes, key=lambda args, kwargs: id(args[0]))
    learners, passes = [], []
    for wrapper, name, (fresh, own, others) in zip(
        wrappers, names, checked, strict=True
    ):
        if "classes" in others:
            others["classes"] = classes(others["classes"])
        data = _Data(fresh, own, blocks, others)
        with noted(f"in {name}"):
            session = wrapper._open(data, blocks, None, y, find)
        session = replace(session, alone=False)
        learners.append(Learner(name, session, tuple(own)))
        passes.append(wrapper._plan_passes(session, []))
    return learners, passes


def _united(parts: list[dict[str, Any]], names: list[str], X: Any) -> dict[str, Any]:
    """Return all that any of the estimators learns from, by name.

    Raises
    ------
    ValueError
        If some of them take documents and others do not.
    """
    documents = [
        name for name, own in zip(names, parts, strict=True) if own["X"] is not X
    ]
    if documents and len(documents) < len(parts):
        raise ValueError(
            f"{documents[0]} takes documents, in which missing ones become empty, and "
            "others in `estimators` do not. Fit these in separate calls."
        )
    return {name: value for own in parts for name, value in own.items()}


def _kind_of_classes(args: tuple[Any, ...], kwargs: Any) -> bool:
    """Return what `find_classes` looks at in an estimator."""
    tags = tags_of(args[0]).classifier_tags
    return tags is not None and bool(tags.multi_label)
