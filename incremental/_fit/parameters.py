"""Checks of the parameters of `Incremental`."""

from __future__ import annotations

from numbers import Integral, Real
from os import PathLike
from typing import Any

import numpy as np

from incremental._estimators.average import average
from incremental._estimators.composition import last_step, learning_steps
from incremental._estimators.merge import merge
from incremental._estimators.traits import has_callbacks
from incremental._predict.by_block import own_score
from incremental._predict.scorers import as_scorers
from incremental._typing import Estimator

# What `history_` says of a pass beside its scores.
_RECORDED = {"pass", "score", "loss", "seconds", "blocks", "rows"}


def check_batch_size(batch_size: object) -> None:
    """Check `batch_size`.

    Raises
    ------
    ValueError
        If it is neither None, ``"auto"`` nor an integer of 1 or more.
    """
    auto = isinstance(batch_size, str) and batch_size == "auto"
    if batch_size is not None and not auto and not _is_count(batch_size):
        raise ValueError(
            "batch_size must be None, 'auto' or an integer of 1 or more, got "
            f"{batch_size!r}. It is the number of rows for each call of `partial_fit`."
        )


def check_passes(model: Any) -> None:
    """Check the parameters that the passes of a fit depend on.

    Parameters
    ----------
    model : Incremental
        The wrapper that has the parameters.

    Raises
    ------
    ValueError
        If one is out of its range.
    TypeError
        If the estimator has no score or loss by which to stop, or `scoring` is none.
    """
    for name in ("max_iter", "n_iter_no_change"):
        if not _is_count(value := getattr(model, name)):
            raise ValueError(f"{name} must be an integer of 1 or more, got {value!r}.")
    for name in ("shuffle_blocks", "shuffle_rows"):
        if not isinstance(value := getattr(model, name), bool | np.bool_):
            raise ValueError(f"{name} must be True or False, got {value!r}.")
    tol = model.tol
    if tol is not None and (not _is_real(tol) or not tol >= 0):
        raise ValueError(f"tol must be None or a number of 0 or more, got {tol!r}.")
    fraction = model.validation_fraction
    if not _is_real(fraction) or not 0 < fraction < 1:
        raise ValueError(
            f"validation_fraction must be a number between 0 and 1, got {fraction!r}. "
            "It is the share of the blocks that early_stopping holds out."
        )
    data = model.validation_data
    if data is not None and not (isinstance(data, tuple | list) and len(data) == 2):
        raise ValueError(
            f"validation_data must be None or (X_val, y_val), got {type(data).__name__}"
        )
    scorers = as_scorers(model.scoring, model.refit)
    if scorers.several and (taken := _RECORDED.intersection(scorers.by_name)):
        raise ValueError(
            f"scoring must not name a scorer {min(taken)!r}, got {model.scoring!r}. "
            f"`history_` has records of the names {sorted(_RECORDED)} already."
        )
    if None in scorers.by_name.values() and (model.early_stopping or data is not None):
        own_score(model.estimator)
    if tol is not None and not (model.early_stopping or model.progressive_validation):
        _check_judged(model.estimator)
    check_checkpoint(model)


def check_checkpoint(model: Any) -> None:
    """Check where checkpoints go, and how often.

    Parameters
    ----------
    model : Incremental or search

    Raises
    ------
    ValueError
        If one of these parameters is out of its range.
    """
    every = model.checkpoint_every
    if not _is_count(every):
        raise ValueError(
            f"checkpoint_every must be an integer of 1 or more, got {every!r}."
        )
    where = model.checkpoint
    if where is not None and not (isinstance(where, str | PathLike) and str(where)):
        raise ValueError(
            f"checkpoint must be None, a path or a URL, got {where!r}. It is the "
            "directory that the fit writes its progress to."
        )


def _check_judged(estimator: Estimator) -> None:
    """Check that an estimator has a loss or a score on what it learned from."""
    if not hasattr(last_step(estimator), "score"):
        raise TypeError(
            f"tol needs an estimator with a loss or a score, got "
            f"{type(last_step(estimator)).__name__}. Leave tol=None, or pass "
            "early_stopping=True and `scoring`."
        )


def check_replicas(model: Any) -> None:
    """Check `replicas`.

    Parameters
    ----------
    model : Incremental

    Raises
    ------
    ValueError
        If it is no integer of 1 or more, or more than 1 together with callbacks.
    TypeError
        If it is more than 1, and the parameters of the estimator cannot be averaged,
        or a step of the pipeline before the last one learns.
    """
    replicas = model.replicas
    if not _is_count(replicas):
        raise ValueError(
            f"replicas must be an integer of 1 or more, got {replicas!r}. It is the "
            "number of copies that learn from different blocks beside each other."
        )
    if replicas == 1:
        return
    last = last_step(model.estimator)
    if merge.learns_as_registered(last):
        raise TypeError(
            f"replicas={replicas} is not for {type(last).__name__}, whose states merge "
            "exactly: it learns from all blocks in parallel already. Leave replicas=1."
        )
    if not average.learns_as_registered(last):
        raise TypeError(
            f"replicas={replicas} needs an estimator whose parameters can be averaged, "
            "such as an `SGDClassifier`, got "
            f"{type(last).__name__}. Leave replicas=1, or register a function for the "
            "type with `incremental.average.register`."
        )
    learning = [type(step).__name__ for step in learning_steps(model.estimator)]
    if learning:
        raise TypeError(
            f"replicas={replicas} needs a pipeline whose steps before the last one do "
            f"not learn, got {', '.join(learning)}: each replica would learn another "
            "one. Fit them in a pass of their own, as in `make_pipeline(Incremental("
            "scaler), Incremental(classifier, replicas=4))`, or freeze them when "
            "fitted (`sklearn.frozen.FrozenEstimator`)."
        )
    if has_callbacks(model) or has_callbacks(last):
        raise ValueError(
            f"replicas={replicas} does not go with callbacks, which are told of one "
            "estimator after each block. Leave replicas=1, or set no callbacks."
        )


def check_enough_blocks(replicas: int, n_blocks: int) -> None:
    """Check that each replica gets a block.

    Raises
    ------
    ValueError
        If there are fewer blocks to learn from than replicas.
    """
    if replicas > max(n_blocks, 1):
        raise ValueError(
            f"replicas={replicas} needs at least as many blocks to learn from, got "
            f"{n_blocks}. Pass replicas={n_blocks} or fewer, or cut X into more blocks."
        )


def check_progressive(model: Any) -> None:
    """Check `progressive_validation`.

    Parameters
    ----------
    model : Incremental

    Raises
    ------
    ValueError
        If it is neither True nor False.
    TypeError
        If the estimator has no score.
    """
    if not isinstance(value := model.progressive_validation, bool | np.bool_):
        raise ValueError(
            f"progressive_validation must be True or False, got {value!r}."
        )
    scorers, last = as_scorers(model.scoring), last_step(model.estimator)
    if value and None in scorers.by_name.values() and not hasattr(last, "score"):
        raise TypeError(
            f"progressive_validation=True needs an estimator with a score, got "
            f"{type(last).__name__}. Leave progressive_validation=False, or pass "
            "`scoring`, a name or a callable as scikit-learn's `get_scorer` takes."
        )


def _is_count(value: object) -> bool:
    """Tell whether a value is an integer of 1 or more."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        return False
    return int(value) >= 1


def _is_real(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
