"""Each kind of data has an adapter; what they have in common is written once."""

import dask
import dask.array as da
import dask.bag as db
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.linear_model import SGDClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array

from incremental import Incremental, ParallelPostFit, iter_blocks
from incremental._blocks.collections import as_collection, is_lazy

VALUES = np.arange(12.0).reshape(6, 2)
FRAME = pd.DataFrame(VALUES, columns=["a", "b"])
TEXT = ["some", None, "words", "x", "y", "z"]
LAZY = {
    "array": da.from_array(VALUES, chunks=(2, 2)),
    "array of unknown lengths": dd.from_pandas(FRAME, npartitions=3).values,
    "array of several chunks of columns": da.from_array(VALUES, chunks=(2, 1)),
    "sparse array": da.from_array(VALUES, chunks=(2, 2)).map_blocks(sp.csr_matrix),
    "dataframe": dd.from_pandas(FRAME, npartitions=3),
    "series": dd.from_pandas(FRAME["a"], npartitions=3),
    "index": dd.from_pandas(FRAME, npartitions=3).index,
    "bag": db.from_sequence(range(6), npartitions=3),
}
MEMORY = {
    "array in memory": VALUES,
    "sparse matrix": sp.csr_matrix(VALUES),
    "pandas": FRAME,
    "list": TEXT,
    "tuple": tuple(TEXT),
}
EVERYTHING = LAZY | MEMORY


def count(block, block_id=None, partition_info=None):
    return np.array([block.shape[0] if hasattr(block, "shape") else len(block)])


@pytest.mark.parametrize("name", EVERYTHING)
def test_an_adapter_counts_its_blocks_without_computing(name, no_compute):
    collection = as_collection(EVERYTHING[name])
    assert collection.n_blocks == (3 if name in LAZY else 1)
    assert collection.is_lazy == is_lazy(EVERYTHING[name]) == (name in LAZY)


@pytest.mark.parametrize("name", EVERYTHING)
def test_the_rows_it_knows_are_those_of_the_blocks(name):
    known = as_collection(EVERYTHING[name]).n_rows
    blocks = [block for (block,) in iter_blocks(EVERYTHING[name])]
    lengths = tuple(int(count(block)[0]) for block in blocks)
    assert sum(lengths) == 6
    assert known in (None, lengths)


@pytest.mark.parametrize("name", EVERYTHING)
def test_an_adapter_says_what_it_is_of(name):
    assert as_collection(EVERYTHING[name]).describe()


@pytest.mark.parametrize("name", LAZY)
def test_a_function_is_mapped_over_the_blocks_lazily(name):
    collection = as_collection(LAZY[name]).with_whole_rows("X")
    with dask.config.set(scheduler=fail):
        mapped = collection.map_blocks(count, "count", np.empty(0, dtype=int))
    np.testing.assert_array_equal(mapped, [2, 2, 2])


def fail(*args, **kwargs):
    raise AssertionError("dask computes")


@pytest.mark.parametrize("name", LAZY)
def test_invented_rows_have_the_columns_of_the_data(name, no_compute):
    collection = as_collection(LAZY[name])
    rows = list(collection.made_up_rows())
    assert rows
    for row in rows:
        assert int(count(row)[0]) == 1
        if name == "dataframe":
            assert list(row.columns) == ["a", "b"]


def test_a_bag_and_a_series_are_filled_with_empty_text():
    bag = as_collection(db.from_sequence(TEXT, npartitions=2)).with_text()
    series = as_collection(dd.from_pandas(pd.Series(TEXT), npartitions=2)).with_text()
    memory = as_collection(pd.Series(TEXT)).with_text()
    filled = ["some", "", "words", "x", "y", "z"]
    read = bag.compute(scheduler="synchronous")
    assert read == series.compute().tolist() == memory.tolist() == filled


def test_a_scalar_has_no_rows():
    assert as_collection(np.array(1.0)).n_rows is None
    assert as_collection(5).n_rows is None


def test_categories_are_told_where_dask_knows_them():
    column = pd.Series(["a", "b"], dtype="category")
    lazy = dd.from_pandas(column, npartitions=1)
    assert list(as_collection(column).categories) == ["a", "b"]
    assert list(as_collection(lazy).categories) == ["a", "b"]
    assert as_collection(lazy.cat.as_unknown()).categories is None
    assert as_collection(VALUES).categories is None


def test_other_dask_collections_are_refused():
    with pytest.raises(TypeError, match="Got a .*Delayed.*; expected a dask array"):
        as_collection(dask.delayed(1))


ESTIMATOR = SGDClassifier(random_state=0)
LABELS = np.array([0, 1] * 3)
TAKES = {
    "fit": lambda X: Incremental(ESTIMATOR).fit(X, LABELS),
    "partial_fit": lambda X: Incremental(ESTIMATOR).partial_fit(X, LABELS),
    "fit in memory": lambda X: ParallelPostFit(ESTIMATOR).fit(X, LABELS),
    "predict": lambda X: fitted().predict(X),
    "score": lambda X: fitted().score(X, LABELS),
    "iter_blocks": lambda X: iter_blocks(X),
    "y": lambda y: Incremental(ESTIMATOR).fit(LAZY["array"], y),
    "sample_weight": lambda weight: Incremental(ESTIMATOR).fit(
        LAZY["array"], LABELS, sample_weight=weight
    ),
}


def fitted():
    return ParallelPostFit(clone(ESTIMATOR).fit(VALUES, LABELS))


class Stored:
    """A stored array, of netCDF4 for example, that nobody may read."""

    shape = (6, 2)
    dtype = np.dtype(float)

    def __getitem__(self, key):
        raise AssertionError("it is read")

    __array__ = __len__ = __getitem__


@pytest.mark.parametrize("takes", TAKES)
def test_a_stored_array_is_refused_before_it_is_read(takes):
    stored = type("Variable", (Stored,), {"chunking": None})()
    with pytest.raises(TypeError, match=r"expected a dask array. Pass `da.from_array"):
        TAKES[takes](stored)


def test_zarr_and_hdf5_arrays_are_refused_with_what_to_write(tmp_path):
    zarr, h5py = pytest.importorskip("zarr"), pytest.importorskip("h5py")
    array = zarr.create_array(tmp_path / "x.zarr", shape=(6, 2), dtype=float)
    with pytest.raises(TypeError, match=r"Got a zarr.* of shape .*`da.from_zarr\("):
        fitted().predict(array)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        dataset = file.create_dataset("X", data=VALUES)
        with pytest.raises(TypeError, match=r"Got a h5py.* of shape .*`da.from_array"):
            fitted().predict(dataset)


def test_a_memory_map_is_data_in_memory(tmp_path):
    mapped = np.memmap(tmp_path / "x", dtype=float, mode="w+", shape=VALUES.shape)
    mapped[:] = VALUES
    np.testing.assert_array_equal(fitted().predict(mapped), fitted().predict(VALUES))


@pytest.mark.parametrize("takes", TAKES)
def test_a_lazy_frame_of_polars_is_refused(takes):
    polars = pytest.importorskip("polars")
    query = polars.DataFrame(VALUES).lazy()
    with pytest.raises(TypeError, match=r"Call `.collect\(\)` if .*sink_parquet"):
        TAKES[takes](query)


@pytest.mark.parametrize("takes", TAKES)
def test_a_relation_of_duckdb_is_refused(takes):
    duckdb = pytest.importorskip("duckdb")
    relation = duckdb.sql("select 1 as a, 2 as b")
    with pytest.raises(TypeError, match=r"Call `.df\(\)` if .*dd.from_map"):
        TAKES[takes](relation)


class Table:
    def to_pandas(self):
        raise AssertionError("it is read")


def test_other_tables_are_refused_with_how_they_become_pandas():
    with pytest.raises(TypeError, match=r"Call `.to_pandas\(\)` if it fits in memory"):
        fitted().predict(Table())


IN_MEMORY = {
    "polars": lambda library: library.DataFrame(FRAME),
    "pyarrow": lambda library: library.Table.from_pandas(FRAME),
    "record batch": lambda library: library.RecordBatch.from_pandas(FRAME),
}
CUT = [{}, {"batch_size": 4}, {"shuffle_rows": True}, {"max_iter": 3, "batch_size": 4}]


@pytest.mark.parametrize("params", CUT)
@pytest.mark.parametrize("kind", IN_MEMORY)
def test_tables_that_scikit_learn_takes_are_fitted_as_their_values(kind, params):
    library = pytest.importorskip("polars" if kind == "polars" else "pyarrow")
    table = IN_MEMORY[kind](library)
    series = library.Series if kind == "polars" else library.array
    y, weight = series(LABELS), series(LABELS + 1)
    names = getattr(clone(ESTIMATOR).fit(table, LABELS), "feature_names_in_", None)
    params = {"classes": [0, 1], "random_state": 0, **params}
    plain = Incremental(ESTIMATOR, **params).fit(
        VALUES, LABELS, sample_weight=LABELS + 1
    )
    wrapper = Incremental(ESTIMATOR, **params).fit(table, y, sample_weight=weight)
    np.testing.assert_array_equal(wrapper.coef_, plain.coef_)
    np.testing.assert_array_equal(getattr(wrapper, "feature_names_in_", None), names)
    np.testing.assert_array_equal(wrapper.predict(table), plain.predict(VALUES))
    assert wrapper.score(table, y) == plain.score(VALUES, LABELS)


def test_columns_of_polars_in_another_order_are_refused():
    polars = pytest.importorskip("polars")
    lazy = LAZY["dataframe"], LAZY["series"] > 5
    wrapper = Incremental(ESTIMATOR).fit(*lazy)
    with pytest.raises(ValueError, match="must be in the same order"):
        wrapper.predict(polars.DataFrame(FRAME[["b", "a"]]))


def test_the_classes_of_a_categorical_y_of_polars_are_found_in_it():
    polars = pytest.importorskip("polars")
    for dtype in (polars.Categorical, polars.Enum(["n", "p", "never"])):
        y = polars.Series(["n", "p"] * 3, dtype=dtype)
        wrapper = Incremental(ESTIMATOR).fit(LAZY["array"], y)
        assert list(wrapper.classes_) == ["n", "p"]


def test_example_rows_of_objects_hold_numbers_as_well():
    with dask.config.set({"dataframe.convert-string": False}):
        lazy = dd.from_pandas(FRAME.astype(object), npartitions=3)
    model = Incremental(ESTIMATOR, shuffle_blocks=False).fit(lazy, LAZY["series"] > 5)
    np.testing.assert_array_equal(
        model.predict(lazy).compute(), model.estimator_.predict(FRAME.astype(object))
    )


NUMBERS_AS_TEXT = pd.DataFrame({"a": pd.Series(["1"], dtype="string"), "b": [1.0]})


@pytest.mark.skipif(
    check_array(NUMBERS_AS_TEXT).dtype == object,
    reason="scikit-learn 1.6 converts no text of pandas",
)
def test_numbers_that_dask_reads_as_text_are_predicted_as_they_are_fitted():
    lazy = dd.from_pandas(FRAME.astype(object), npartitions=3)
    model = Incremental(ESTIMATOR, shuffle_blocks=False).fit(lazy, LAZY["series"] > 5)
    plain = Incremental(ESTIMATOR, shuffle_blocks=False)
    plain.fit(LAZY["dataframe"], LAZY["series"] > 5)
    np.testing.assert_array_equal(model.coef_, plain.coef_)
    np.testing.assert_array_equal(model.predict(lazy), plain.predict(LAZY["dataframe"]))


WITH_TEXT = FRAME.assign(b="word", c=1.0)


def test_text_among_the_columns_of_a_numeric_estimator_is_named():
    lazy = dd.from_pandas(WITH_TEXT, npartitions=3)
    trained = clone(ESTIMATOR).partial_fit(
        WITH_TEXT.assign(b=1.0), LABELS, classes=[0, 1]
    )
    model = ParallelPostFit(trained)
    y = LAZY["series"] > 5
    for call in (
        lambda: Incremental(ESTIMATOR).fit(lazy, y),
        lambda: Incremental(ESTIMATOR).fit(WITH_TEXT, LABELS),
        lambda: model.predict(lazy).compute(),
        lambda: model.score(lazy, y),
    ):
        with pytest.raises((TypeError, ValueError), match="convert|multiply") as caught:
            call()
        notes = " ".join(caught.value.__notes__)
        assert "X has columns of text (object or str): 'b'; expected numbers" in notes


def test_arrays_of_nullable_columns_with_missing_values_are_explained():
    nullable = FRAME.astype("Float64")
    nullable.iloc[1, 0] = pd.NA
    array = da.from_array(nullable.to_numpy(dtype=object), chunks=(2, 2))
    with pytest.raises(TypeError, match="NAType") as caught:
        Incremental(StandardScaler()).fit(array)
    assert "Pass the dataframe itself" in " ".join(caught.value.__notes__)


@pytest.mark.parametrize("dtype", ["Float64", "double[pyarrow]"])
def test_nullable_columns_with_missing_values_are_fitted_as_scikit_learn_does(dtype):
    nullable = FRAME.astype(dtype)
    nullable.iloc[1, 0] = pd.NA
    wrapper = Incremental(StandardScaler()).fit(dd.from_pandas(nullable, npartitions=3))
    np.testing.assert_allclose(wrapper.mean_, StandardScaler().fit(nullable).mean_)
