"""The public block iterator."""

import contextlib
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from pathlib import Path

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from incremental import iter_blocks
from tests.graph.test_fold import Source, fail_at_six


def test_a_tuple_per_block_with_one_piece_per_collection(scheduler):
    X = da.arange(10, chunks=4).reshape(-1, 1)
    y = da.arange(10, chunks=5)
    blocks = list(iter_blocks(X, y))
    assert [len(block) for block in blocks] == [2, 2, 2]
    for X_block, y_block in blocks:
        np.testing.assert_array_equal(X_block[:, 0], y_block)


def test_the_pieces_come_in_the_order_of_the_collections():
    frame = dd.from_pandas(pd.DataFrame({"a": range(6)}), npartitions=2)
    array = da.arange(6, chunks=3)
    for from_array, from_frame in iter_blocks(array, frame):
        assert isinstance(from_array, np.ndarray)
        assert isinstance(from_frame, pd.DataFrame)


def test_its_length_is_the_number_of_blocks():
    assert len(iter_blocks(da.ones(10, chunks=3))) == 4
    assert len(iter_blocks(np.ones(10))) == 1


def test_nothing_is_read_before_the_iteration(no_compute):
    iter_blocks(da.ones(10, chunks=3), da.ones(10, chunks=2))


def test_data_in_memory_is_one_block():
    X, y = np.ones((4, 2)), np.ones(4)
    [(X_block, y_block)] = iter_blocks(X, y)
    np.testing.assert_array_equal(X_block, X)
    np.testing.assert_array_equal(y_block, y)


def frame_of(values):
    return dd.from_pandas(pd.DataFrame({"a": values, "b": values}), npartitions=3)


def mapped(values, folder):
    np.save(folder / "values.npy", values)
    return da.from_array(np.load(folder / "values.npy", mmap_mode="r+"), chunks=4)


KEPT = np.arange(12.0)


def kept(block):
    return KEPT[: len(block)]


@pytest.mark.parametrize(
    "make",
    [
        lambda values, _: values,
        lambda values, _: sp.csr_array(values.reshape(-1, 1)),
        lambda values, _: pd.DataFrame({"a": values}),
        lambda values, _: da.from_array(values, chunks=4),
        lambda values, _: da.from_array(values, chunks=12).rechunk(4),
        lambda values, _: (da.from_array(values, chunks=4) + 1).persist(),
        lambda values, _: frame_of(values),
        lambda values, _: frame_of(values)["a"],
        lambda values, _: frame_of(values).persist(),
        lambda values, _: frame_of(values)[["b"]].to_dask_array(lengths=True),
        lambda values, _: da.from_array(values, chunks=4).map_blocks(kept, dtype=float),
        mapped,
    ],
    ids=[
        "in-memory array",
        "in-memory sparse array",
        "in-memory frame",
        "array",
        "slices of one chunk",
        "persisted array",
        "frame",
        "series",
        "persisted frame",
        "array of a frame",
        "array that its function keeps",
        "memory map",
    ],
)
def test_writing_to_a_block_changes_nothing_else(make, tmp_path, scheduler):
    data = make(np.arange(12.0), tmp_path)
    expected = [plain(block).copy() for (block,) in iter_blocks(data)]
    for (block,) in iter_blocks(data):
        plain(block)[...] = -1
        plain(block)[...] -= 1
    for (block,), before in zip(iter_blocks(data), expected, strict=True):
        np.testing.assert_array_equal(plain(block), before)


def plain(block):
    """Return the memory of a block itself, to write to."""
    if hasattr(block, "tocsr"):
        return block.data
    if not hasattr(block, "iloc"):
        return block
    array = block.to_numpy()
    assert np.shares_memory(array, block)
    array.flags.writeable = True
    return array


def test_writing_to_a_piece_leaves_the_other_pieces_alone():
    X = da.from_array(np.arange(12.0), chunks=4)
    for first, second in iter_blocks(X, X):
        first -= 1
        np.testing.assert_array_equal(first + 1, second)


@pytest.mark.parametrize("prefetch", [0, 1, 3])
def test_every_task_runs_once_in_each_iteration(prefetch):
    source = Source(12)
    halves, X = source.array.rechunk((5, 1)), source.array
    blocks = iter_blocks(X.rechunk((7, 2)), halves, prefetch=prefetch)
    for iteration in (1, 2):
        assert sum(len(X_block) for X_block, _ in blocks) == 120
        assert set(source.reads.values()) == {iteration}
        assert set(source.reads) == set(range(12))


@pytest.mark.parametrize("prefetch", [0, 2, 4])
def test_no_more_blocks_live_than_the_look_ahead_allows(prefetch):
    source = Source(20)
    with dask.config.set(scheduler="threads", num_workers=8):
        for (block,) in iter_blocks(source.array, prefetch=prefetch):
            time.sleep(0.01)
            del block
    assert source.most_live <= prefetch + 1


def test_reading_goes_on_while_a_block_is_in_use():
    source = Source(6)
    with dask.config.set(scheduler="threads"):
        blocks = iter(iter_blocks(source.array, prefetch=3))
        next(blocks)
        deadline = time.monotonic() + 10
        while len(source.reads) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert sorted(source.reads) == [0, 1, 2, 3]
        blocks.close()


def test_the_synchronous_scheduler_reads_in_the_callers_thread():
    threads = []

    def note(block):
        threads.append(threading.current_thread())
        return block

    X = da.ones(8, chunks=2).map_blocks(note, dtype=float, meta=np.empty(0))
    with dask.config.set(scheduler="synchronous"):
        list(iter_blocks(X))
    assert threads == [threading.current_thread()] * 4


def test_an_error_surfaces_at_its_block(scheduler):
    X = da.arange(12, chunks=2).map_blocks(fail_at_six, dtype=int)
    seen = []
    with pytest.raises(ValueError, match="six") as caught:
        seen.extend(iter_blocks(X))
    assert len(seen) == 3
    assert any("block 3" in note for note in caught.value.__notes__)


def test_blocks_of_unequal_rows_raise_at_their_block():
    y = da.arange(6, chunks=2)
    with pytest.raises(ValueError, match="same number of rows") as caught:
        list(iter_blocks(da.ones(6, chunks=2), y[y != 3]))
    assert any("block 1" in note for note in caught.value.__notes__)


def test_closing_early_stops_the_reading_and_its_threads():
    source = Source(50, seconds=0.005)
    before = threading.active_count()
    with dask.config.set(scheduler="threads"):
        for _ in iter_blocks(source.array, prefetch=2):
            break
    wait_for(lambda: threading.active_count() <= before)
    reads = sum(source.reads.values())
    time.sleep(0.05)
    assert reads <= 4
    assert sum(source.reads.values()) == reads


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert condition()


class Held:
    """An array whose blocks, but for the first, are not read until they are let go."""

    def __init__(self):
        self.n_read = 0
        self._let_go = threading.Event()
        later = da.ones(6, chunks=2).map_blocks(self._read, meta=np.empty(0))
        self.array = da.concatenate([da.ones(2, chunks=2), later])

    def _read(self, block):
        self._let_go.wait(20)
        self.n_read += 1
        return block

    def let_go(self):
        self._let_go.set()


def leave_by_break(blocks):
    for _ in blocks:
        break


def leave_by_an_error(blocks):
    with contextlib.suppress(ZeroDivisionError):
        for _ in blocks:
            raise ZeroDivisionError


def leave_by_closing(blocks):
    opened = iter(blocks)
    next(opened)
    opened.close()


def leave_by_forgetting(blocks):
    next(iter(blocks))


@pytest.mark.parametrize(
    "leave",
    [leave_by_break, leave_by_an_error, leave_by_closing, leave_by_forgetting],
)
def test_leaving_does_not_wait_for_the_blocks_under_way(leave):
    threads = set(threading.enumerate())
    held = Held()
    with dask.config.set(scheduler="threads", num_workers=3):
        leave(iter_blocks(held.array, prefetch=2))
    assert held.n_read == 0
    held.let_go()
    wait_for(lambda: set(threading.enumerate()) <= threads)


def hold_on_a_worker(block):
    from distributed import Event

    Event("let go").wait(20)
    return block


def test_leaving_on_a_cluster_does_not_wait_and_releases_its_futures(client):
    from distributed import Event

    held = da.ones(6, chunks=2).map_blocks(hold_on_a_worker, meta=np.empty(0))
    blocks = iter_blocks(da.concatenate([da.ones(2, chunks=2), held]), prefetch=2)
    threads = set(threading.enumerate())
    next(iter(iter_blocks(da.ones(2))))
    began = time.monotonic()
    leave_by_break(blocks)
    assert time.monotonic() - began < 10
    Event("let go", client).set()
    wait_for(lambda: not client.futures)
    names = (one.name for one in set(threading.enumerate()) - threads)
    wait_for(lambda: not any(name.startswith("iter_blocks") for name in names))


INTERRUPTED = textwrap.dedent(
    """
    import os, signal, threading, time
    import dask, dask.array as da
    from incremental import iter_blocks

    def interrupt():
        under_way.wait()
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGINT)

    def read(block):
        under_way.set()
        if not interrupted.wait(20):
            print("it waits for the block", flush=True)
        return block

    X = da.ones(4, chunks=2).map_blocks(read, dtype=float, meta=da.ones(1)._meta)
    for prefetch in (0, 2):
        under_way, interrupted = threading.Event(), threading.Event()
        threading.Thread(target=interrupt).start()
        with dask.config.set(scheduler="threads"):
            try:
                for _ in iter_blocks(X, prefetch=prefetch):
                    pass
            except KeyboardInterrupt:
                print("interrupted with a prefetch of", prefetch, flush=True)
        interrupted.set()
    """
)


def test_ctrl_c_comes_through_while_a_block_is_under_way():
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    wanted = [f"interrupted with a prefetch of {prefetch}" for prefetch in (0, 2)]
    assert done.stdout.splitlines() == wanted


def test_the_plan_takes_calls_in_proportion_to_the_blocks():
    def plan(n_blocks):
        blocks = iter_blocks(da.ones(n_blocks, chunks=1), prefetch=0)
        calls = Counter()
        sys.setprofile(lambda frame, event, argument: calls.update([event]))
        try:
            next(iter(blocks))
        finally:
            sys.setprofile(None)
        return calls["call"] + calls["c_call"]

    plan(10)
    assert plan(2_400) < 9 * plan(300)


def test_an_error_in_a_shared_task_reaches_every_block_that_needs_it():
    X = da.arange(12, chunks=12).map_blocks(fail_at_six, dtype=int).rechunk(4)
    with pytest.raises(ValueError, match="six"):
        list(iter_blocks(X))


def test_shuffle_permutes_whole_blocks_by_the_random_state():
    X = da.arange(20, chunks=2)
    order = np.random.RandomState(3).permutation(10)
    blocks = iter_blocks(X, shuffle=True, random_state=3)
    assert [int(block[0]) // 2 for (block,) in blocks] == list(order)


def test_a_random_state_instance_draws_a_new_order_for_each_iteration():
    blocks = iter_blocks(
        da.arange(20, chunks=1), shuffle=True, random_state=np.random.RandomState(0)
    )
    assert [int(b[0]) for (b,) in blocks] != [int(b[0]) for (b,) in blocks]


def test_no_collection_is_refused():
    with pytest.raises(TypeError, match="at least one collection"):
        iter_blocks()


def test_a_wrong_prefetch_is_refused_at_once():
    with pytest.raises(ValueError, match="prefetch must be"):
        iter_blocks(da.ones(3), prefetch=-1)


def test_dasks_profiler_stays_registered():
    from dask.callbacks import Callback
    from dask.diagnostics import Profiler

    with Profiler(), dask.config.set(scheduler="threads"):
        active = set(Callback.active)
        list(iter_blocks(Source(20).array, prefetch=4))
        assert Callback.active == active
