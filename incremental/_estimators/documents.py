"""Documents: what is done to X before a vectoriser gets it."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import FeatureUnion, Pipeline

from incremental._blocks.collections import as_collection
from incremental._blocks.rows import is_pandas
from incremental._estimators.foreign import tags_of
from incremental._typing import Data, Estimator, Piece


def as_documents(estimator: Estimator, X: Data) -> Data:
    """Replace missing values of X by empty text, if an estimator takes documents.

    Vectorisers raise on missing values, and large collections of text have some.

    Parameters
    ----------
    estimator : estimator
        The estimator that will get X.
    X : array, frame, series or bag of shape (n_samples, ...)

    Returns
    -------
    same kind as X
        Lazy if X is lazy. X itself if the estimator takes no documents.

    Raises
    ------
    ValueError
        If X is a table and the estimator takes documents. It would mistake the names of
        the columns, or whole rows, for documents.
    """
    _check_is_no_table(estimator, X)
    _check_has_columns(estimator, X)
    if not _takes_documents(estimator):
        return X
    return as_collection(X).with_text()


def as_list(estimator: Estimator, X: Piece) -> Piece:
    """Return a series of documents as a list, for scikit-learn's vectorisers.

    A vectoriser takes one document at a time. A series with Arrow storage makes a new
    string for each document, which takes nearly a third of the vectoriser's time.

    Parameters
    ----------
    estimator : estimator
        The estimator that will get X.
    X : array, frame, series or list in memory

    Returns
    -------
    list of str, or X itself
        X itself if it is no series, or if the estimator does not begin with one of
        scikit-learn's vectorisers.
    """
    if not (is_pandas(X) and X.ndim == 1 and _takes_documents(estimator)):
        return X
    from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer

    first = _first_step(estimator)
    is_own = isinstance(first, CountVectorizer | HashingVectorizer)
    return X.tolist() if is_own else X


def _check_is_no_table(estimator: Estimator, X: Data) -> None:
    """Raise if an estimator, or the first step in it, would take a table for documents.

    Parameters
    ----------
    estimator : estimator
    X : array, frame, series or bag
        What the estimator will get.
    """
    first = _first_step(estimator)
    if getattr(X, "ndim", None) != 2:
        return
    if isinstance(first, FeatureUnion):
        for _, part in first.transformer_list:
            _check_is_no_table(part, X)
    elif hasattr(first, "transformers") and hasattr(first, "remainder"):
        for name, part, chosen in first.transformers:
            single = isinstance(chosen, str | Integral) or callable(chosen)
            if not single and _takes_a_column(part, X):
                raise ValueError(
                    f"The transformer {name!r} takes one text for each row, got the "
                    f"columns {chosen!r}, which make a table; expected a single "
                    f"column, such as {_one_of(chosen)!r}."
                )
    elif _takes_a_column(first, X):
        kind = f"{type(X).__name__} of {X.shape[1]} columns"
        column = repr(X.columns[0]) if hasattr(X, "columns") else ":, 0"
        raise ValueError(
            f"{type(first).__name__} takes one text for each row, got a {kind} as X; "
            f"expected one of its columns. Pass the column, as in `X[{column}]`."
        )


def _check_has_columns(estimator: Estimator, X: Data) -> None:
    """Check that X is no bag, if the estimator takes tables only.

    Raises
    ------
    TypeError
        If it is.
    """
    if not as_collection(X).is_table and _takes_tables_only(_first_step(estimator)):
        raise TypeError(
            f"{type(_first_step(estimator)).__name__} takes a table, got a dask "
            f"{type(X).__name__} as X; expected a dask dataframe or array. Pass "
            "`bag.to_dataframe()` for a bag of records (dicts or tuples)."
        )


def _takes_tables_only(estimator: Estimator) -> bool:
    """Tell whether an estimator is one of scikit-learn's that takes no single objects.

    Others may declare nothing. One of several estimators takes what these take.
    """
    if not type(estimator).__module__.startswith("sklearn."):
        return False
    params = estimator.get_params(deep=False).values()
    if any(hasattr(one, "fit") or isinstance(one, list) for one in params):
        return False
    tags = tags_of(estimator)
    inputs = tags.input_tags
    others = inputs.string or inputs.dict or tags.no_validation
    return bool(inputs.two_d_array and not others)


def _takes_a_column(estimator: Estimator, X: Data) -> bool:
    """Tell whether an estimator takes one column of a table X, not the table."""
    if not _takes_documents(estimator):
        return False
    if hasattr(X, "columns"):
        return True
    # A vectoriser with a function of the user's own may be meant for whole rows.
    first = _first_step(estimator)
    own = (getattr(first, name, None) for name in ("analyzer", "preprocessor"))
    return hasattr(first, "analyzer") and not any(map(callable, own))


def _one_of(chosen: Any) -> Any:
    """Return one of the chosen columns, as an example for a message."""
    return chosen[0] if isinstance(chosen, list) and chosen else 0


def _takes_documents(estimator: Estimator) -> bool:
    """Tell whether an estimator, by its tags, takes one text for each row."""
    first = _first_step(estimator)
    if first is None or isinstance(first, str):
        return False
    tags = tags_of(first).input_tags
    return tags.string and not tags.two_d_array


def _first_step(estimator: Estimator) -> Any:
    """Return the first step of a pipeline, also of one that is nested or frozen."""
    while isinstance(estimator, Pipeline | FrozenEstimator):
        frozen = isinstance(estimator, FrozenEstimator)
        estimator = estimator.estimator if frozen else estimator.steps[0][1]
    return estimator
