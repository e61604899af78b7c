"""`iter_blocks`: the blocks of several collections, read within a look-ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from sklearn.utils import check_random_state

from incremental._blocks.block import Block
from incremental._blocks.collections import is_lazy
from incremental._blocks.labelled import check_labels
from incremental._graph.blocks import read_blocks
from incremental._graph.reader import BlockReader
from incremental._graph.schedulers import active_scheduler


class iter_blocks:  # noqa: N801
    """An iterable of blocks. Each block has the same rows of every collection.

    Every iteration is a separate pass over the data. When an iteration is closed
    early, for example by leaving a ``for`` loop, no more blocks are read. A read
    that is already running ends in the background. The pieces are copies: writing
    to them changes nothing else.

    Parameters
    ----------
    *collections : array, dataframe or series of shape (n_samples, ...)
        Dask collections or data in memory. All are cut where the first is cut. If
        the first is in memory, the others must be in memory too, and all their rows
        are one block.
    shuffle : bool, default=False
        Whether each iteration takes the blocks in a random order.
    random_state : int, RandomState instance or None, default=None
        What draws the order of the blocks, if `shuffle` is True.
    prefetch : int or "auto", default=2
        How many blocks may be read ahead of the one in use. ``"auto"`` takes the
        scheduler's number of threads, at least 2. Under the synchronous scheduler
        no block is read ahead.

    Yields
    ------
    tuple
        The pieces of one block, in memory: one for each collection.

    Raises
    ------
    TypeError
        If there is no collection, or one of a kind that has no rows.
    ValueError
        If the rows cannot be paired, or `prefetch` is out of its range.

    Examples
    --------
    >>> import dask.array as da
    >>> from incremental import iter_blocks
    >>> X = da.ones((10, 2), chunks=(4, 2))
    >>> y = da.arange(10, chunks=5)
    >>> len(iter_blocks(X, y))
    3
    >>> for X_block, y_block in iter_blocks(X, y):
    ...     print(X_block.shape, y_block)
    (4, 2) [0 1 2 3]
    (4, 2) [4 5 6 7]
    (2, 2) [8 9]
    """

    def __init__(
        self,
        *collections: Any,
        shuffle: bool = False,
        random_state: Any = None,
        prefetch: Any = 2,
    ) -> None:
        if not collections:
            raise TypeError("iter_blocks takes at least one collection, got none.")
        for number, one in enumerate(collections):
            if not is_lazy(one) and not hasattr(one, "__len__"):
                raise TypeError(
                    f"Collection {number} has no rows: got {type(one).__name__}, "
                    "expected an array, dataframe or series."
                )
        active_scheduler().look_ahead(prefetch)
        names = [f"collection {number}" for number in range(len(collections))]
        named = dict(zip(names, collections, strict=True))
        check_labels(named)
        self._blocks = read_blocks(named)
        self._shuffle = shuffle
        self._random_state = random_state
        self._prefetch = prefetch

    def __len__(self) -> int:
        return len(self._blocks)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        order = range(len(self))
        if self._shuffle:
            order = check_random_state(self._random_state).permutation(len(self))
        # The active scheduler may be another one than when `iter_blocks` was called.
        blocks = self._blocks.on(active_scheduler())
        ahead = 0
        if blocks.scheduler.reads_ahead:
            ahead = blocks.scheduler.look_ahead(self._prefetch)
        with BlockReader(blocks, order) as reader:
            # A loop variable would keep a block alive after the caller has dropped it.
            yield from map(_pieces, _read_ahead(reader, ahead))


def _pieces(block: Block) -> tuple[Any, ...]:
    return tuple(block.values())


def _read_ahead(reader: BlockReader, ahead: int) -> Iterator[Block]:
    """Yield the blocks of a pass.

    Parameters
    ----------
    reader : BlockReader
    ahead : int
        How many later blocks may be read while the caller uses a block. 0 reads each
        block in the caller's thread.
    """
    if ahead == 0:
        yield from map(reader.read, range(len(reader)))
        return
    pool = ThreadPoolExecutor(ahead, thread_name_prefix="iter_blocks")
    reading: deque[Future[Block]] = deque()
    try:
        for place in range(len(reader) + ahead):
            if place < len(reader):
                reading.append(pool.submit(reader.read, place))
            if place >= ahead:
                yield reading.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
