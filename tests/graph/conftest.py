"""Data for the tests of graphs."""

import dask.dataframe as dd
import pytest

from tests.graph import parquet


@pytest.fixture(scope="session")
def df(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    parquet.write(folder)
    return dd.read_parquet(folder)
