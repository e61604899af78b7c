"""scikit-learn's configuration. Each thread and each process has its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

from sklearn import config_context, get_config


@dataclass(frozen=True)
class Configured:
    """A function with the configuration of scikit-learn that it always runs under.

    Parameters
    ----------
    function : callable
        The function to call.
    config : dict
        As `sklearn.get_config` returns it.
    """

    function: Callable[..., Any]
    config: Mapping[str, Any]

    def __call__(self, *args: Any, **params: Any) -> Any:
        """Call the function, then restore the configuration of this thread."""
        # Reading the configuration is ten times as fast as changing it.
        if get_config() == self.config:
            return self.function(*args, **params)
        with config_context(**self.config):
            return self.function(*args, **params)


def configured(function: Callable[..., Any]) -> Configured:
    """Return a function that runs under the configuration of the caller."""
    return Configured(function, get_config())


def changed_settings() -> dict[str, Any]:
    """Return the settings of this thread that differ from those of a new thread.

    Examples
    --------
    >>> changed_settings()
    {}
    >>> with config_context(assume_finite=True):
    ...     changed_settings()
    {'assume_finite': True}
    """
    defaults = _defaults()
    return {
        name: value for name, value in get_config().items() if value != defaults[name]
    }


@cache
def _defaults() -> dict[str, Any]:
    """Return the configuration of a new thread."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(get_config).result()  # type: ignore[no-any-return]
