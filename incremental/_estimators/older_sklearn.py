"""Replacements for what some scikit-learn versions from 1.6 on lack.

A replacement must be removed once the lowest supported version needs it no more.
Tested with scikit-learn 1.6 and 1.9.
"""

from __future__ import annotations

import sys
from collections import UserList
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import sklearn

from incremental._estimators.foreign import tags_of
from incremental._typing import Estimator

__all__ = ["CallbackSupportMixin", "chosen_columns", "requires_fit", "with_callbacks"]

_HASHERS = {
    "sklearn.feature_extraction": "FeatureHasher",
    "sklearn.feature_extraction.text": "HashingVectorizer",
}


def requires_fit(estimator: Estimator) -> bool:
    """Tell whether an estimator has to be fitted before it is applied.

    The hashers need no fit, though before 1.7.2 their tags say that they do.
    """
    # The classes are not imported. If a module is not loaded, no object has its class.
    kinds = (getattr(sys.modules.get(name), _HASHERS[name], None) for name in _HASHERS)
    if any(kind is not None and isinstance(estimator, kind) for kind in kinds):
        return False
    return bool(tags_of(estimator).requires_fit)


def chosen_columns(chosen: Any) -> Any:
    """Return the columns that a fitted column transformer has chosen for a transformer.

    Before 1.7 the columns of `remainder` are in a list that warns when it is read.

    Parameters
    ----------
    chosen : list, slice, array, str or int
        The columns in an item of ``transformers_``.

    Returns
    -------
    same as `chosen`
        For a list that warns, the plain list inside it.
    """
    return chosen.data if isinstance(chosen, UserList) else chosen


if find_spec("sklearn.callback") is not None:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
else:

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """A stand-in for scikit-learn's mixin: it refuses all callbacks."""

        def set_callbacks(self, *callbacks: Any) -> Any:
            """Say that callbacks need a newer scikit-learn.

            Raises
            ------
            ImportError
                Always.
            """
            raise ImportError(
                "`set_callbacks` needs scikit-learn 1.9 or newer, which brings "
                f"`sklearn.callback`; {sklearn.__version__} is installed. Upgrade it, "
                "or follow the passes of a fit with `verbose=1` and `history_`."
            )

        def _init_callback_context(self, **options: Any) -> _Unheard:
            return _Unheard()

    class _Unheard:
        """A task of a fit that tells no callback of its begin and end."""

        def call_on_fit_task_begin(self, **told: Any) -> None:
            """Do nothing."""

        def call_on_fit_task_end(self, **told: Any) -> bool:
            """Do nothing, and return that the fit is not to stop."""
            return False

    def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
        """Return the method unchanged."""
        return method
