"""The fold: order, look-ahead, reads, statistics of the whole data."""

import threading
import time
import weakref
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, product

import dask
import dask.array as da
import numpy as np
import pytest
from dask.callbacks import Callback
from dask.delayed import delayed
from dask.diagnostics import Profiler
from dask.local import get_sync
from dask.utils import key_split
from sklearn.base import BaseEstimator
from sklearn.linear_model import SGDClassifier

from incremental import Incremental
from incremental._graph.block_tasks import Plan
from incremental._graph.blocks import read_blocks
from incremental._graph.fold import Chain, Preparation, fold, map_blocks
from incremental._graph.schedulers import active_scheduler
from incremental._graph.shared_reductions import _statistics, settle


class Source:
    """A dask array that counts its reads and the blocks of it that are alive."""

    def __init__(self, n_blocks, rows=10, seconds=0.0):
        self.reads = Counter()
        self.live = self.most_live = 0
        self._lock = threading.Lock()
        self._seconds = seconds
        read = delayed(self._read, pure=False)
        self.array = da.concatenate(
            [
                da.from_delayed(read(block, rows), (rows, 2), dtype=float)
                for block in range(n_blocks)
            ]
        )

    def _read(self, block, rows):
        time.sleep(self._seconds)
        values = np.full((rows, 2), float(block))
        with self._lock:
            self.reads[block] += 1
            self.live += 1
            self.most_live = max(self.most_live, self.live)
        weakref.finalize(values, self._forget)
        return values

    def _forget(self):
        with self._lock:
            self.live -= 1


def collect(state, block):
    return [*state, *(float(piece[0, 0]) for piece in block.values())]


def slow(state, block):
    time.sleep(0.01)
    return state + block.count_rows()


def sum_of(block):
    return block["X"].sum()


def run_fold(collections, step=collect, state=(), prefetch=2, order=None):
    blocks = settle(read_blocks(collections))
    order = range(len(blocks)) if order is None else order
    chain = Chain(state, step, name="step")
    return fold(blocks, [chain], order=order, prefetch=prefetch)[0]


def test_a_fold_takes_the_blocks_in_the_order_given(scheduler):
    X = da.arange(12, chunks=2).reshape(-1, 1)
    order = [3, 0, 5, 1, 4, 2]
    assert run_fold({"X": X}, order=order) == [2.0 * block for block in order]


@pytest.mark.parametrize("prefetch", [0, 1, 2, 5])
def test_no_more_blocks_live_than_the_look_ahead_and_one(prefetch):
    source = Source(30)
    with dask.config.set(scheduler="threads", num_workers=8):
        run_fold({"X": source.array}, slow, 0, prefetch=prefetch)
    assert 1 <= source.most_live <= prefetch + 1


def test_the_look_ahead_is_used():
    source = Source(30)
    with dask.config.set(scheduler="threads", num_workers=8):
        run_fold({"X": source.array}, slow, 0, prefetch=4)
    assert source.most_live == 5


def test_blocks_are_read_in_the_order_of_their_use():
    begun = []

    def read(block, block_info=None):
        place = block_info[0]["chunk-location"][0]
        begun.append(place)
        time.sleep(0.02 if place % 3 else 0.05)
        return block

    X = da.ones((60, 2), chunks=(2, 2)).map_blocks(read, dtype=float)
    with dask.config.set(scheduler="threads", num_workers=2):
        run_fold({"X": X}, slow, 0, prefetch=3)
    # Two may begin at the same time.
    assert all(abs(place - at) <= 1 for at, place in enumerate(begun))


def test_the_pieces_of_a_block_are_one_task_where_no_other_needs_them():
    X = da.ones((6, 2), chunks=(2, 2)).map_blocks(np.negative)
    blocks = read_blocks({"X": X, "y": da.arange(6, chunks=2)})
    plan = Plan(blocks.graph, [blocks.keys(at) for at in range(3)], "abc")
    assert all(len(block.outputs) == 1 for block in plan.blocks)


def test_slices_of_one_chunk_are_not_all_cut_ahead():
    cuts = []

    def cut(block):
        cuts.append(time.monotonic())
        return block + 0

    X = da.ones((40, 2), chunks=(40, 2)).rechunk((4, 2)).map_blocks(cut, dtype=float)
    ends = []

    def step(state, block):
        time.sleep(0.02)
        ends.append(time.monotonic())
        return state

    with dask.config.set(scheduler="threads", num_workers=4):
        cuts.clear()
        run_fold({"X": X}, step, 0, prefetch=1)
    assert all(cuts[k + 2] > ends[k] for k in range(8))


def test_every_root_is_read_once_per_pass():
    source = Source(12)
    run_fold({"X": source.array.rechunk((7, 1)), "y": source.array})
    assert source.reads == Counter(range(12))


@pytest.mark.parametrize("n_blocks", [20, 80])
def test_statistics_of_the_whole_data_keep_the_bound(n_blocks):
    source = Source(n_blocks)
    X = (source.array - source.array.mean(axis=0)) / source.array.std(axis=0)
    with dask.config.set(scheduler="threads", num_workers=2):
        run_fold({"X": X}, slow, 0, prefetch=1)
    assert set(source.reads.values()) == {2}
    assert source.most_live <= 8


def test_statistics_of_the_whole_data_give_the_same_values(scheduler):
    x = da.arange(12, chunks=2).reshape(-1, 1)
    expected = [float(v) for v in (np.arange(0, 12, 2) - 5.5)]
    for _ in range(2):
        assert run_fold({"X": x - x.mean(axis=0)}) == expected


def test_a_fold_works_twice_on_persisted_collections(scheduler):
    X = (da.arange(12, chunks=2).reshape(-1, 1) + 1).persist()
    for collections in ({"X": X}, {"X": X, "y": X * 2}, {"X": X * 2, "y": X}):
        assert run_fold(collections) == run_fold(collections)
    assert run_fold({"X": X}) == [1.0, 3.0, 5.0, 7.0, 9.0, 11.0]
    assert X.sum().compute() == 78


def test_an_error_while_reading_names_the_block(scheduler):
    X = da.arange(12, chunks=2).map_blocks(fail_at_six, dtype=int).reshape(-1, 1)
    with pytest.raises(ValueError, match="six") as caught:
        run_fold({"X": X})
    assert any("block 3 (of 0 to 5), rows 6 to 7" in n for n in caught.value.__notes__)


def fail_at_six(block):
    if 6 in block:
        raise ValueError("six")
    return block


def test_map_blocks_returns_one_result_per_block(scheduler):
    blocks = read_blocks({"X": da.ones((5, 2), chunks=(2, 2))})
    assert map_blocks(blocks, sum_of, name="sum") == [4.0, 4.0, 2.0]


def test_dasks_diagnostics_see_the_reads_and_the_steps():
    with dask.config.set(scheduler="threads"), Profiler() as profiler:
        run_fold({"X": Source(4).array})
    names = [result.key[0].rsplit("-", 1)[0] for result in profiler.results]
    assert names.count("step") == 4
    assert sum("read" in name for name in names) == 4


@pytest.mark.parametrize("prefetch", [-1, 1.5, "all", None, True])
def test_a_wrong_prefetch_is_refused(prefetch):
    with pytest.raises(ValueError, match="prefetch must be 'auto' or an integer"):
        active_scheduler().look_ahead(prefetch)


def test_auto_prefetch_is_the_number_of_threads_and_at_least_two():
    with dask.config.set(scheduler="threads", num_workers=7):
        assert active_scheduler().look_ahead("auto") == 7
    with dask.config.set(scheduler="synchronous"):
        assert active_scheduler().n_threads == 1
        assert active_scheduler().look_ahead("auto") == 2


def test_auto_prefetch_on_a_cluster_is_its_number_of_threads(client):
    assert active_scheduler().n_threads == 2


def test_the_live_blocks_on_a_cluster_of_processes_are_bounded(client):
    from distributed.diagnostics import MemorySampler

    def make(block_id=None):
        return np.full((250_000, 2), float(block_id[0]))

    X = da.map_blocks(
        make, chunks=((250_000,) * 30, (2,)), dtype=float, meta=np.empty((0, 2))
    )
    sampler = MemorySampler()
    with sampler.sample("fit", measure="managed", interval=0.02):
        run_fold({"X": X}, nap, 0, prefetch=2)
    peak = sampler.to_pandas()["fit"].max() / (250_000 * 16)
    assert 0 < peak <= 2 + 4


def nap(state, block):
    time.sleep(0.03)
    return state


def standardized(X):
    return (X - X.mean(axis=0)) / X.std(axis=0)


@pytest.mark.parametrize("shuffled", [False, True])
def test_statistics_of_a_part_of_the_data_keep_the_bound(shuffled):
    source = Source(40)
    halves = [standardized(source.array[:200]), standardized(source.array[200:])]
    X = da.concatenate(halves)
    order = np.random.RandomState(0).permutation(40) if shuffled else None
    with dask.config.set(scheduler="threads", num_workers=2):
        run_fold({"X": X}, slow, 0, prefetch=1, order=order)
    assert source.most_live <= 8


def test_a_cumulative_sum_keeps_the_bound_in_any_order():
    source = Source(40)
    order = np.random.RandomState(0).permutation(40)
    with dask.config.set(scheduler="threads", num_workers=2):
        run_fold({"X": source.array.cumsum(axis=0)}, slow, 0, prefetch=1, order=order)
    assert source.most_live <= 8


def test_large_chunks_that_are_cut_again_are_not_computed_in_advance():
    source = Source(24)
    X = source.array.rechunk((60, 2)).rechunk((5, 2))
    with dask.config.set(scheduler="threads", num_workers=2):
        run_fold({"X": X}, slow, 0, prefetch=1)
    assert set(source.reads.values()) == {1}
    assert source.most_live <= 12


def test_an_error_in_a_statistic_says_so():
    X = da.arange(12, chunks=2).map_blocks(fail_at_six, dtype=int).reshape(-1, 1)
    with pytest.raises(ValueError, match="six") as caught:
        run_fold({"X": X - X.mean(axis=0)})
    assert any("a statistic of several blocks" in n for n in caught.value.__notes__)


def test_a_future_inside_a_task_is_used(client):
    from incremental import iter_blocks

    one = client.scatter(1)
    X = da.arange(6, chunks=2).map_blocks(np.add, one, dtype=int).reshape(-1, 1)
    assert run_fold({"X": X}) == [1.0, 3.0, 5.0]
    assert [int(block[0, 0]) for (block,) in iter_blocks(X)] == [1, 3, 5]


def test_a_shuffled_frame_is_used_on_a_cluster(client):
    import dask.dataframe as dd
    import pandas as pd

    frame = dd.from_pandas(pd.DataFrame({"k": range(20), "v": range(20)}), 4)
    shuffled = frame.shuffle("k")
    values = map_blocks(
        read_blocks({"X": shuffled[["v"]], "y": shuffled["k"]}),
        lambda block: sorted(zip(block["X"]["v"], block["y"], strict=True)),
        name="rows",
    )
    assert sorted(chain.from_iterable(values)) == [(n, n) for n in range(20)]


def test_a_peer_to_peer_rechunk_is_refused_with_the_ways_out(client):
    X = da.ones((200, 20), chunks=(200, 2)).rechunk((20, 20), method="p2p")
    with pytest.raises(ValueError, match="Persist the collection first"):
        read_blocks({"X": X})


def test_the_threads_of_executors_and_pools_are_counted():
    from concurrent.futures import ThreadPoolExecutor
    from multiprocessing.pool import ThreadPool

    with ThreadPoolExecutor(5) as executor, dask.config.set(scheduler=executor):
        assert active_scheduler().n_threads == 5
    with ThreadPool(4) as pool, dask.config.set(pool=pool):
        assert active_scheduler().n_threads == 4


def test_calls_are_not_named_like_what_holds_their_function():
    graphs = []

    def get(graph, keys, **kwargs):
        graphs.append(graph)
        return get_sync(graph, keys, **kwargs)

    prepare = Preparation(lambda block: block, "prepare")
    chain = Chain([], collect, name="collect", prepare=prepare)
    with dask.config.set(scheduler=get):
        blocks = settle(read_blocks({"X": Source(3).array}))
        fold(blocks, [chain], order=range(3), prefetch=1)
    names = {True: set(), False: set()}
    for key in graphs[-1]:
        names[isinstance(key, tuple)].add(key_split(key))
    assert {"collect", "prepare"} < names[True]
    assert not names[True] & names[False]


def fit_in_threads(n_threads, fit):
    """Call ``fit(thread)`` in threads at once, and raise what any of them raises."""
    with (
        ThreadPoolExecutor(n_threads) as pool,
        dask.config.set(scheduler="threads", pool=None),
    ):
        return list(pool.map(fit, range(n_threads)))


def fit_in_turns(thread):
    X = da.ones((20, 2), chunks=(2, 2))
    for _ in range(10):
        Incremental(InTurn(), prefetch=1).fit(X)


class InTurn(BaseEstimator):
    """Learns one block after the other."""

    def partial_fit(self, X, y=None):
        time.sleep(0.0005)
        return self


def count_fitted(profiler):
    keys = [record.key for record in profiler.results]
    assert len(set(keys)) == len(keys)
    return sum(key_split(key) == "partial_fit" for key in keys)


def test_a_profiler_around_fits_in_threads_records_each_task_once():
    with Profiler() as profiler:
        fit_in_threads(4, fit_in_turns)
    assert count_fitted(profiler) == 4 * 10 * 10


def test_a_profiler_around_fits_in_threads_records_their_statistics_once():
    X = standardized(da.arange(20, chunks=2).reshape(-1, 1))

    def n_records(n_threads, n_fits):
        def fit(thread):
            for _ in range(n_fits):
                Incremental(InTurn()).fit(X)

        with Profiler() as profiler:
            fit_in_threads(n_threads, fit)
        assert count_fitted(profiler) == 10 * n_threads * n_fits
        return len(profiler.results)

    assert n_records(4, 10) == 40 * n_records(1, 1)


def test_statistics_stay_on_a_cluster(client):
    from distributed import Future

    blocks = read_blocks({"X": standardized(da.arange(20, chunks=2).reshape(-1, 1))})
    settled = settle(blocks)
    statistics = [settled.graph[key] for key in _statistics(blocks)]
    assert statistics
    assert all(isinstance(one, Future) for one in statistics)


def test_profilers_in_threads_lose_nothing_and_stay_registered():
    """dask's registry is of all threads: a profiler sees what others do meanwhile."""
    profilers = [Profiler() for _ in range(4)]

    def fit(thread):
        with profilers[thread]:
            fit_in_turns(thread)
            assert profilers[thread]._callback in Callback.active

    fit_in_threads(4, fit)
    assert all(count_fitted(profiler) >= 10 * 10 for profiler in profilers)
    assert not Callback.active


def test_a_profiler_is_not_told_of_a_fit_that_began_before_it():
    began, ended = threading.Event(), threading.Event()
    profiler = Profiler()

    def read(block):
        began.set()
        return block

    def fit(thread):
        X = da.ones((20, 2), chunks=(2, 2))
        if thread:
            try:
                # With an example of its output dask does not try `read` before the fit.
                read_later = X.map_blocks(read, meta=np.ones((0, 2)))
                Incremental(InTurn(), max_iter=20).fit(read_later)
            finally:
                ended.set()
            return
        began.wait()
        while not ended.is_set():
            with profiler:
                Incremental(InTurn()).fit(X)
            assert count_fitted(profiler) == 10
            profiler.clear()

    fit_in_threads(2, fit)


def test_finding_the_classes_takes_no_profiler_from_another_thread():
    X, y = da.ones((20, 2), chunks=(2, 2)), da.arange(20, chunks=2) % 2
    ends = threading.Event()

    def fit(thread):
        if thread:
            try:
                for _ in range(15):
                    Incremental(SGDClassifier()).fit(X, y)
            finally:
                ends.set()
        while not ends.is_set():
            with Profiler() as profiler:
                time.sleep(0.001)
                assert profiler._callback in Callback.active

    fit_in_threads(2, fit)
    assert not Callback.active


def keep_places(state, block):
    return [*state, int(block["X"][0, 0])]


@pytest.mark.parametrize("watched", [False, True])
def test_chains_take_the_blocks_they_use_of_one_read(watched, scheduler):
    X = da.arange(12, chunks=2).reshape(-1, 1)
    blocks = settle(read_blocks({"X": X}))
    uses = [None, {0, 2, 4}, set(), {5}]
    chains = [Chain([], keep_places, used) for used in uses]
    order = [3, 0, 5, 1, 4, 2]
    seen = []

    def watch(place, load):
        seen.append([list(state) for state in load()])

    received = fold(
        blocks, chains, order=order, prefetch=2, watch=watch if watched else None
    )
    taken = [[2 * at for at in order if used is None or at in used] for used in uses]
    assert received == taken
    if watched:
        assert seen == [
            [
                [2 * at for at in order[: place + 1] if used is None or at in used]
                for used in uses
            ]
            for place in range(6)
        ]


def test_chains_read_each_block_once():
    source = Source(10)
    blocks = settle(read_blocks({"X": source.array}))
    chains = [Chain(0, slow), Chain(0, slow, range(5)), Chain(0, slow, range(3, 10))]
    with dask.config.set(scheduler="threads", num_workers=4):
        blocks = blocks.on(active_scheduler())
        rows = fold(blocks, chains, order=range(10), prefetch=2)
    assert rows == [100, 50, 70]
    assert set(source.reads.values()) == {1}


@pytest.mark.parametrize("prefetch", [0, 1, 3])
def test_a_block_waits_for_the_slowest_chain(prefetch):
    source = Source(30)
    chains = [Chain(0, nap), Chain(0, nap, range(0, 30, 3)), Chain(0, keep_state)]
    with dask.config.set(scheduler="threads", num_workers=8):
        blocks = settle(read_blocks({"X": source.array}))
        fold(blocks, chains, order=range(30), prefetch=prefetch)
    assert source.most_live <= prefetch + 1


def keep_state(state, block):
    return state


def test_a_watch_stops_all_chains_at_the_same_block(scheduler):
    X = da.arange(12, chunks=2).reshape(-1, 1)
    blocks = settle(read_blocks({"X": X}))
    chains = [Chain([], keep_places), Chain([], keep_places, {0, 1, 2, 3})]
    received = fold(
        blocks,
        chains,
        order=range(6),
        prefetch=1,
        watch=lambda place, load: place == 2,
    )
    assert received == [[0, 2, 4], [0, 2, 4]]


@pytest.mark.parametrize(
    ("chains", "prefetch"),
    [(1, 1), (3, 2)]
    + [
        pytest.param(*case, marks=pytest.mark.slow)
        for case in product([1, 3], [0, 1, 2, 7, 100])
        if case not in [(1, 1), (3, 2)]
    ],
)
def test_several_blocks_are_taken_in_one_task(chains, prefetch, scheduler):
    blocks = settle(read_blocks({"X": da.arange(40, chunks=2).reshape(-1, 1)}))
    taken = [Chain((), _and_first, uses=range(number, 20)) for number in range(chains)]
    order = [*range(20)][::-1]
    states = fold(blocks, taken, order=order, prefetch=prefetch, together=6)
    assert states == [
        tuple(2 * at for at in order if at >= number) for number in range(chains)
    ]


def _and_first(state, block):
    return (*state, int(block["X"][0, 0]))


@pytest.mark.parametrize("prefetch", [0, 1, 4, 9])
def test_blocks_that_are_taken_together_are_within_the_look_ahead(prefetch):
    source = Source(40)
    blocks = settle(read_blocks({"X": source.array}))
    with dask.config.set(scheduler="threads", num_workers=4):
        blocks = blocks.on(active_scheduler())
        order = range(40)
        fold(blocks, [Chain(0, _count)], order=order, prefetch=prefetch, together=50)
    assert source.most_live <= prefetch + 1


def _count(state, block):
    return state + 1


def test_an_error_in_a_block_that_is_taken_with_others_names_the_block():
    blocks = settle(read_blocks({"X": da.arange(40, chunks=2).reshape(-1, 1)}))
    with pytest.raises(ZeroDivisionError) as caught:
        fold(blocks, [Chain(0, _fail_at_14)], order=range(20), prefetch=9, together=5)
    assert caught.value.__notes__ == ["in block 7 (of 0 to 19), rows 14 to 15"]


def _fail_at_14(state, block):
    return 1 / (14 - int(block["X"][0, 0]))


def test_many_small_blocks_are_taken_together():
    X = da.ones((3200, 2), chunks=(10, 2))
    model = Incremental(InTurn())
    with Profiler() as profiler:
        model.fit(X)
    assert count_fitted(profiler) == 32
    assert model.history_[0]["blocks"] == 320


def _double(block):
    return block.replace(X=2 * block["X"])


def test_each_chain_takes_what_its_own_preparation_makes_of_one_read():
    source = Source(4)
    blocks = settle(read_blocks({"X": source.array}))
    doubled = Preparation(_double, "double")
    chains = [Chain([], collect), Chain([], collect, prepare=doubled)]
    taken = fold(blocks, chains, order=range(4), prefetch=1)
    assert taken == [[0.0, 1.0, 2.0, 3.0], [0.0, 2.0, 4.0, 6.0]]
    assert set(source.reads.values()) == {1}


def test_chains_with_the_same_preparation_share_its_tasks():
    prepared = []

    def prepare(block):
        prepared.append(block)
        return block

    blocks = settle(read_blocks({"X": Source(4).array}))
    shared = Preparation(prepare, "prepare")
    chains = [Chain([], collect, prepare=shared) for _ in range(3)]
    fold(blocks, chains, order=range(4), prefetch=1)
    assert len(prepared) == 4
