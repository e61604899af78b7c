"""Scores of predictions that are made in parallel.

Predictions and y may be gathered: brought into the memory of this process from all
blocks. X is never gathered.

This is the only module that touches private state of scikit-learn's scorers:
``_response_method``. This attribute says which methods a scorer calls, so that no other
outputs are computed. Tested with scikit-learn 1.6 and 1.9.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial, wraps
from typing import Any, NamedTuple

import dask
import dask.array as da
import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.frozen import FrozenEstimator
from toolz import dissoc

from incremental._blocks.block import Block
from incremental._blocks.collections import is_lazy
from incremental._blocks.columns import noting_types
from incremental._blocks.rows import is_pandas, n_rows
from incremental._estimators.composition import last_step
from incremental._estimators.configuration import configured
from incremental._estimators.copying import writes_to_input
from incremental._estimators.documents import as_list
from incremental._estimators.foreign import tags_of
from incremental._graph.blocks import Blocks, read_blocks
from incremental._graph.fold import map_blocks, reduce_blocks
from incremental._predict.outputs import check_index
from incremental._typing import Estimator, Scorer, Scoring


def as_scorer(scoring: Scoring) -> Callable[..., float]:
    """Return the scorer of that name, or the callable itself.

    Raises
    ------
    TypeError
        If `scoring` is neither a text nor callable.
    """
    if isinstance(scoring, str):
        from sklearn.metrics import get_scorer

        return get_scorer(scoring)  # type: ignore[no-any-return]
    if not callable(scoring):
        raise TypeError(
            f"scoring must be the name of a scorer, a callable or None, got "
            f"{scoring!r}."
        )
    return scoring


def score_by_block(
    estimator: Estimator, X: Any, y: Any, sample_weight: Any = None
) -> float:
    """Score a fitted estimator on collections, block by block, as its own ``score``.

    Parameters
    ----------
    estimator : estimator
        Fitted. Classifiers are scored by accuracy, regressors by R².
    X : array-like or collection of shape (n_samples, n_features)
    y : array-like or collection of shape (n_samples,) or (n_samples, n_outputs)
    sample_weight : array-like or collection of shape (n_samples,), optional

    Returns
    -------
    float

    Raises
    ------
    TypeError
        If the estimator has a ``score`` of its own.
    ValueError
        If y is None, or if there are no rows.
    """
    _check_has_y(y)
    rows = {"X": X, "y": y, "sample_weight": sample_weight}
    blocks = read_blocks(
        {name: value for name, value in rows.items() if value is not None}
    )
    return score_blocks(estimator, blocks)


def score_blocks(
    estimator: Estimator, blocks: Blocks, order: Sequence[int] | None = None
) -> float:
    """Score a fitted estimator on blocks as its own ``score`` does.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    blocks : Blocks
        The blocks of X, y and perhaps ``sample_weight``.
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
        configured(partial(_score_block, estimator, partial_score)),
        name="score",
        order=order,
    )
    return _finish(finish, parts)


def _check_has_y(y: Any) -> None:
    if y is None:
        raise ValueError("score requires y to be passed, but y is None.")


def _finish(finish: Callable[..., float], parts: list[Any]) -> float:
    return float(finish(_with_rows(parts)))


def _with_rows(parts: list[Any]) -> list[Any]:
    """Leave out what blocks without rows yield, which is None."""
    parts = [part for part in parts if part is not None]
    if not parts:
        raise ValueError("X has no rows in any block; expected at least one.")
    return parts


def lazy_score(
    scorer: Scorer | None, estimator: Estimator, rows: Mapping[str, Any]
) -> Any:
    """Return the score of a fitted estimator, to be computed later.

    Parameters
    ----------
    scorer : callable or None
        None for the estimator's own score.
    estimator : estimator
        Fitted.
    rows : dict
        X, and perhaps y and parameters of the scorer that have an entry for each row.

    Returns
    -------
    dask array of shape ()

    Raises
    ------
    TypeError
        If X is a dask collection, and the estimator has a ``score`` of its own or
        the scorer does not say which method it calls.
    """
    if not is_lazy(rows["X"]):
        # The scorer of an estimator takes what is in memory, and dask computes y.
        held = partial(score_in_memory, scorer, estimator, rows["X"])
        call = dask.delayed(configured(held), name="score", traverse=False)
        # By position: dask's Delayed takes no dataframes by keyword.
        score = dask.delayed(np.float64)(call(rows.get("y"), rows.get("sample_weight")))
        return da.from_delayed(score, shape=(), dtype=float)
    if scorer is None:
        _check_has_y(rows.get("y"))
        partial_score, finish = score_of(estimator)
        function = partial(_score_block, estimator, partial_score)
        done = partial(_finish, finish)
    else:
        if not hasattr(scorer, "_response_method"):
            raise TypeError(
                "compute=False needs a scorer that says which method it calls, got "
                f"{scorer!r}. Pass a name or what `make_scorer` returns as `scoring`, "
                "or leave compute=True."
            )
        calls: dict[str, Any] = {name: {} for name in _responses(scorer, estimator)}
        function = partial(_respond, estimator, calls)
        done = partial(_score_outputs, scorer, estimator)
    blocks = read_blocks(rows)
    return reduce_blocks(blocks, configured(function), configured(done), name="score")


def score_in_memory(
    scorer: Scorer | None,
    estimator: Estimator,
    X: Any,
    y: Any = None,
    sample_weight: Any = None,
) -> float:
    """Return the score of a fitted estimator on data in memory.

    Parameters
    ----------
    scorer : callable or None
        None for the estimator's own score.
    estimator : estimator
        Fitted.
    X : array-like of shape (n_samples, n_features)
    y : array-like of shape (n_samples,) or (n_samples, n_outputs), optional
    sample_weight : array-like of shape (n_samples,), optional
    """
    weight = {} if sample_weight is None else {"sample_weight": sample_weight}
    if scorer is None:
        return float(estimator.score(X, y, **weight))
    # scikit-learn's scorers ask for tags.
    tagged = hasattr(estimator, "__sklearn_tags__")
    asked = estimator if tagged else _Answers(estimator, {})
    return float(scorer(asked, X, y, **weight))


def _score_outputs(scorer: Scorer, estimator: Estimator, parts: list[Any]) -> float:
    rows, outputs = _stacked(parts)
    answers = _Answers(estimator, outputs)
    return float(scorer(answers, None, rows.pop("y", None), **rows))


class _Answers:
    """An estimator whose methods return what they returned before, for any X."""

    def __init__(self, estimator: Estimator, outputs: Mapping[str, Any]) -> None:
        self._estimator = estimator
        self._outputs = outputs

    def __sklearn_tags__(self) -> Any:
        return tags_of(self._estimator)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._estimator, name)
        if name not in self._outputs:
            return value

        @wraps(value)  # scikit-learn asks for its name
        def answer(X: Any) -> Any:
            return self._outputs[name]

        return answer


def score_gathered(
    scorer: Scorer,
    wrapper: Any,
    rows: Mapping[str, Any],
    X: Any,
) -> Any:
    """Call a scorer on the predictions for collections. They and y are gathered.

    Parameters
    ----------
    scorer : callable
        ``scorer(estimator, X, y, **params)``.
    wrapper : ParallelPostFit
        Fitted. Its methods yield lazy collections.
    rows : dict
        X, and perhaps y and parameters of the scorer that have an entry for each row.
    X : dask array, dataframe, series or bag
        What the scorer gets as X. It is not computed, unless the scorer does so.

    Returns
    -------
    float
    """
    estimator = wrapper._fitted_estimator()
    on_blocks = OnBlocks(estimator, read_blocks(rows), X=X, wrapper=wrapper)
    gathered = dict(on_blocks.gather(_responses(scorer, estimator)))
    return scorer(on_blocks, X, gathered.pop("y", None), **gathered)


def score_held_out(
    scorer: Scorer, estimator: Estimator, blocks: Blocks, order: Sequence[int]
) -> float:
    """Call a scorer on the predictions for some blocks. They and y are gathered.

    Parameters
    ----------
    scorer : callable
        ``scorer(estimator, X, y)``. It gets None as X, because X is not gathered.
    estimator : estimator
        Fitted.
    blocks : Blocks
        The blocks of X, and perhaps of y.
    order : sequence of int
        Positions of the blocks to score on.

    Returns
    -------
    float
    """
    on_blocks = OnBlocks(estimator, blocks, order)
    gathered = on_blocks.gather(_responses(scorer, estimator))
    return float(scorer(on_blocks, None, gathered.get("y")))


# The methods that a scorer may call if it does not say which. The blocks are read once
# for the outputs of all of them and y.
_RESPONSES = ("predict", "predict_proba", "decision_function")


class Scored(NamedTuple):
    """The score of one of several estimators.

    Attributes
    ----------
    score : float
        NaN if there is an error.
    seconds : float
        How long its predictions took.
    error : str or None
        The error that it raised.
    """

    score: float
    seconds: float
    error: str | None = None


def score_many(
    scorer: Scorer | None,
    estimators: Sequence[Estimator],
    blocks: Blocks,
    order: Sequence[int],
    *,
    may_fail: bool,
) -> list[Scored]:
    """Score several fitted estimators on some blocks, in one read for all.

    Parameters
    ----------
    scorer : callable or None
        ``scorer(estimator, X, y)``. It gets None as X, because X is not gathered. None
        for the estimators' own scores, which are computed block by block.
    estimators : sequence of estimator
    blocks : Blocks
        The blocks of X, and perhaps of y. What else they have is not used.
    order : sequence of int
        Positions of the blocks to score on.
    may_fail : bool
        Whether errors are returned and not raised.

    Returns
    -------
    list of Scored
        In the order of the estimators.
    """
    asked: list[Callable[[Block], Any]] = []
    ends: list[Callable[[list[Any]], float]] = []
    for one in estimators:
        if scorer is None:
            score, finish = score_of(one)
            asked.append(partial(_score_block, one, score))
            ends.append(partial(_finish, finish))
        else:
            calls: dict[str, Any] = {name: {} for name in _responses(scorer, one)}
            asked.append(partial(_respond, one, calls))
            ends.append(partial(_score_outputs, scorer, one))
    function = configured(partial(_ask_each, asked, may_fail))
    parts = map_blocks(blocks, function, name="score", order=order)
    return [
        _scored(end, list(own), may_fail)
        for end, own in zip(ends, zip(*parts, strict=True), strict=True)
    ]


def _ask_each(
    asked: Sequence[Callable[[Block], Any]], may_fail: bool, block: Block
) -> list[tuple[Any, float, str | None]]:
    """Return what each function yields for a block, its seconds, and its error."""
    taken = block.only(("X", "y"))
    return [_timed(partial(one, taken), may_fail) for one in asked]


def _timed(call: Callable[[], Any], may_fail: bool) -> tuple[Any, float, str | None]:
    began = time.perf_counter()
    try:
        result, error = call(), None
    except Exception as raised:
        if not may_fail:
            raise
        result, error = None, f"{type(raised).__name__}: {raised}"
    return result, time.perf_counter() - began, error


def _scored(
    end: Callable[[list[Any]], float],
    parts: list[tuple[Any, float, str | None]],
    may_fail: bool,
) -> Scored:
    seconds = sum(spent for _, spent, _ in parts)
    errors = [error for *_, error in parts if error is not None]
    if not errors:
        results = [part for part, *_ in parts]
        score, spent, error = _timed(partial(end, results), may_fail)
        seconds += spent
        if error is None:
            return Scored(score, seconds)
        errors = [error]
    return Scored(float("nan"), seconds, errors[0])


def _responses(scorer: Scorer, estimator: Estimator) -> list[str]:
    """Return the names of the methods that a scorer will call on an estimator.

    If the scorer does not say which, these are all methods that it may call.
    """
    asked = getattr(scorer, "_response_method", None) or _RESPONSES
    names = [asked] if isinstance(asked, str) else asked
    found = [name for name in names if hasattr(estimator, name)]
    # scikit-learn's scorers call the first of these methods that the estimator has.
    return found if names is _RESPONSES else found[:1]


class OnBlocks:
    """An estimator whose methods return gathered outputs for the X of some blocks.

    Scorers get it in place of the fitted estimator. If they call a method with the X
    that stands for the blocks, the blocks are read and the outputs gathered. With
    another X, the wrapper's method is called and its result computed.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    blocks : Blocks
        The blocks of X, and perhaps of y and of ``sample_weight``.
    order : sequence of int, optional
        Positions of the blocks; all of them by default.
    X : object
        The object that stands for the X of the blocks.
    wrapper : estimator, optional
        Its methods are called for any other X. By default `estimator`.
    """

    def __init__(
        self,
        estimator: Estimator,
        blocks: Blocks,
        order: Sequence[int] | None = None,
        X: Any = None,
        wrapper: Any = None,
    ) -> None:
        self._estimator = estimator
        self._blocks = blocks
        self._order = order
        self._X = X
        self._wrapper = estimator if wrapper is None else wrapper
        self._rows: dict[str, Any] | None = None
        self._outputs: dict[str, Any] = {}

    def gather(self, methods: Sequence[str] = _RESPONSES) -> dict[str, Any]:
        """Read the blocks once, and gather y and the outputs of some methods.

        The outputs are kept. A later call of such a method returns them.

        Parameters
        ----------
        methods : sequence of str
            Names of methods. Methods that the estimator lacks are left out.

        Returns
        -------
        dict
            All pieces of the blocks but X, by name.
        """
        calls: dict[str, Any] = {
            name: {} for name in methods if hasattr(self._estimator, name)
        }
        self._outputs.update(self._read(calls))
        return self._rows or {}

    def __sklearn_tags__(self) -> Any:
        """Return the tags of the estimator, also if it has none itself."""
        return tags_of(self._estimator)

    def score(self, X: Any = None, y: Any = None, sample_weight: Any = None) -> float:
        """Score the estimator as its own ``score`` does.

        Parameters
        ----------
        X : object
            The X that stands for the blocks, or another one.
        y, sample_weight : array-like or collection, optional
            As for the estimator's ``score``.
        """
        rows = (X, y, sample_weight)
        if X is self._X and not any(map(is_lazy, rows[1:])):
            score, finish = score_of(self._estimator)
            return float(finish([score(y, self.predict(X), sample_weight)]))
        if any(map(is_lazy, rows)):
            return score_by_block(self._estimator, *rows)
        return float(self._estimator.score(*rows))

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._estimator, name)
        if name.startswith("_") or not callable(value):
            return value

        @wraps(value)
        def gathered(*args: Any, **params: Any) -> Any:
            X = params.get("X", args[0] if args else self)
            if X is not self._X:
                method = getattr(self._wrapper, name)
                return dask.compute(method(*args, **params))[0]
            if len(args) > 1:
                raise TypeError(f"Pass all arguments of `{name}` but X by keyword.")
            params.pop("X", None)
            if params:
                return self._read({name: params})[name]
            if name not in self._outputs:
                self._outputs.update(self._read({name: {}}))
            return self._outputs[name]

        return gathered

    def _read(self, calls: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Read the blocks once, and return what methods return for them.

        Parameters
        ----------
        calls : dict of str to dict
            The arguments beside X of each method to call, by its name.

        Returns
        -------
        dict
            The gathered outputs of each method, by its name.

        Raises
        ------
        ValueError
            If there are no rows, or if y differs from what was read before.
        """
        parts = map_blocks(
            self._blocks,
            configured(partial(_respond, self._estimator, calls)),
            name="score",
            order=self._order,
        )
        rows, outputs = _stacked(parts)
        if self._rows is None:
            self._rows = rows
        elif "y" in rows and not _same(rows["y"], self._rows["y"]):
            raise ValueError(
                f"y has other values when it is read again for {list(calls)}, so that "
                "they cannot be paired with the y that was read before. Seed what is "
                "random in the collections or persist them, or pass a scorer that "
                "says what it needs: `make_scorer(..., response_method=...)`."
            )
        return outputs


def _respond(
    estimator: Estimator, calls: Mapping[str, Mapping[str, Any]], block: Block
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Call methods on the X of a block.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    calls : dict of str to dict
        The arguments beside X of each method to call, by its name.
    block : Block

    Returns
    -------
    tuple of two dicts, or None
        All pieces of the block but X; and the output of each method, by its name. None
        if the block has no rows.
    """
    if block.count_rows() == 0:
        return None
    X = block["X"]
    outputs = {name: _ask(estimator, name, X, call) for name, call in calls.items()}
    return dissoc(dict(block), "X"), outputs


def _stacked(parts: list[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Stack what `_respond` returned: the row-wise data, and the outputs."""
    parts = _with_rows(parts)
    rows, outputs = (
        {name: stack([part[which][name] for part in parts]) for name in parts[0][which]}
        for which, stack in enumerate((_stack, _stack_outputs))
    )
    return rows, outputs


def _ask(
    estimator: Estimator, method: str, X: Any, params: Mapping[str, Any] | None = None
) -> Any:
    """Call a method on the X of a block, on a copy if it may write to X.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    method : str
        The name of the method.
    X : array, frame or list
    params : dict, optional
        Further arguments of the method.

    Returns
    -------
    array or frame, or a list of them
        A list if the method returns several outputs.

    Raises
    ------
    ValueError
        If an output has other rows than X.
    """
    own = X.copy() if writes_to_input(estimator) else X
    with noting_types(own):
        output = getattr(estimator, method)(as_list(estimator, own), **(params or {}))
    is_list = isinstance(output, list | tuple) and len(output) > 0
    several = is_list and np.ndim(output[0]) > 0
    for one in output if several else [output]:
        if n_rows(one) != n_rows(X):
            raise ValueError(
                f"{type(estimator).__name__}.{method} returned {n_rows(one)} rows for "
                f"{n_rows(X)} rows of X; expected one for each."
            )
        check_index(one, X, type(estimator).__name__, method, by_position=True)
    return list(output) if several else output


def _stack_outputs(parts: list[Any]) -> Any:
    """Concatenate the outputs for several blocks; each of them if there are several."""
    if isinstance(parts[0], list):
        return [_stack(list(outputs)) for outputs in zip(*parts, strict=True)]
    return _stack(parts)


def _stack(parts: list[Any]) -> Any:
    """Concatenate the rows of arrays, sparse matrices or frames."""
    first = parts[0]
    if is_pandas(first):
        import pandas as pd

        return pd.concat(parts)
    if hasattr(first, "tocsr"):
        import scipy.sparse as sp

        return sp.vstack(parts, format="csr")
    return np.concatenate([np.asarray(part) for part in parts])


def _same(one: Any, other: Any) -> bool:
    """Tell whether two arrays hold the same values."""
    if hasattr(one, "tocsr"):
        return bool(one.shape == other.shape and (one != other).nnz == 0)
    one, other = np.asarray(one), np.asarray(other)
    return np.array_equal(one, other, equal_nan=one.dtype.kind in "fc")


def score_of(estimator: Estimator) -> tuple[Callable[..., Any], Callable[..., float]]:
    """Return the two functions that compute an estimator's own score block by block.

    Returns
    -------
    score : callable
        ``score(y, predicted, sample_weight)`` returns what is to be known of one block.
    finish : callable
        ``finish(parts) -> float`` makes the score from these results for all blocks.

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


def _score_block(estimator: Estimator, score: Callable[..., Any], block: Block) -> Any:
    """Predict for a block, and return what is to be known of it for the score.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    score : callable
        The first function that `score_of` returns.
    block : Block
        X, y and perhaps ``sample_weight``.

    Returns
    -------
    object
        What `score` returns; None if the block has no rows.
    """
    if block.count_rows() == 0:
        return None
    predicted = _ask(estimator, "predict", block["X"])
    return score(block["y"], predicted, block.get("sample_weight"))


def _count_correct(y: Any, predicted: Any, weight: Any) -> tuple[float, float]:
    """Count the rows of a block that are predicted right.

    Returns
    -------
    tuple of float
        The weight of these rows, and that of all rows.
    """
    from sklearn.metrics import accuracy_score

    # scikit-learn refuses weights that are all 0, but those of one block may be.
    counts = weight is None or np.any(np.asarray(weight))
    weights = {"sample_weight": weight} if counts else {}
    correct = accuracy_score(y, predicted, normalize=False, **weights)
    total = len(predicted) if weight is None else np.sum(np.asarray(weight))
    return (correct if counts else 0.0), total


def _accuracy(parts: list[tuple[float, float]]) -> float:
    """Return the accuracy from what `_count_correct` returned for each block."""
    correct, total = np.sum(np.asarray(parts, dtype=float), axis=0)
    _check_total_weight(total)
    return float(correct / total)


def _check_total_weight(total: float) -> None:
    if total == 0:
        raise ValueError(
            "Sample weights must contain at least one non-zero number, but those of "
            "all blocks sum to 0."
        )


class Moments(NamedTuple):
    """The sums over some rows from which R² is computed. They merge by Chan's formula.

    Attributes
    ----------
    rows : int
        The number of rows.
    weight : float
        The sum of their weights.
    mean : ndarray of shape (n_outputs,)
        The weighted mean of y.
    total : ndarray of shape (n_outputs,)
        The weighted sum of the squared differences between y and `mean`.
    residual : ndarray of shape (n_outputs,)
        The weighted sum of the squared differences between y and the prediction.

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
        """Compute the moments of the rows of a block.

        Parameters
        ----------
        y, predicted : array or frame of shape (n_samples,) or (n_samples, n_outputs)
        weight : array or series of shape (n_samples,), or None
            The weights of the rows. If None, each row weighs 1.

        Raises
        ------
        ValueError
            If a value is not finite, or if the shapes do not match.
        """
        y, predicted = (
            np.asarray(_finite(name, a), dtype=float).reshape(n_rows(a), -1)
            for name, a in (("y", y), ("y_pred", predicted))
        )
        if y.shape != predicted.shape:
            raise ValueError(
                f"y has {y.shape[1]} outputs but the prediction has "
                f"{predicted.shape[1]}; expected the same number."
            )
        w = np.ones(len(y))
        if weight is not None:
            w = np.asarray(_finite("sample_weight", weight), dtype=float)
        if w.shape != (len(y),):
            raise ValueError(
                f"Sample weights must be 1D, got shape {w.shape}; expected ({len(y)},)."
            )
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


def _finite(name: str, values: Any) -> Any:
    """Return values as an array.

    Raises
    ------
    ValueError
        If a value is not finite. The message calls the values `name`.
    """
    from sklearn.utils import check_array

    return check_array(values, ensure_2d=False, input_name=name)


def _r2(parts: list[Moments]) -> float:
    """Return R² from the moments of each block, as scikit-learn computes it."""
    import warnings

    from sklearn.exceptions import UndefinedMetricWarning

    first, *others = parts
    for part in others:
        first = first.merge(part)
    _check_total_weight(first.weight)
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
