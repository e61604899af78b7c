"""Make the next item while the one before is used."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

_END = object()


def make_ahead(items: Iterator[Any]) -> Iterator[Any]:
    """Yield items, of which a thread makes the next one meanwhile.

    The thread ends with the last item, with an error and when the iterator is closed.

    Parameters
    ----------
    items : iterator
        What takes long in it releases the interpreter's lock, as NumPy does.

    Examples
    --------
    >>> list(make_ahead(iter("abc")))
    ['a', 'b', 'c']
    """
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, items, _END)
        while (item := coming.result()) is not _END:
            coming = thread.submit(next, items, _END)
            yield item
