"""Notes on exceptions, so that an error says where in the data it arose."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def noted(note: str) -> Iterator[None]:
    """Add a note to any exception that is raised inside the ``with`` block."""
    try:
        yield
    except Exception as error:
        error.add_note(note)
        raise
