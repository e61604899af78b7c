"""What scikit-learn before 1.9 lacks: callbacks.

scikit-learn calls its own experimental. This module is to go when 1.9 is the lowest
version. Tested with scikit-learn 1.6 and 1.9.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import sklearn

__all__ = ["CallbackSupportMixin", "with_callbacks"]

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
