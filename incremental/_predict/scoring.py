"""Scores of blocks, each read once for all estimators and all scorers.

Predictions and y are gathered for the scorers that need them all at once: they are
brought into the memory of this process from all blocks. X is never gathered.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Container, Mapping, Sequence
from functools import partial, wraps
from types import MappingProxyType
from typing import Any, NamedTuple

import dask
import dask.array as da
import numpy as np
from toolz import concat, dissoc

from incremental._blocks.block import Block
from incremental._blocks.collections import is_lazy
from incremental._estimators.configuration import configured
from incremental._estimators.foreign import tags_of
from incremental._graph.blocks import Blocks, read_blocks
from incremental._graph.fold import map_blocks, map_each_block, reduce_blocks
from incremental._predict.by_block import (
    RESPONSES,
    ByBlock,
    check_weights,
    own_score,
    responses,
    says_what_it_calls,
    score_by_block,
    weights_for,
)
from incremental._predict.gathering import (
    Answers,
    ask,
    call,
    respond,
    same_values,
    stacked,
    with_rows,
)
from incremental._predict.scorers import Scorers, as_scorers
from incremental._typing import Estimator


class Failed(NamedTuple):
    """The error that takes the place of a score.

    Attributes
    ----------
    error : str
    """

    error: str

    @classmethod
    def by(cls, error: Exception) -> Failed:
        """Return what takes the place of the score that raised an error."""
        return cls(f"{type(error).__name__}: {error}")


def _result(call: Callable[[], Any], may_fail: bool) -> Any:
    try:
        return call()
    except Exception as error:
        if not may_fail:
            raise
        return Failed.by(error)


class _Asked(NamedTuple):
    """What is asked of an estimator for each block, for all of its scores.

    Attributes
    ----------
    estimator : estimator
        Fitted.
    scorers : Scorers
    by_block : dict of str to ByBlock
        The scores that are computed block by block.
    gathered : list of str
        The methods whose outputs are gathered for the other scores.
    """

    estimator: Estimator
    scorers: Scorers
    by_block: Mapping[str, ByBlock]
    gathered: list[str]

    @classmethod
    def of(
        cls, estimator: Estimator, scorers: Scorers, given: Container[str]
    ) -> _Asked:
        """Find out what to ask.

        Parameters
        ----------
        estimator : estimator
        scorers : Scorers
        given : container of str
            The names of what the scorers get.

        Raises
        ------
        TypeError
            If the estimator's own score is asked for, and is not known to be computed
            block by block. Also if a single scorer takes no weights, and gets some.
        ValueError
            If its own score needs y, and there is none.
        """
        by_block, gathered = {}, []
        for name, scorer in scorers.by_name.items():
            if scorer is not None and not scorers.several:
                check_weights(scorer, given)
            found = (
                own_score(estimator)
                if scorer is None
                else score_by_block(scorer, estimator)
            )
            if found is not None:
                by_block[name] = found
                if found.needs_y and "y" not in given:
                    raise ValueError("score requires y to be passed, but y is None.")
            elif scorer is not None:
                gathered += responses(scorer, estimator)
        return cls(estimator, scorers, by_block, list(dict.fromkeys(gathered)))

    def of_block(self, block: Block, *, may_fail: bool = False) -> Any:
        """Return what is to be known of a block; None if it has no rows.

        Parameters
        ----------
        block : Block
        may_fail : bool, default=False
            Whether the error of one score is returned as `Failed` and not raised.

        Returns
        -------
        rows : dict
            All pieces of the block but X, if outputs are gathered.
        outputs : dict
            What each method returned whose output is gathered.
        parts : dict
            What each score that is computed block by block is made of.
        """
        if block.count_rows() == 0:
            return None
        needed = [one.methods for one in self.by_block.values()]
        methods = dict.fromkeys(concat([self.gathered, *needed]))
        outputs = {
            name: ask(self.estimator, name, block["X"])
            for name in methods
            if hasattr(self.estimator, name)
        }
        answers = Answers(self.estimator, outputs, block["X"])
        parts = {
            name: _result(
                partial(one.chunk, answers, self._block_for(name, block)), may_fail
            )
            for name, one in self.by_block.items()
        }
        rows = dissoc(dict(block), "X") if self._gathers else {}
        return rows, {name: outputs[name] for name in self.gathered}, parts

    @property
    def _gathers(self) -> bool:
        return len(self.by_block) < len(self.scorers.by_name)

    def _block_for(self, name: str, block: Block) -> Block:
        """Leave out weights that one of several scorers does not take."""
        scorer = self.scorers.by_name[name]
        several = self.scorers.several
        if scorer is None or weights_for(scorer, block, several=several):
            return block
        return block.only(("X", "y"))

    def finish(
        self,
        parts: list[Any],
        X: Any = None,
        on_blocks: OnBlocks | None = None,
        *,
        may_fail: bool = False,
    ) -> dict[str, Any]:
        """Return the scores.

        Parameters
        ----------
        parts : list
            What `of_block` returned for all blocks.
        X : object
            What scorers get as X.
        on_blocks : OnBlocks, optional
            What scorers get as the estimator. By default an object whose methods
            return the outputs that are gathered.
        may_fail : bool, default=False
            Whether the error of one score is returned as `Failed` and not raised.
        """
        parts = with_rows(parts)
        answers: Any = on_blocks
        rows: dict[str, Any] = {}
        if self._gathers:
            rows, outputs = stacked([part[:2] for part in parts])
            if on_blocks is None:
                answers = Answers(self.estimator, outputs, X)
            else:
                on_blocks.know(rows, outputs)
        return {
            name: _result(
                partial(self._finish_one, name, parts, answers, X, rows), may_fail
            )
            for name in self.scorers.by_name
        }

    def _finish_one(
        self, name: str, parts: list[Any], answers: Any, X: Any, rows: Mapping[str, Any]
    ) -> Any:
        if name in self.by_block:
            own = [by_block[name] for *_, by_block in parts]
            failed = [one for one in own if isinstance(one, Failed)]
            if failed:
                return failed[0]
            score = self.by_block[name].aggregate(own)
            return float(score) if np.ndim(score) == 0 else score
        scorer: Any = self.scorers.by_name[name]
        weight = weights_for(scorer, rows, several=self.scorers.several)
        others = dissoc(rows, "y", "sample_weight")
        return scorer(answers, X, rows.get("y"), **others, **weight)


def score_collections(
    scorers: Scorers,
    estimator: Estimator,
    rows: Mapping[str, Any],
    X: Any,
    wrapper: Any,
) -> dict[str, Any]:
    """Score a fitted estimator on collections, in one read.

    Parameters
    ----------
    scorers : Scorers
    estimator : estimator
        Fitted.
    rows : dict
        X, and perhaps y and parameters of the scorers that have an entry for each row.
    X : dask array, dataframe, series or bag
        What scorers that are not known to reduce get as X. It is not computed, unless
        they do so.
    wrapper : estimator
        Its methods are called if scorers predict for another X.

    Returns
    -------
    dict of str to float
        By the names of the scorers.

    Raises
    ------
    TypeError
        If the estimator has a ``score`` of its own, which is asked for.
    ValueError
        If there are no rows, or if y is needed and None.
    """
    asked = _Asked.of(estimator, scorers, rows)
    blocks = read_blocks(rows)
    parts = map_blocks(blocks, configured(asked.of_block), name="score")
    on_blocks = OnBlocks(estimator, blocks, X=X, wrapper=wrapper)
    return asked.finish(parts, X, on_blocks)


def score_held_out(
    scorers: Scorers,
    estimator: Estimator,
    blocks: Blocks,
    order: Sequence[int] | None,
) -> dict[str, float]:
    """Score an estimator on some blocks, in one read.

    Parameters
    ----------
    scorers : Scorers
        They get None as X, because X is not gathered, and no weights. The estimator's
        own score takes the weights of the blocks.
    estimator : estimator
        Fitted.
    blocks : Blocks
        The blocks of X, and perhaps of y.
    order : sequence of int or None
        Positions of the blocks to score on. None for all.

    Returns
    -------
    dict of str to float
        By the names of the scorers.
    """
    asked = _Asked.of(estimator, scorers, _names_for_scorers(blocks))
    function = configured(partial(_without_weights, asked))
    parts = map_blocks(blocks, function, name="score", order=order)
    on_blocks = OnBlocks(estimator, blocks, order)
    return _as_floats(asked.finish(parts, None, on_blocks))


def _names_for_scorers(blocks: Blocks) -> list[str]:
    return [name for name in blocks.names if name in ("X", "y")]


def _without_weights(asked: _Asked, block: Block) -> Any:
    own = {name for name, scorer in asked.scorers.by_name.items() if scorer is None}
    names = ("X", "y", "sample_weight") if own else ("X", "y")
    return asked.of_block(block.only(names))


class Scored(NamedTuple):
    """The scores of one of several estimators.

    Attributes
    ----------
    scores : dict of str to float
        By the names of the scorers. NaN if there is an error.
    seconds : float
        How long its predictions and scores took.
    errors : dict of str to str
        The errors that were raised, by the names of the scorers.
    """

    scores: dict[str, float]
    seconds: float
    errors: Mapping[str, str] = MappingProxyType({})


def score_many(
    scorers: Scorers,
    estimators: Sequence[Estimator],
    blocks: Blocks,
    orders: Sequence[Sequence[int]],
    *,
    may_fail: bool,
) -> list[Scored]:
    """Score several fitted estimators on some blocks, in one read for all.

    Parameters
    ----------
    scorers : Scorers
        They get None as X, because X is not gathered.
    estimators : sequence of estimator
    blocks : Blocks
        The blocks of X, and perhaps of y. What else they have is not used.
    orders : sequence of (sequence of int)
        For each estimator, positions of the blocks to score it on.
    may_fail : bool
        Whether errors are returned and not raised.

    Returns
    -------
    list of Scored
        In the order of the estimators.
    """
    given = _names_for_scorers(blocks)
    asked = [_Asked.of(one, scorers, given) for one in estimators]
    at_position: defaultdict[int, list[int]] = defaultdict(list)
    for number, order in enumerate(orders):
        for position in order:
            at_position[position].append(number)
    groups = {at: tuple(at_position[at]) for at in sorted(at_position)}
    # One function for all blocks on which the same estimators are scored.
    functions = {
        group: configured(partial(_ask_each, [asked[n] for n in group], may_fail))
        for group in set(groups.values())
    }
    results = map_each_block(
        blocks, {at: functions[group] for at, group in groups.items()}, name="score"
    )
    parts: list[list[Any]] = [[] for _ in asked]
    for group, found in zip(groups.values(), results, strict=True):
        for number, part in zip(group, found, strict=True):
            parts[number].append(part)
    return [
        _scored(one, own, OnBlocks(one.estimator, blocks, order), may_fail)
        for one, own, order in zip(asked, parts, orders, strict=True)
    ]


def _ask_each(
    asked: Sequence[_Asked], may_fail: bool, block: Block
) -> list[tuple[Any, float]]:
    """Return what each estimator yields for a block, or `Failed`, and its seconds."""
    taken = block.only(("X", "y"))
    return [
        _timed(partial(one.of_block, taken, may_fail=may_fail), may_fail)
        for one in asked
    ]


def _timed(call: Callable[[], Any], may_fail: bool) -> tuple[Any, float]:
    began = time.perf_counter()
    result = _result(call, may_fail)
    return result, time.perf_counter() - began


def _scored(
    asked: _Asked,
    parts: list[tuple[Any, float]],
    on_blocks: OnBlocks,
    may_fail: bool,
) -> Scored:
    """Return the scores that the blocks of an estimator make, and their errors."""
    seconds = sum(spent for _, spent in parts)
    found: Any = [part for part, _ in parts]
    failed = [part for part in found if isinstance(part, Failed)]
    if failed:
        found = failed[0]
    else:
        finish = partial(asked.finish, found, None, on_blocks, may_fail=may_fail)
        found, spent = _timed(finish, may_fail)
        seconds += spent
    if isinstance(found, Failed):
        found = dict.fromkeys(asked.scorers.by_name, found)
    errors = {name: one.error for name, one in found.items() if isinstance(one, Failed)}
    undefined = dict.fromkeys(errors, math.nan)
    scores = {name: one for name, one in found.items() if name not in errors}
    return Scored({**undefined, **_as_floats(scores)}, seconds, errors)


def _finish_floats(asked: _Asked, parts: list[Any]) -> dict[str, float]:
    return _as_floats(asked.finish(parts))


def _as_floats(scores: Mapping[str, Any]) -> dict[str, float]:
    """Return scores as numbers.

    Raises
    ------
    TypeError
        If one is no single number.
    """
    for name, score in scores.items():
        if np.ndim(score) > 0:
            raise TypeError(
                f"The scorer {name!r} returned {np.size(score)} numbers, "
                f"{score!r}; expected a single one. Pass an `average` or `multioutput` "
                "to `make_scorer` that yields one."
            )
    return {name: float(score) for name, score in scores.items()}


def lazy_scores(
    scorers: Scorers, estimator: Estimator, rows: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the scores of a fitted estimator, to be computed later.

    Parameters
    ----------
    scorers : Scorers
    estimator : estimator
        Fitted.
    rows : dict
        X, and perhaps y and parameters of the scorers that have an entry for each row.

    Returns
    -------
    dict of str to dask array of shape ()
        By the names of the scorers. They share one graph, so that all are computed in
        one read.

    Raises
    ------
    TypeError
        If X is a dask collection, and the estimator's own ``score`` is asked for and
        not known to be computed block by block, or a scorer does not say which method
        it calls.
    """
    if not is_lazy(rows["X"]):
        # The scorer of an estimator takes what is in memory, and dask computes y.
        held = partial(score_in_memory, scorers, estimator, rows["X"])
        delayed = dask.delayed(configured(held), name="score", traverse=False)
        # By position: dask's Delayed takes no dataframes by keyword.
        scores = delayed(rows.get("y"), rows.get("sample_weight"))
    else:
        for scorer in scorers.by_name.values():
            if scorer is not None and not says_what_it_calls(scorer):
                raise TypeError(
                    "compute=False needs a scorer that says which method it calls, got "
                    f"{scorer!r}. Pass a name or what `make_scorer` returns as "
                    "`scoring`, or leave compute=True."
                )
        asked = _Asked.of(estimator, scorers, rows)
        scores = reduce_blocks(
            read_blocks(rows),
            configured(asked.of_block),
            configured(partial(_finish_floats, asked)),
            name="score",
        )
    return {
        name: da.from_delayed(
            dask.delayed(_one_of)(scores, name), shape=(), dtype=float
        )
        for name in scorers.by_name
    }


def _one_of(scores: Mapping[str, Any], name: str) -> Any:
    return np.float64(scores[name])


def score_in_memory(
    scorers: Scorers,
    estimator: Estimator,
    X: Any,
    y: Any = None,
    sample_weight: Any = None,
) -> dict[str, float]:
    """Return the scores of a fitted estimator on data in memory.

    Parameters
    ----------
    scorers : Scorers
    estimator : estimator
        Fitted.
    X : array-like of shape (n_samples, n_features)
    y : array-like of shape (n_samples,) or (n_samples, n_outputs), optional
    sample_weight : array-like of shape (n_samples,), optional
    """
    rows = {} if sample_weight is None else {"sample_weight": sample_weight}
    # Each method is called once, if several scorers say that they call it.
    methods = {
        method: None
        for scorer in scorers.by_name.values()
        if scorers.several and scorer is not None and says_what_it_calls(scorer)
        for method in responses(scorer, estimator)
    }
    shared = isinstance(estimator, OnBlocks)
    outputs = {
        # Others may not find X changed.
        method: getattr(estimator, method)(X) if shared else call(estimator, method, X)
        for method in methods
    }
    scores = {}
    for name, scorer in scorers.by_name.items():
        if scorer is None:
            scores[name] = float(estimator.score(X, y, **rows))
            continue
        own = outputs if says_what_it_calls(scorer) else {}
        # scikit-learn's scorers ask for tags.
        plain = not own and hasattr(estimator, "__sklearn_tags__")
        asked = estimator if plain else Answers(estimator, own, X)
        weight = weights_for(scorer, rows, several=scorers.several)
        scores[name] = scorer(asked, X, y, **weight)
    return scores


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

    def gather(self, methods: Sequence[str] = RESPONSES) -> dict[str, Any]:
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
        rows = {"X": X, "y": y, "sample_weight": sample_weight}
        scorers = as_scorers(None)
        if X is self._X and not any(map(is_lazy, (y, sample_weight))):
            own = own_score(self._estimator)
            if own.methods:
                return float(own.aggregate([own.chunk(self, rows)]))
            held = self._estimator, self._blocks, self._order
            return score_held_out(scorers, *held)["score"]
        if any(map(is_lazy, rows.values())):
            given = {name: value for name, value in rows.items() if value is not None}
            scores = score_collections(
                scorers, self._estimator, given, X, self._wrapper
            )
            return float(scores["score"])
        return float(self._estimator.score(*rows.values()))

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

    def know(self, rows: dict[str, Any], outputs: Mapping[str, Any]) -> None:
        """Take what a read of the blocks has yielded: their rows, and outputs."""
        self._rows = rows
        self._outputs.update(outputs)

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
            configured(partial(respond, self._estimator, calls)),
            name="score",
            order=self._order,
        )
        rows, outputs = stacked(parts)
        if self._rows is None:
            self._rows = rows
        elif "y" in rows and not same_values(rows["y"], self._rows["y"]):
            raise ValueError(
                f"y has other values when it is read again for {list(calls)}, so that "
                "they cannot be paired with the y that was read before. Seed what is "
                "random in the collections or persist them, or pass a scorer that "
                "says what it needs: `make_scorer(..., response_method=...)`."
            )
        return outputs
