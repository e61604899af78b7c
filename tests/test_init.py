"""Importing the package."""

import importlib
import importlib.metadata
import subprocess
import sys

import pytest

import incremental


def python(code):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_public_name_is_there():
    for name in incremental.__all__:
        assert getattr(incremental, name) is not None


def test_the_version_is_that_of_the_distribution():
    assert incremental.__version__ == importlib.metadata.version("dask-incremental")


def test_the_optional_dependencies_are_not_imported():
    done = python(
        "import sys, sklearn.base, dask.array\n"
        "before = set(sys.modules)\n"
        "import incremental\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "assert not new & {'pandas', 'pyarrow', 'distributed', 'bokeh'}, new\n"
    )
    assert done.returncode == 0, done.stderr


def test_it_works_without_the_optional_dependencies():
    done = python(
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name in ('pandas', 'pyarrow', 'distributed', 'bokeh'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "import dask.array as da\n"
        "from incremental import Incremental, iter_blocks\n"
        "from sklearn.linear_model import SGDRegressor\n"
        "X = da.ones((10, 2), chunks=(4, 2)); y = da.ones(10, chunks=5)\n"
        "model = Incremental(SGDRegressor()).fit(X, y)\n"
        "assert model.predict(X).compute().shape == (10,)\n"
        "assert len(list(iter_blocks(X, y))) == 3\n"
        "assert model.score(X, y) <= 1\n"
    )
    assert done.returncode == 0, done.stderr


def test_another_distribution_of_the_same_import_name_is_told(monkeypatch):
    real = importlib.metadata.distribution

    def distribution(name):
        return real("dask-incremental" if name == "incremental" else name)

    monkeypatch.setattr(importlib.metadata, "distribution", distribution)
    with pytest.warns(RuntimeWarning, match="distribution named 'incremental'"):
        importlib.reload(incremental)
