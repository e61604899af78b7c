"""Objects that are no scikit-learn estimators, but have some methods of one.

scikit-learn refuses an object without tags or without ``get_params``. Here only the
methods matter that are called.
"""

from __future__ import annotations

from typing import Any

from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import Tags, TargetTags, get_tags
from sklearn.utils.validation import check_is_fitted

from incremental._typing import Estimator


def tags_of(estimator: Estimator) -> Tags:
    """Return the tags of an estimator, or what holds for an object without tags.

    Parameters
    ----------
    estimator : estimator or object

    Returns
    -------
    sklearn.utils.Tags
        An object without tags is neither a classifier nor a regressor. It has to be
        fitted if it has a method that fits it.
    """
    if hasattr(estimator, "__sklearn_tags__"):
        return get_tags(estimator)
    return Tags(
        estimator_type=None,
        target_tags=TargetTags(required=False),
        requires_fit=hasattr(estimator, "fit") or hasattr(estimator, "partial_fit"),
    )


def params_of(estimator: Estimator) -> dict[str, Any]:
    """Return the parameters of an estimator; {} for an object without them."""
    return estimator.get_params() if hasattr(estimator, "get_params") else {}


def check_fitted(estimator: Estimator) -> None:
    """Check that an estimator is fitted, as far as that can be told.

    scikit-learn looks for attributes that end in an underscore. An estimator that
    keeps what it learned under other names counts as fitted too: it has attributes
    that a clone of it lacks. Of an object that has no ``fit``, no tags or no
    parameters it cannot be told; such an object has to raise an error of its own.

    Parameters
    ----------
    estimator : estimator or object

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If it is not fitted.
    """
    needed = ("fit", "__sklearn_tags__", "get_params")
    if not all(hasattr(estimator, name) for name in needed):
        return
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        says_so_itself = hasattr(estimator, "__sklearn_is_fitted__")
        if says_so_itself or not _holds_more_than_a_clone(estimator):
            raise


def _holds_more_than_a_clone(estimator: Estimator) -> bool:
    fresh = vars(clone(estimator))
    return any(
        value is not None and fresh.get(name) is None
        for name, value in vars(estimator).items()
    )
