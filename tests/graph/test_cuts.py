"""Whether collections are cut alike is read off their tasks."""

import dask
import dask.array as da
import numpy as np
import pandas as pd
import pytest
from dask.core import flatten

from incremental._graph.cuts import (
    cut_alike,
    depends_on_cuts,
    keeps_order,
    made_of_dataframe,
)
from incremental._graph.joint import optimize_together, share_fused
from tests.graph.parquet import columns


def read(*arrays):
    graph = share_fused(optimize_together(arrays))
    return graph, [list(flatten(array.__dask_keys__())) for array in arrays]


@pytest.mark.parametrize(
    "derive",
    [
        lambda df: df,
        lambda df: df[df["y"] % 3 > 0],
        lambda df: df.repartition(npartitions=5),
        lambda df: df.repartition(npartitions=30),
        lambda df: df.repartition(partition_size="2kB"),
        lambda df: df.merge(pd.DataFrame({"y": range(240), "z": 1}), on="y"),
    ],
)
def test_columns_that_dask_reads_in_larger_partitions_are_cut_differently(derive, df):
    graph, (X, y) = read(*columns(derive(df)))
    assert not cut_alike(graph, [X, y])
    assert keeps_order(graph, X)
    assert keeps_order(graph, y)
    assert not depends_on_cuts(graph, X)
    assert not depends_on_cuts(graph, y)


@pytest.mark.parametrize(
    "derive",
    [
        lambda df: df.assign(f0=df["f0"].where(df["y"] > 9)).dropna(),
        lambda df: df.sample(frac=0.5),
        lambda df: df.random_split([0.5, 0.5])[0],
    ],
)
def test_columns_that_are_read_in_the_same_partitions_are_cut_alike(derive, df):
    graph, sources = read(*columns(derive(df)))
    assert cut_alike(graph, sources)


def test_columns_read_without_dasks_tuning_are_cut_alike(df):
    with dask.config.set({"optimization.tune.active": False}):
        graph, sources = read(*columns(df))
    assert cut_alike(graph, sources)


def test_what_is_computed_beside_the_reads_makes_no_difference(df):
    with dask.config.set({"optimization.tune.active": False}):
        X, y = columns(df)
    ones = X.map_blocks(lambda block: np.ones((len(block), 1)), chunks=(np.nan, 1))
    wide = da.concatenate([X, ones], axis=1, allow_unknown_chunksizes=True)
    wide = wide.rechunk({1: -1})
    graph, sources = read(wide, y * da.from_array(np.array(2.0)))
    assert cut_alike(graph, sources)


@pytest.mark.parametrize(
    "derive",
    [
        lambda df: df.sample(frac=0.5, random_state=0),
        lambda df: df.random_split([0.5, 0.5], random_state=0)[0],
        lambda df: df.sort_values("f0"),
        lambda df: df.shuffle("f0", shuffle_method="tasks"),
        lambda df: df.map_partitions(pd.DataFrame.drop_duplicates),
    ],
)
def test_rows_that_depend_on_the_partitions_are_found(derive, df):
    graph, (X, _) = read(*columns(derive(df)))
    assert depends_on_cuts(graph, X)


def test_a_shuffle_does_not_keep_the_order(df):
    graph, (X, _) = read(*columns(df.shuffle("f0", shuffle_method="tasks")))
    assert not keeps_order(graph, X)


def test_a_statistic_of_all_blocks_does_not_keep_the_order(df):
    X, _ = columns(df)
    graph, (centred,) = read(X - X.mean(axis=0))
    assert not keeps_order(graph, centred)


@pytest.mark.parametrize(
    ("derive", "expected"),
    [
        (lambda df: df.to_dask_array(), True),
        (lambda df: abs(df[["f0"]].values) + 1, True),
        (lambda df: df, False),
        (lambda df: da.ones((30, 2), chunks=(10, 2)), False),
    ],
)
def test_arrays_that_dask_made_of_dataframes_are_found(derive, expected, df):
    graph, sources = read(derive(df))
    assert made_of_dataframe(graph, sources[0][:1]) is expected
