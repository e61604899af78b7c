"""Pairing rows at the door."""

import dask
import dask.array as da
import dask.bag as db
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from dask.diagnostics import Profiler
from dask.utils import key_split
from sklearn.cluster import MiniBatchKMeans
from sklearn.naive_bayes import GaussianNB

from incremental import Incremental, iter_blocks
from incremental._graph.blocks import read_blocks
from incremental._graph.fold import map_blocks
from tests.contracts import Recorder
from tests.graph.parquet import FEATURES


@pytest.fixture
def parquet(tmp_path):
    """Write a data set of which dask would fuse the partitions of few columns."""
    frame = pd.DataFrame(
        np.arange(4000.0).reshape(200, 20), columns=[f"f{n}" for n in range(20)]
    )
    frame["y"] = np.arange(200)
    dd.from_pandas(frame, npartitions=10).to_parquet(tmp_path / "data")
    return tmp_path / "data"


def computed(collections):
    return map_blocks(read_blocks(collections), pack, name="pack")


def pack(block):
    return [np.asarray(piece) for piece in block.values()]


def test_blocks_of_arrays_are_their_chunks():
    X = da.arange(10, chunks=(3, 3, 4))
    blocks = read_blocks({"X": X})
    assert len(blocks) == 3
    assert blocks.n_rows == (3, 3, 4)


def test_arrays_of_other_chunks_are_cut_like_the_first(scheduler):
    X = da.arange(10, chunks=(3, 3, 4)).reshape(-1, 1)
    y = da.arange(10, chunks=5)
    for X_block, y_block in computed({"X": X, "y": y}):
        np.testing.assert_array_equal(X_block[:, 0], y_block)


def test_columns_in_several_chunks_are_merged():
    X = da.ones((6, 4), chunks=(3, 1))
    assert [block[0].shape for block in computed({"X": X})] == [(3, 4), (3, 4)]


def test_data_in_memory_is_cut_like_the_first():
    X = da.arange(10, chunks=4)
    for X_block, y_block in computed({"X": X, "y": list(range(10))}):
        np.testing.assert_array_equal(X_block, y_block)


def test_other_lengths_are_refused(no_compute):
    with pytest.raises(ValueError, match=r"y has shape \(9,\) but X has 10 rows"):
        read_blocks({"X": da.ones((10, 2), chunks=5), "y": da.ones(9, chunks=3)})


def test_other_lengths_in_memory_are_refused(no_compute):
    with pytest.raises(ValueError, match=r"y has shape \(9,\) but X has 10 rows"):
        read_blocks({"X": da.ones((10, 2), chunks=5), "y": np.ones(9)})


def test_the_same_block_counts_are_paired_and_checked_in_each_block():
    X = da.ones((10, 2), chunks=5)
    y = da.arange(10, chunks=5)
    y = y[y != 7]
    with pytest.raises(ValueError, match="X has 5, y has 4") as caught:
        Incremental(Recorder()).fit(X, y)
    assert any("block 1" in note for note in caught.value.__notes__)


def test_a_frame_and_an_array_of_the_same_partitioning_are_paired():
    X = dd.from_pandas(pd.DataFrame({"a": range(10)}), npartitions=5)
    blocks = read_blocks({"X": X, "y": da.arange(10, chunks=2)})
    assert blocks.names == ("X", "y")
    for X_block, y_block in computed({"X": X, "y": da.arange(10, chunks=2)}):
        np.testing.assert_array_equal(X_block[:, 0], y_block)


def test_columns_of_one_parquet_data_set_pair(parquet, scheduler):
    frame = dd.read_parquet(parquet)
    X, y = frame[[f"f{n}" for n in range(20)]], frame["y"]
    blocks = computed({"X": X, "y": y})
    assert len(blocks) == 10
    for X_block, y_block in blocks:
        np.testing.assert_array_equal(X_block[:, 0], y_block * 20.0)


def test_dask_would_cut_the_columns_of_that_data_set_differently(parquet):
    frame = dd.read_parquet(parquet)
    assert frame.npartitions == 10
    assert frame["y"].to_dask_array().npartitions < 10


def test_each_file_is_read_once_for_all_columns(parquet):
    frame = dd.read_parquet(parquet)
    blocks = read_blocks({"X": frame[["f0", "f1"]], "y": frame["y"], "w": frame["f2"]})
    reads = [key for key in blocks.graph if "read_parquet" in str(key[0])]
    assert len(reads) == 10
    assert len(blocks.graph) == 10


def test_frames_of_other_divisions_are_realigned():
    frame = pd.DataFrame({"a": range(12)})
    X = dd.from_pandas(frame, npartitions=4)
    y = dd.from_pandas(frame["a"], npartitions=3)
    blocks = computed({"X": X, "y": y})
    assert len(blocks) == 4
    for X_block, y_block in blocks:
        np.testing.assert_array_equal(X_block[:, 0], y_block)


def test_the_divisions_of_frames_are_computed_with_tasks_alone():
    frame = dd.from_pandas(pd.DataFrame({"a": range(40), "k": range(40)}), 4)
    sorted_again = frame.shuffle("k").set_index("a")
    with Profiler() as profiler:
        read_blocks({"X": sorted_again[["k"]], "y": sorted_again["k"]})
    computed = {key_split(record.key) for record in profiler.results}
    assert "taskshuffle" in computed
    assert "diskshuffle" not in computed


def test_frames_whose_index_differs_are_refused():
    frame = pd.DataFrame({"a": range(6)})
    X = dd.from_pandas(frame, npartitions=1)
    y = dd.from_pandas(frame["a"][::-1], npartitions=1, sort=False)
    with pytest.raises(ValueError, match="different index labels"):
        computed({"X": X, "y": y})


@pytest.mark.parametrize("kind", ["array", "series"])
def test_what_is_lazy_beside_an_x_in_memory_is_computed(kind):
    y = da.arange(4, chunks=2)
    y = y if kind == "array" else y.to_dask_dataframe()
    ((_, computed_y, z),) = computed({"X": np.ones((4, 2)), "y": y, "z": y + 1})
    np.testing.assert_array_equal(computed_y, [0, 1, 2, 3])
    np.testing.assert_array_equal(z, [1, 2, 3, 4])


def test_other_lengths_than_those_of_an_x_in_memory_are_refused(no_compute):
    with pytest.raises(ValueError, match=r"y has shape \(5,\) but X has 4 rows"):
        read_blocks({"X": np.ones((4, 2)), "y": da.ones(5, chunks=2)})


def test_other_dask_collections_are_refused(no_compute):
    with pytest.raises(TypeError, match="expected a dask array, dataframe"):
        read_blocks({"X": dask.delayed(1)})


def test_an_array_without_rows_is_refused():
    with pytest.raises(ValueError, match="0 dimensions"):
        read_blocks({"X": da.from_array(np.array(1.0))})


def test_persisted_frames_pair(scheduler):
    frame = dd.from_pandas(pd.DataFrame({"a": range(12), "b": range(12)}), 3).persist()
    for _ in range(2):
        for X_block, y_block in computed({"X": frame[["a"]], "y": frame["b"]}):
            np.testing.assert_array_equal(X_block[:, 0], y_block)


def test_dask_still_breaks_frames_that_are_optimised_together(parquet):
    """If this fails, dask has mended it: frames could be read as arrays are."""
    frame = dd.read_parquet(parquet)
    X, y = dask.optimize(frame[["f0", "f1"]], frame["y"])
    assert (X.compute().shape, y.compute().shape) != ((200, 2), (200,))


def test_bags_are_read_as_lists(scheduler):
    bag = db.from_sequence(range(10), npartitions=4).map(str)
    y = da.arange(10, chunks=3)
    for X_block, y_block in computed({"X": bag, "y": y}):
        assert [int(text) for text in X_block] == list(y_block)


@pytest.mark.parametrize("known", [True, False])
def test_a_bag_pairs_with_a_frame(known, scheduler):
    X = dd.from_pandas(pd.DataFrame({"a": range(12)}), npartitions=3)
    y = db.from_sequence(range(12), npartitions=3)
    X = X if known else X.clear_divisions()
    for X_block, y_block in computed({"X": X, "y": y}):
        np.testing.assert_array_equal(X_block[:, 0], y_block)


def test_the_index_of_a_frame_pairs_with_it(parquet, scheduler):
    frame = dd.read_parquet(parquet).set_index("y", sorted=True)
    for X, y in [(frame, frame.index), (frame.clear_divisions(), frame.index)]:
        blocks = list(iter_blocks(X[["f0"]], y))
        assert len(blocks) == 10
        assert sum(len(block) for _, block in blocks) == 200
        for X_block, y_block in blocks:
            np.testing.assert_array_equal(X_block["f0"], y_block * 20.0)


def test_the_index_of_another_frame_is_refused():
    frame = pd.DataFrame({"a": range(6)})
    X = dd.from_pandas(frame, npartitions=1)
    y = dd.from_pandas(frame[::-1], npartitions=1, sort=False).index
    with pytest.raises(ValueError, match="different index labels"):
        Incremental(Recorder()).fit(X, y)


def test_a_classifier_learns_the_index_of_a_frame():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 50)
    frame = pd.DataFrame({"a": y + rng.normal(size=100) / 10}, index=y)
    lazy = dd.from_pandas(frame, npartitions=4, sort=False)
    model = Incremental(GaussianNB()).fit(lazy, lazy.index)
    assert model.classes_.tolist() == [0, 1]
    assert model.score(lazy, lazy.index) == model.estimator_.score(frame, y)


@pytest.mark.parametrize("columns", [["f0"], FEATURES])
def test_partitions_of_a_size_are_those_that_the_user_sees(columns, df):
    sized = df.repartition(partition_size="2kB")
    seen = sized.map_partitions(len).compute().tolist()
    X, y = sized[columns], sized["y"]
    assert [len(part) for (part,) in iter_blocks(X)] == seen
    assert [len(part) for part, _ in iter_blocks(X, y)] == seen
    for part, target in iter_blocks(X, y):
        np.testing.assert_array_equal(part["f0"], target)
    model = Incremental(MiniBatchKMeans(2, random_state=0)).fit(X)
    assert model.predict(X).npartitions == sized.npartitions == len(seen)
