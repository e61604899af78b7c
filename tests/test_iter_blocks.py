"""The public block iterator."""

import contextlib
import itertools
import json
import pickle
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

    # A process in the background may have begun without it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
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


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("count", [3, pytest.param(14, marks=pytest.mark.slow)])
def test_shards_read_each_block_once_between_them(count, shuffle, scheduler):
    X = da.arange(24, chunks=2)
    arguments = {"shuffle": shuffle, "random_state": 5}
    whole = [list(block) for (block,) in iter_blocks(X, **arguments)]
    for index in range(count):
        shard = iter_blocks(X, -X, shard=(index, count), **arguments)
        for _ in range(2):
            received = list(shard)
            assert [list(block) for block, _ in received] == whole[index::count]
            assert [list(-block) for _, block in received] == whole[index::count]
        assert len(received) == len(shard)


@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_shard_reads_no_block_of_the_others(prefetch):
    source = Source(10)
    twice = source.array.rechunk((20, 2))
    blocks = iter_blocks(twice, prefetch=prefetch, shard=(1, 3))
    assert [int(block[0, 0]) for (block,) in blocks] == [2, 8]
    assert source.reads == Counter([2, 3, 8, 9])


def test_a_shard_without_blocks_reads_nothing(no_compute):
    X = da.random.default_rng(0).random(8, chunks=2)
    blocks = iter_blocks(X - X.mean(), shard=(4, 5))
    assert (len(blocks), list(blocks)) == (0, [])


def test_data_in_memory_is_in_the_first_shard():
    assert [len(list(iter_blocks(np.ones(3), shard=(at, 2)))) for at in (0, 1)] == [
        1,
        0,
    ]


@pytest.mark.parametrize(
    "shard",
    [
        3,
        (1,),
        (0, 1, 2),
        (2, 2),
        (-1, 2),
        (0, 0),
        (0.0, 2),
        (False, True),
        "01",
        {0, 1},
    ],
)
def test_a_wrong_shard_is_refused_at_once(shard):
    with pytest.raises(ValueError, match="0 <= index < count, got ") as caught:
        iter_blocks(da.ones(3), shard=shard)
    assert f"got {shard!r}." in str(caught.value)


def test_a_shard_may_be_of_numpys_integers():
    blocks = iter_blocks(da.arange(3, chunks=1), shard=(np.int64(0), np.uint8(2)))
    assert numbers(blocks) == [0, 2]
    json.dumps(blocks.state_dict())


@pytest.mark.parametrize("random_state", [None, np.random.RandomState(0)])
def test_shards_in_a_random_order_need_an_int(random_state):
    with pytest.raises(ValueError, match="random_state must be an int .* some blocks"):
        iter_blocks(da.ones(3), shuffle=True, random_state=random_state, shard=(0, 2))


def numbers(blocks):
    """Return the first number of each block."""
    return [int(block.flat[0]) for (block,) in blocks]


ORDERS = {
    "in order": dict,
    "int": lambda: {"shuffle": True, "random_state": 3},
    "instance": lambda: {"shuffle": True, "random_state": np.random.RandomState(3)},
    "other generator": lambda: {
        "shuffle": True,
        "random_state": np.random.RandomState(np.random.Philox(3)),
    },
    "none": lambda: {"shuffle": True},
    "shard": lambda: {"shuffle": True, "random_state": 3, "shard": (1, 2)},
}


@pytest.mark.parametrize("prefetch", [0, 3])
@pytest.mark.parametrize("n_before", [0, 1, 4, 6])
@pytest.mark.parametrize("order", ORDERS)
def test_a_loaded_state_goes_on_where_the_pass_was(order, n_before, prefetch):
    source = Source(12)
    first = iter_blocks(source.array, prefetch=prefetch, **ORDERS[order]())
    list(first)  # so that the pass that is cut short is the second one
    begun = iter(first)
    before = numbers(itertools.islice(begun, n_before))
    saved = json.loads(json.dumps(first.state_dict()))
    rest = numbers(begun)
    after = [numbers(first) for _ in range(2)]
    source.reads.clear()
    second = iter_blocks(source.array, prefetch=prefetch, **ORDERS[order]())
    second.load_state_dict(saved)
    assert second.state_dict() == saved
    assert numbers(second) == rest
    assert source.reads == Counter(rest)
    assert [numbers(second) for _ in range(2)] == after
    assert sorted(before + rest) == sorted(after[0])
    assert len(second) == len(after[0])


def test_blocks_that_were_only_read_ahead_do_not_count():
    source = Source(8)
    with dask.config.set(scheduler="threads"):
        blocks = iter_blocks(source.array, prefetch=3)
        begun = iter(blocks)
        next(begun)
        wait_for(lambda: len(source.reads) == 4)
        assert blocks.state_dict()["n_yielded"] == 1
        begun.close()
    assert blocks.state_dict()["n_yielded"] == 1


def test_a_state_of_the_loop_over_the_last_block_leaves_nothing_of_the_pass():
    X = da.arange(3, chunks=1)
    blocks = iter_blocks(X)
    for _ in blocks:
        saved = blocks.state_dict()
    assert blocks.state_dict()["n_yielded"] == 0
    blocks.load_state_dict(saved)
    assert [numbers(blocks) for _ in range(2)] == [[], [0, 1, 2]]


def test_an_iteration_after_one_that_was_left_is_a_whole_pass():
    blocks = iter_blocks(da.arange(3, chunks=1))
    next(iter(blocks))
    assert blocks.state_dict()["n_yielded"] == 1
    assert numbers(blocks) == [0, 1, 2]


def test_the_state_is_of_the_iteration_that_began_last():
    blocks = iter_blocks(da.arange(4, chunks=1))
    older, newer = iter(blocks), iter(blocks)
    next(older), next(newer)
    list(older)
    assert blocks.state_dict()["n_yielded"] == 1


def test_a_random_state_that_two_share_is_as_it_was():
    def make():
        rng = np.random.RandomState(0)
        X = da.arange(9, chunks=1)
        return [iter_blocks(X, shuffle=True, random_state=rng) for _ in range(2)]

    ours, others = make()
    begun = iter(ours)
    numbers(itertools.islice(begun, 2))
    numbers(others)
    saved = ours.state_dict(), others.state_dict()
    expected = numbers(begun), numbers(others), numbers(ours)
    ours, others = make()
    others.load_state_dict(saved[1])
    ours.load_state_dict(saved[0])
    assert (numbers(ours), numbers(others), numbers(ours)) == expected


def test_numpys_global_generator_keeps_its_state():
    X = da.arange(9, chunks=1)
    saved = iter_blocks(X, shuffle=True).state_dict()
    blocks = iter_blocks(X, shuffle=True, random_state=np.random)
    before = pickle.dumps(np.random.get_state())
    blocks.load_state_dict(saved)
    list(blocks)
    assert pickle.dumps(np.random.get_state()) == before


def test_a_state_is_taken_and_loaded_without_a_read(no_compute):
    frame = pd.DataFrame({"a": range(6)})
    blocks = iter_blocks(dd.from_pandas(frame, npartitions=2)["a"].to_dask_array())
    saved = blocks.state_dict()
    assert saved["n_rows"] is None
    blocks.load_state_dict(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 0}, "format is 0 in the state and 1 here"),
        ({"n_blocks": 4}, "n_blocks is 4 in the state and 3 here"),
        ({"n_rows": [2, 1, 2]}, "block 1 has 1 rows in the state and 2 here"),
        ({"n_rows": None}, "the numbers of rows are known only of these blocks"),
        ({"shard": [1, 2]}, r"shard is \[1, 2\] in the state and \[0, 1\] here"),
        ({"shuffle": False}, "shuffle is False in the state and True here"),
        ({"random_state": 4}, "random_state is 4 in the state and 3 here"),
        ({"random_state": "MT19937"}, "random_state is 'MT19937' in the state and 3"),
        ({"n_yielded": 4}, "n_yielded .* from 0 to the number of blocks, 3, got 4"),
        ({"n_yielded": True}, "n_yielded .* got True"),
    ],
)
def test_a_state_of_something_else_is_refused(change, message):
    blocks = iter_blocks(da.arange(6, chunks=2), shuffle=True, random_state=3)
    expected = numbers(blocks)
    with pytest.raises(ValueError, match=message):
        blocks.load_state_dict({**blocks.state_dict(), "n_yielded": 1, **change})
    assert numbers(blocks) == expected


@pytest.mark.parametrize(
    ("state", "message"),
    [([1], "got list"), ({}, "without drawn_from, format, generator, n_blocks")],
)
def test_what_is_no_state_is_refused(state, message):
    with pytest.raises(ValueError, match=message):
        iter_blocks(da.ones(3)).load_state_dict(state)


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
