"""The README's code runs."""

import contextlib
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


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """Go to the README's data set and run its code in order, but for callbacks."""
    with contextlib.chdir(tmp_path_factory.mktemp("readme")):
        normal = np.random.default_rng(0).normal(size=(400, 3))
        frame = da.from_array(normal, chunks=(100, 3)).to_dask_dataframe(
            columns=["f0", "f1", "f2"]
        )
        frame.assign(y=(frame["f0"] > 0).astype(int)).to_parquet("data.parquet")
        names = {}
        for block in BLOCKS:
            if "sklearn.callback" not in block:
                exec(compile(block, "README.md", "exec"), names)
        yield names


def test_the_readmes_code_runs_in_its_order(names):
    assert len(dd.read_parquet("predictions.parquet")) == 400
    assert os.path.exists("profile.html")


def test_the_readmes_callbacks_run(names):
    pytest.importorskip("sklearn.callback", reason="new in scikit-learn 1.9")
    (block,) = [block for block in BLOCKS if "sklearn.callback" in block]
    exec(compile(block, "README.md", "exec"), names)
    assert names["monitor"].get_logs().data
