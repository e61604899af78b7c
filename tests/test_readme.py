"""The README's code runs."""

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pytest

# Where dask cuts the README's arrays at other rows, they are counted.
pytestmark = pytest.mark.filterwarnings("default::dask.array.PerformanceWarning")

README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(
    r"^```python\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE
)
OPTIONAL = ("sklearn.callback", "torch", "xarray")


def write(n_files):
    """Write the README's data set, of so many files."""
    normal = np.random.default_rng(0).normal(size=(400, 3))
    frame = da.from_array(normal, chunks=(-(-400 // n_files), 3)).to_dask_dataframe(
        columns=["f0", "f1", "f2"]
    )
    frame.assign(y=(frame["f0"] > 0).astype(int)).to_parquet("data.parquet")


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """Go to the README's data set and run its code in order, without the optional."""
    with contextlib.chdir(tmp_path_factory.mktemp("readme")):
        write(4)
        names = {}
        for block in BLOCKS:
            if not any(name in block for name in OPTIONAL):
                exec(compile(block, "README.md", "exec"), names)
        yield names


@pytest.mark.parametrize("n_files", [1, 7, pytest.param(30, marks=pytest.mark.slow)])
def test_the_readmes_example_runs_on_any_number_of_files(n_files, tmp_path):
    example, with_arrays = BLOCKS[:2]
    with contextlib.chdir(tmp_path):
        write(n_files)
        names = {}
        exec(compile(example, "README.md", "exec"), names)
        on_frames = names["pipe"][1].coef_
        exec(compile(with_arrays, "README.md", "exec"), names)
        assert len(dd.read_parquet("predictions.parquet")) == 400
    # Moments are summed in another order.
    np.testing.assert_allclose(names["pipe"][1].coef_, on_frames, rtol=1e-9)


def test_the_readmes_code_runs_in_its_order(names):
    assert len(dd.read_parquet("predictions.parquet")) == 400
    assert os.path.exists("profile.html")


def test_the_readmes_shards_have_all_rows(names):
    assert names["n_rows"] == 400


# Run in a process of its own: workers forked from this one would inherit its threads.
BEFORE_TORCH = """
import multiprocessing
import dask.array as da
from incremental import iter_blocks

multiprocessing.set_start_method("fork")
X, y = da.ones((400, 3), chunks=(100, 3)), da.arange(400, chunks=100)
"""
AFTER_TORCH = """
print(sorted(row for _, y_block in loader for row in y_block.tolist()))
"""


@pytest.mark.slow
def test_the_readmes_workers_of_torch_read_each_row_once():
    pytest.importorskip("torch")
    (block,) = [block for block in BLOCKS if "torch" in block]
    done = subprocess.run(
        [sys.executable, "-c", BEFORE_TORCH + block + AFTER_TORCH],
        cwd=README.parent,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, f"{list(range(400))}\n"), done.stderr


def test_the_readmes_callbacks_run(names):
    pytest.importorskip("sklearn.callback", reason="new in scikit-learn 1.9")
    (block,) = [block for block in BLOCKS if "sklearn.callback" in block]
    exec(compile(block, "README.md", "exec"), names)
    assert names["monitor"].get_logs().data


def test_the_readmes_images_are_predicted(names):
    pytest.importorskip("xarray")
    (block,) = [block for block in BLOCKS if "xarray" in block]
    exec(compile(block, "README.md", "exec"), names)
    labels = names["labels"]
    assert labels.dims == ("y", "x")
    assert labels.compute().shape == (40, 60)
