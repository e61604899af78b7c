"""Each kind of data has an adapter; what they have in common is written once."""

import dask
import dask.array as da
import dask.bag as db
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from incremental import iter_blocks
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
    assert list(bag) == series.compute().tolist() == memory.tolist() == filled


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
