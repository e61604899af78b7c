"""The README's code runs."""

import os
import re
from pathlib import Path

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pytest

README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(
    r"^```python\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE
)


@pytest.fixture
def parquet(tmp_path, monkeypatch):
    """Write the data set that the README reads, and go where it is."""
    monkeypatch.chdir(tmp_path)
    X = da.from_array(np.random.default_rng(0).normal(size=(400, 3)), chunks=(100, 3))
    frame = X.to_dask_dataframe(columns=["f0", "f1", "f2"])
    frame.assign(y=(frame["f0"] > 0).astype(int)).to_parquet("data.parquet")


def test_the_readmes_code_runs_in_its_order(parquet):
    assert BLOCKS
    names = {}
    for block in BLOCKS:
        exec(compile(block, "README.md", "exec"), names)
    assert len(dd.read_parquet("predictions.parquet")) == 400
    assert os.path.exists("profile.html")
