"""The public block iterator."""

import threading
import time

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

from incremental import iter_blocks
from tests.test_chain import Source, fail_at_six


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
    assert X_block is X
    assert y_block is y


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
    reads = sum(source.reads.values())
    time.sleep(0.05)
    assert reads <= 4
    assert sum(source.reads.values()) == reads
    assert threading.active_count() <= before


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
