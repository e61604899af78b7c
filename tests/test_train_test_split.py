"""Splits: each row in one part, with its own target and weight."""

import pickle

import dask
import dask.array as da
import dask.bag as db
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.preprocessing import FunctionTransformer

from incremental import Incremental, ParallelPostFit, train_test_split
from tests.graph.test_fold import Source
from tests.rows import KINDS, N_ROWS, Ledger, check_rows, make_data, make_frame

BY = pytest.mark.parametrize("by", ["rows", "blocks"])


@pytest.fixture(autouse=True)
def threads():
    """Use threads for bags too."""
    with dask.config.set(scheduler="threads"):
        yield


def learned(X, y, w):
    """Return the rows that an estimator learns from."""
    return Incremental(Ledger(), classes=[0, 1]).fit(X, y, sample_weight=w).rows_


def check_parts(parts, operations=()):
    """Check that each row is in one part, fitted, and computed piece by piece."""
    train = learned(*parts[::2])
    test = learned(*parts[1::2])
    check_rows([*train, *test], operations)
    X, y, w = (np.asarray(one.compute()) for one in parts[1::2])
    assert sorted(zip(X[:, 0].tolist(), y, w, strict=True)) == sorted(test)
    return len(train), len(test)


def arrays(n_rows, chunks):
    ids = da.arange(n_rows, chunks=(chunks,))
    X = ids[:, None] * da.ones(2, chunks=2)
    return X, ids % 2, ids + 1.0


@BY
@pytest.mark.parametrize("kind", [one for one in KINDS if one != "shuffled array"])
@pytest.mark.parametrize("operation", [None, "sample", "filter"])
def test_each_row_is_in_one_part_with_its_target(kind, operation, by):
    operations = [] if operation is None else [operation]
    parts = train_test_split(
        *make_data(4, operations, kind), by=by, random_state=0
    )  # fmt: skip
    train, test = check_parts(parts, operations)
    assert 0.15 < test / (train + test) < 0.35


@BY
@pytest.mark.parametrize("operation", ["shuffle", "merge", "sort", "reset_index"])
def test_shuffled_dataframes_are_split(operation, by):
    X, y, w = make_data(4, [operation], "frames")
    parts = train_test_split(X, y, w, by=by, test_size=0.5, random_state=0)
    check_parts(parts, [operation])


def test_arrays_that_were_shuffled_apart_are_refused():
    with pytest.raises(ValueError, match="cannot be paired"):
        train_test_split(*make_data(4, ["shuffle"], "separate arrays"))


def test_rows_on_disk_are_refused():
    X, y, _ = make_data(4, ["disk shuffle"], "one array")
    with pytest.raises(ValueError, match="on the disk.*shuffle_method='tasks'"):
        train_test_split(X, y)


@BY
@pytest.mark.parametrize("chunks", [(0, 1, 20, 1, 0, 18), (1,) * 40, (20, 20)])
def test_blocks_of_no_row_and_of_one_are_split(chunks, by):
    parts = train_test_split(*arrays(40, chunks), by=by, random_state=1)
    for one in parts:
        # Of arrays of known lengths the parts know theirs.
        assert one.compute().shape == one.shape
    rows = [*learned(*parts[::2]), *learned(*parts[1::2])]
    assert sorted(int(number) for number, *_ in rows) == list(range(40))


@BY
def test_parts_are_of_the_kind_of_the_collection(by):
    frame = make_frame(4)
    array = frame[["id"]].to_dask_array(lengths=True)
    parts = train_test_split(frame, frame["y"], array, by=by, random_state=0)
    kinds = [type(frame)] * 2 + [type(frame["y"])] * 2 + [da.Array] * 2
    assert [type(one) for one in parts] == kinds
    assert list(parts[0].columns) == list(frame.columns)
    assert parts[0].dtypes.equals(frame.dtypes)
    whole = frame.compute()
    computed = [one.compute() for one in parts[:2]]
    assert pd.concat(computed).sort_index().equals(whole.sort_index())


def test_dask_does_not_look_into_the_tasks_of_a_dataframe_to_name_it(monkeypatch):
    frame = make_frame(4)
    looked = []
    monkeypatch.setattr(
        "dask._task_spec.Task.__dask_tokenize__",
        lambda task: looked.append(task) or ("task", id(task)),
    )
    train, test = train_test_split(frame)
    assert not looked
    assert train._name != test._name
    assert pickle.loads(pickle.dumps(train)).compute().equals(train.compute())


@BY
def test_nothing_is_read_before_the_parts_are_computed(by):
    source = Source(8)
    y = da.arange(80, chunks=10)
    X_train, X_test, _, y_test = train_test_split(
        source.array, y, by=by, random_state=0
    )
    assert not source.reads
    y_test.compute()
    X_test.compute()
    assert len(source.reads) == (8 if by == "rows" else 2)
    assert X_train.shape[0] + X_test.shape[0] == 80


def test_a_fit_reads_each_block_once_and_holds_the_look_ahead():
    source = Source(12)
    y = da.arange(120, chunks=10) % 2
    X_train, _, y_train, _ = train_test_split(source.array, y, random_state=0)
    model = Incremental(Ledger(), classes=[0, 1], prefetch=1)
    model.fit(X_train, y_train, sample_weight=y_train)
    assert source.reads == dict.fromkeys(range(12), 1)
    assert source.most_live <= 2


@BY
def test_the_seed_settles_the_parts(by):
    X, _, _ = arrays(80, (10,) * 8)

    def ids(random_state):
        return train_test_split(X, by=by, random_state=random_state)[1][:, 0].compute()

    assert np.array_equal(ids(3), ids(3))
    assert np.array_equal(ids(3), ids(np.random.RandomState(3)))
    assert not np.array_equal(ids(3), ids(4))
    drawn = train_test_split(X, by=by)[1]
    assert np.array_equal(drawn.compute(), drawn.compute())


def test_the_last_blocks_are_those_to_score_on_without_shuffle():
    X, _, _ = arrays(80, (10,) * 8)
    _, test = train_test_split(X, by="blocks", shuffle=False)
    assert test[:, 0].compute().tolist() == list(range(60, 80))


def test_values_keep_their_share_in_each_block():
    y = np.array([0] * 16 + [1] * 4)
    X, labels = da.arange(200, chunks=20), da.from_array(np.tile(y, 10), chunks=20)
    _, _, y_train, y_test = train_test_split(X, labels, stratify=labels, random_state=0)
    for at in range(10):
        assert y_test.blocks[at].compute().tolist().count(1) == 1
        assert y_train.blocks[at].compute().tolist().count(1) == 3


def test_a_series_stratifies_a_dataframe_of_unknown_lengths():
    frame = make_frame(4)
    parts = train_test_split(
        frame[["id", "k"]], frame["y"], frame["w"], stratify=frame["y"], test_size=0.5,
        random_state=0,
    )  # fmt: skip
    check_parts(parts)
    assert abs(parts[3].compute().mean() - 0.5) < 0.05


@BY
def test_sparse_blocks_are_split(by):
    X, y, _ = arrays(40, (10,) * 4)
    X = X.map_blocks(sp.csr_matrix)
    parts = train_test_split(X, y, random_state=0, by=by)
    rows = [one.compute() for one in parts[:2]]
    assert all(sp.issparse(one) for one in rows)
    assert sorted(sp.vstack(rows)[:, 0].toarray().ravel()) == list(range(40))


def test_text_in_a_bag_is_split():
    texts = [f"word {at}" for at in range(40)]
    bag = db.from_sequence(texts, npartitions=4)
    labels = da.arange(40, chunks=10)
    train, test, y_train, y_test = train_test_split(bag, labels, random_state=0)
    assert type(train) is db.Bag
    for rows, numbers in ((train, y_train), (test, y_test)):
        assert rows.compute() == [f"word {at}" for at in numbers.compute()]
    assert sorted([*train.compute(), *test.compute()]) == sorted(texts)


def test_what_a_wrapper_mapped_is_split_with_its_source():
    frame = make_frame(4).shuffle("k")
    X = ParallelPostFit(FunctionTransformer(np.asarray)).transform(frame[["id", "k"]])
    parts = train_test_split(X, frame["y"], frame["w"], random_state=0)
    check_parts(parts, ["shuffle"])


def test_data_in_memory_are_cut_like_the_first():
    X, y, w = arrays(40, (15, 25))
    parts = train_test_split(X, np.asarray(y), list(np.asarray(w)), random_state=0)
    assert all(isinstance(one, da.Array) for one in parts)
    rows = [*learned(*parts[::2]), *learned(*parts[1::2])]
    assert sorted(rows) == [(at, at % 2, at + 1) for at in range(40)]


def test_collections_that_are_cut_differently_are_cut_alike():
    X, y, w = arrays(40, (15, 25))
    parts = train_test_split(X, y.rechunk(10), w.rechunk(7), random_state=0)
    assert all(one.numblocks[0] == 2 for one in parts)
    rows = [*learned(*parts[::2]), *learned(*parts[1::2])]
    assert sorted(rows) == [(at, at % 2, at + 1) for at in range(40)]


def test_collections_of_other_lengths_are_refused(no_compute):
    X, _, _ = arrays(40, (15, 25))
    with pytest.raises(ValueError, match="same number of rows"):
        train_test_split(X, X[:39])


def test_xarray_is_split_without_its_labels():
    xarray = pytest.importorskip("xarray")
    X = xarray.DataArray(da.ones((40, 2), chunks=(10, 2)), dims=["row", "feature"])
    train, test = train_test_split(X, random_state=0)
    assert type(train) is da.Array
    assert train.shape[0] + test.shape[0] == 40


def test_other_columns_in_one_block_keep_their_names():
    frame = make_frame(2)[["id", "k"]]

    def rename(part):
        return part.rename(columns={"k": "q"}) if part["id"].iloc[0] > 60 else part

    odd = frame.map_partitions(rename, meta=frame._meta, enforce_metadata=False)
    train, _ = train_test_split(odd, random_state=0)
    parts = dask.compute(*train.to_delayed())
    whole = dask.compute(*odd.to_delayed())
    assert [list(one) for one in parts] == [list(one) for one in whole]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test_size": 0}, "test_size must be a number between 0 and 1, got 0"),
        ({"test_size": 10}, "got 10"),
        ({"by": "row"}, "by must be 'rows' or 'blocks', got 'row'"),
        ({"shuffle": None}, "shuffle must be True or False"),
        ({"shuffle": False}, "Pass by='blocks'"),
        ({"by": "blocks", "stratify": np.ones(40)}, "stratify must be None"),
    ],
    ids=str,
)
def test_wrong_parameters_are_refused(options, message, no_compute):
    with pytest.raises(ValueError, match=message):
        train_test_split(arrays(40, (20, 20))[0], **options)


def test_one_block_is_no_two_parts(no_compute):
    with pytest.raises(ValueError, match="has 1; expected at least 2.*by='rows'"):
        train_test_split(arrays(40, (40,))[0], by="blocks")


def test_data_in_memory_are_refused_with_the_way_out():
    with pytest.raises(ValueError, match="in memory.*scikit-learn's own"):
        train_test_split(np.ones((4, 2)), da.ones(4, chunks=2))


@pytest.mark.parametrize(
    ("collections", "message"),
    [((), "at least one collection"), ((5,), "Collection 0 has no rows")],
)
def test_what_has_no_rows_is_refused(collections, message):
    with pytest.raises(TypeError, match=message):
        train_test_split(*collections)


def test_parts_are_split_on_each_scheduler(scheduler):
    frame = make_frame(3)
    parts = train_test_split(frame[["id", "k"]], frame["y"], frame["w"], random_state=0)
    check_rows([*learned(*parts[::2]), *learned(*parts[1::2])], [])


def test_all_rows_are_counted():
    assert sum(check_parts(train_test_split(*make_data(1, [], "frames")))) == N_ROWS
