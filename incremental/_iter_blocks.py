"""`iter_blocks`: the blocks of several collections, read within a look-ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from incremental._blocks.block import Block
from incremental._blocks.collections import name_collections
from incremental._graph.blocks import read_blocks
from incremental._graph.reader import BlockReader
from incremental._graph.schedulers import active_scheduler
from incremental._typing import Data, Piece, Prefetch, RandomState

# Another number means that `state_dict` returns something else.
_FORMAT = 1


@dataclass
class _Pass:
    """A pass over the blocks of a shard.

    Attributes
    ----------
    order : list of int
        For each place, the position of its block.
    drawn_from : dict or None
        The state of the generator before it drew the order, if a generator did that.
    n_yielded : int
        How many blocks the caller has got.
    """

    order: list[int]
    drawn_from: dict[str, Any] | None
    n_yielded: int = 0


class iter_blocks:  # noqa: N801
    """An iterable of blocks. Each block has the same rows of every collection.

    Every iteration is a separate pass over the data, but for the one that follows
    `load_state_dict`. When an iteration is closed early, for example by leaving a
    ``for`` loop, no more blocks are read. A read that is already running ends in the
    background. The pieces are copies: writing to them changes nothing else.

    Parameters
    ----------
    *collections : array, dataframe or series of shape (n_samples, ...)
        Dask collections or data in memory. All are cut where the first is cut. If
        the first is in memory, the others are computed at once, and all their rows
        are one block.
    shuffle : bool, default=False
        Whether each iteration takes the blocks in a random order.
    random_state : int, RandomState instance or None, default=None
        What draws the order of the blocks, if `shuffle` is True. With an int all
        iterations have the same order. Otherwise each has an order of its own.
    prefetch : int or "auto", default=2
        How many blocks may be read ahead of the one in use. ``"auto"`` takes the
        scheduler's number of threads, at least 2. Under the synchronous scheduler
        no block is read ahead.
    shard : tuple of (int, int), optional
        The index of a shard, from 0 on, and the number of shards. The iterations yield
        the blocks at the places ``index``, ``index + count``, ... of the order. So the
        shards of the same data yield each block once between them, in as many
        processes. With `shuffle` they need the same int as `random_state`. By default
        there is one shard, of all blocks. What several shards need, such as a stored
        piece that is cut into several blocks, or a statistic of all data, is read by
        each of them.

    Yields
    ------
    tuple
        The pieces of one block, in memory: one for each collection.

    Raises
    ------
    TypeError
        If there is no collection, or one of a kind that has no rows.
    ValueError
        If the rows cannot be paired, if `prefetch` or `shard` is out of its range, or
        if the shards would draw different orders.

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
        *collections: Data,
        shuffle: bool = False,
        random_state: RandomState = None,
        prefetch: Prefetch = 2,
        shard: Sequence[int] | None = None,
    ) -> None:
        named = name_collections("iter_blocks", collections)
        active_scheduler().look_ahead(prefetch)
        self._shard = _check_shard(shard)
        if shuffle and shard is not None and not _is_integer(random_state):
            raise ValueError(
                "random_state must be an int if shuffle=True and shard is given, got "
                f"{random_state!r}. Pass the same int to all shards: if each drew an "
                "order of its own, some blocks would be read twice and others never."
            )
        self._blocks = read_blocks(named)
        self._shuffle = bool(shuffle)
        self._random_state: Any = _to_keep(random_state) if shuffle else None
        self._prefetch = prefetch
        # The pass of the iteration that began last. None if it has come to its end.
        self._pass: _Pass | None = None
        self._loaded: _Pass | None = None

    def __len__(self) -> int:
        index, count = self._shard
        return len(range(index, len(self._blocks), count))

    def __iter__(self) -> Iterator[tuple[Piece, ...]]:
        current = self._loaded or self._begin()
        self._pass, self._loaded = current, None
        # Without blocks nothing is read, not even a statistic of all data.
        if left := current.order[current.n_yielded :]:
            yield from self._read(left, current)
        if self._pass is current:
            self._pass = None

    def state_dict(self) -> dict[str, Any]:
        """Return how far the iteration that began last has come.

        The blocks that the caller has got count, those that were read ahead do not. At
        the end of an iteration the state is that before the next one. An iteration
        that was left early keeps its state.

        Returns
        -------
        dict
            What `load_state_dict` takes. It consists of what JSON knows.
        """
        at = self._pass
        return {
            **self._identity(),
            "n_yielded": 0 if at is None else at.n_yielded,
            "drawn_from": None if at is None else at.drawn_from,
            "generator": _state_of(self._random_state),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next iteration go on where another one was.

        The next iteration yields the blocks of that pass that had not been yielded, in
        the same order. It does not read the others, unless what is left needs some of
        the same data. The later iterations are whole passes, in the orders that the
        other object would have drawn. A RandomState instance given as `random_state`
        gets the state that the other one had. If the state was taken in the loop over
        the last block, nothing is left: the next iteration yields no block.

        Parameters
        ----------
        state : dict
            What `state_dict` returned for an object made with the same arguments.

        Raises
        ------
        ValueError
            If `state` is something else, or that of other data, as far as their
            numbers of blocks and rows tell, or of other arguments. Nothing is loaded.
        """
        self._check_state(state)
        drawn_from, generator = state["drawn_from"], state["generator"]
        if drawn_from is not None:
            self._random_state.set_state(drawn_from)
        begun = drawn_from is not None or state["n_yielded"] > 0
        self._loaded = None
        if begun:
            self._loaded = _Pass(self._draw(), drawn_from, state["n_yielded"])
        if generator is not None:
            self._random_state.set_state(generator)
        self._pass = self._loaded

    def _begin(self) -> _Pass:
        """Return a new pass."""
        drawn_from = _state_of(self._random_state)
        return _Pass(self._draw(), drawn_from)

    def _draw(self) -> list[int]:
        """Draw the order of all blocks, and return the shard's part of it."""
        order = list(range(len(self._blocks)))
        if self._shuffle:
            rng = check_random_state(self._random_state)
            order = rng.permutation(len(order)).tolist()
        index, count = self._shard
        return order[index::count]

    def _read(self, order: list[int], current: _Pass) -> Iterator[tuple[Piece, ...]]:
        """Yield blocks of a pass, and count them.

        Parameters
        ----------
        order : list of int
            For each place, the position of its block.
        current : _Pass
            The pass.
        """
        # The active scheduler may be another one than when `iter_blocks` was called.
        blocks = self._blocks.on(active_scheduler())
        ahead = 0
        if blocks.scheduler.reads_ahead:
            ahead = blocks.scheduler.look_ahead(self._prefetch)
        with BlockReader(blocks, order) as reader:
            # A loop variable would keep a block alive after the caller has dropped it.
            yield from map(partial(_hand_over, current), _read_ahead(reader, ahead))

    def _identity(self) -> dict[str, Any]:
        """Return what a state has in common with the objects that may load it."""
        n_rows, random_state = self._blocks.n_rows, self._random_state
        if generator := _state_of(random_state):
            random_state = generator["bit_generator"]
        return {
            "format": _FORMAT,
            "n_blocks": len(self._blocks),
            "n_rows": None if n_rows is None else list(map(int, n_rows)),
            "shard": list(self._shard),
            "shuffle": self._shuffle,
            "random_state": random_state,
        }

    def _check_state(self, state: Any) -> None:
        """Check that a state is that of an object made with the same arguments."""
        expected = "state must be a dict that `iter_blocks.state_dict` returned"
        if not isinstance(state, Mapping):
            raise ValueError(f"{expected}, got {type(state).__name__}.")
        if missing := self.state_dict().keys() - state.keys():
            raise ValueError(
                f"{expected}, got one without {', '.join(sorted(missing))}."
            )
        identity = self._identity()
        differences = [
            f"{name} is {state[name]!r} in the state and {own!r} here"
            for name, own in identity.items()
            if name != "n_rows" and state[name] != own
        ]
        if state["n_blocks"] == len(self._blocks):
            differences += _different_rows(state["n_rows"], identity["n_rows"])
        if differences:
            raise ValueError(
                f"The state is not that of these blocks: {'; '.join(differences)}. "
                "Load it into an `iter_blocks` of the same data and arguments."
            )
        n_yielded = state["n_yielded"]
        if not _is_integer(n_yielded) or not 0 <= n_yielded <= len(self):
            raise ValueError(
                "n_yielded of the state must be an integer from 0 to the number of "
                f"blocks, {len(self)}, got {n_yielded!r}."
            )


def _check_shard(shard: Sequence[int] | None) -> tuple[int, int]:
    """Return the index of a shard and the number of shards.

    Parameters
    ----------
    shard : tuple of (int, int) or None
        As for `iter_blocks`.

    Raises
    ------
    ValueError
        If there is no such shard.
    """
    if shard is None:
        return 0, 1
    pair = isinstance(shard, tuple | list) and len(shard) == 2
    if not pair or not all(map(_is_integer, shard)) or not 0 <= shard[0] < shard[1]:
        raise ValueError(
            "shard must be None or (index, count), two integers with 0 <= index < "
            f"count, got {shard!r}. It is the part of the blocks to read: those at the "
            "places index, index + count, ... of their order."
        )
    return int(shard[0]), int(shard[1])


def _is_integer(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _to_keep(random_state: RandomState) -> int | np.random.RandomState:
    """Return an int as it is, and otherwise a generator that is not NumPy's global one.

    What the next orders are must not depend on who else draws from the global one.
    """
    if isinstance(random_state, Integral):
        return int(random_state)
    rng = check_random_state(random_state)
    is_global = rng is check_random_state(None)
    return np.random.RandomState(rng.randint(2**31)) if is_global else rng


def _state_of(random_state: RandomState) -> dict[str, Any] | None:
    """Return the state of a generator, in what JSON knows. None if it is not one."""
    if not isinstance(random_state, np.random.RandomState):
        return None
    state: dict[str, Any] = _plain(random_state.get_state(legacy=False))
    return state


def _plain(value: Any) -> Any:
    """Return a value with lists in place of arrays."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _different_rows(loaded: list[int] | None, own: list[int] | None) -> list[str]:
    """Return a text on the first block whose number of rows differs, if there is one.

    Parameters
    ----------
    loaded, own : list of int or None
        The numbers of rows of the blocks in a state and in the data, if known. There
        are as many blocks in both.
    """
    if loaded == own:
        return []
    if loaded is None or own is None:
        known = "the state" if own is None else "these blocks"
        return [f"the numbers of rows are known only of {known}"]
    return [
        f"block {position} has {rows} rows in the state and {here} here"
        for position, (rows, here) in enumerate(zip(loaded, own, strict=True))
        if rows != here
    ][:1]


def _hand_over(current: _Pass, block: Block) -> tuple[Piece, ...]:
    """Count a block that the caller gets, and return its pieces."""
    current.n_yielded += 1
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
