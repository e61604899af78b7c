"""SIGTERM, delayed until the progress of a fit is saved."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, NoReturn


class Termination:
    """A handler of SIGTERM for the time of a fit. It works in the main thread only.

    The handler that was set before is called as well. A second SIGTERM goes to that
    handler alone.

    Attributes
    ----------
    asked_for : bool
        Whether a SIGTERM has come.
    """

    def __init__(self) -> None:
        self.asked_for = False
        self._holds_back = False
        self._previous: Any = None
        self._process = os.getpid()

    def __enter__(self) -> Termination:
        previous = signal.getsignal(signal.SIGTERM)
        is_main = threading.current_thread() is threading.main_thread()
        # None stands for a handler that Python cannot put back.
        if is_main and previous not in (None, signal.SIG_IGN):
            self._previous = previous
            try:
                signal.signal(signal.SIGTERM, self._hear)
            except BaseException:
                self._put_back()
                raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._put_back()
        except BaseException:  # Ctrl-C, which may come between any two lines
            self._put_back()
            raise
        if self.asked_for:
            signal.raise_signal(signal.SIGTERM)

    def hold_back(self) -> None:
        """From now on only note a SIGTERM. `leave` then ends the process."""
        self._holds_back = True

    def leave(self) -> NoReturn:
        """End the process as SIGTERM does, but let it clean up.

        Raises
        ------
        SystemExit
            Unless the handler that was set before raises something else.
        """
        self.asked_for = False
        previous = self._put_back()
        if callable(previous):
            previous(signal.SIGTERM, None)
        raise SystemExit(128 + signal.SIGTERM)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        """Handle SIGTERM: note it, and end the process unless it is held back."""
        if os.getpid() != self._process:  # a forked child, which has the handler too
            self._put_back()
            signal.raise_signal(number)
            return
        self.asked_for = True
        if self._holds_back:
            signal.signal(signal.SIGTERM, self._previous)
        else:
            self.leave()

    def _put_back(self) -> Any:
        """Restore the handler that was set before, and return it."""
        previous = self._previous
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)
            # Set last: if Ctrl-C comes between the two lines, this can be repeated.
            self._previous = None
        return previous
