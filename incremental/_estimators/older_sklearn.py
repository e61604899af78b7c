"""What scikit-learn lacks in some of the versions from 1.6 on.

What the lowest supported version has is to be taken out. Tested with scikit-learn 1.6
and 1.9.
"""

from __future__ import annotations

import sys
from collections import UserList
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import sklearn
from sklearn.utils import get_tags

from incremental._typing import Estimator

__all__ = ["CallbackSupportMixin", "chosen_columns", "requires_fit", "with_callbacks"]

_HASHERS = {
    "sklearn.feature_extraction": "FeatureHasher",
    "sklearn.feature_extraction.text": "HashingVectorizer",
}


def requires_fit(estimator: Estimator) -> bool:
    """Tell whether an estimator has to be fitted before it is applied.

    scikit-learn's hashers do not, though its tags say so before 1.7.2.
    """
    # Not imported: nothing can be of a type that is not loaded.
    kinds = (getattr(sys.modules.get(name), _HASHERS[name], None) for name in _HASHERS)
    if any(kind is not None and isinstance(estimator, kind) for kind in kinds):
        return False
    return bool(get_tags(estimator).requires_fit)


def chosen_columns(chosen: Any) -> Any:
    """Return the columns that a fitted column transformer has chosen, to be read.

    Those of its `remainder` are in a list that warns when it is read before 1.7.
    """
    return chosen.data if isinstance(chosen, UserList) else chosen


if find_spec("sklearn.callback") is not None:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
else:

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Fit without callbacks, and refuse them."""

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
        """A task of a fit that nobody is told of."""

        def call_on_fit_task_begin(self, **told: Any) -> None:
            """Tell nobody that it begins."""

        def call_on_fit_task_end(self, **told: Any) -> bool:
            """Tell nobody that it ends."""
            return False

    def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
        """Return a method as it is."""
        return method
