"""Searches that are interrupted, and go on from their checkpoints."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import dask
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import loguniform, uniform
from sklearn.base import clone
from sklearn.linear_model import SGDClassifier

from incremental import HyperbandSearchCV, Incremental, SuccessiveHalvingSearchCV
from tests.contracts import as_dask, assert_same_state

CHUNKS = (10,) * 8
ALPHAS = loguniform(1e-5, 1.0)


@pytest.fixture(scope="module")
def arrays():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 4))
    return X, (X[:, 0] + rng.normal(size=80) > 0).astype(int)


@pytest.fixture(scope="module")
def data(arrays):
    return tuple(as_dask(one, CHUNKS) for one in arrays)


class Ending(SGDClassifier):
    """Stops the search in one of its calls, but for the first time only."""

    left = None

    def __init__(self, alpha=1e-4, *, how=KeyboardInterrupt, random_state=0):
        super().__init__(alpha=alpha, random_state=random_state)
        self.how = how

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        if Ending.left is not None:
            Ending.left -= 1
            if Ending.left == 0:
                Ending.left = None
                if self.how is not KeyboardInterrupt:
                    os.kill(os.getpid(), self.how)
                else:
                    raise KeyboardInterrupt
        return super().partial_fit(X, y, classes, sample_weight)


def make(folder=None, how=KeyboardInterrupt, batch_size=None, **options):
    estimator = Incremental(Ending(how=how), batch_size=batch_size)
    options = {"max_iter": 9, "random_state": 3, "checkpoint_every": 3, **options}
    return HyperbandSearchCV(
        estimator, {"estimator__alpha": ALPHAS}, checkpoint=folder, **options
    )


def results(search):
    """Return all of the results that do not depend on the clock."""
    clocks = ("partial_fit_time", "score_time", "elapsed_wall_time")
    table = search.cv_results_.items()
    return [
        {name: list(one) for name, one in table if not name.endswith("_time")},
        sorted(
            sorted((k, str(one[k])) for k in one if k not in clocks)
            for one in search.history_
        ),
        search.metadata_,
    ]


def assert_same(search, expected):
    assert str(results(search)) == str(results(expected))
    assert_same_state(
        search.best_estimator_.estimator_, expected.best_estimator_.estimator_
    )


@settings(max_examples=4, deadline=None)
@given(
    after=st.integers(1, 60), every=st.integers(1, 5), size=st.sampled_from([None, 7])
)
def test_an_interrupted_search_goes_on_to_the_same_bits(
    after, every, size, data, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("checkpoint")
    options = {"checkpoint_every": every, "batch_size": size}
    search = make(folder, **options)
    Ending.left = after
    with dask.config.set(scheduler="synchronous"):
        with pytest.raises(KeyboardInterrupt):
            search.fit(*data)
        assert not hasattr(search, "cv_results_")
        search.fit(*data)
    assert_same(search, make(**options).fit(*data))
    assert list(folder.glob("*.checkpoint")) == []


def test_rungs_that_are_over_are_not_made_again(data, tmp_path, capsys):
    search = make(tmp_path, verbose=1)
    Ending.left = 45
    with dask.config.set(scheduler="synchronous"):
        with pytest.raises(KeyboardInterrupt):
            search.fit(*data)
        first = capsys.readouterr().out.splitlines()
        search.fit(*data)
    assert [line.split()[1] for line in first] == ["1", "3"]
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == ["9"]
    assert len(search.cv_results_["params"]) == 17


def test_an_interrupted_search_leaves_the_one_before_as_it_was(data):
    search = make().fit(*data)
    before = dict(vars(search))
    Ending.left = 20
    with dask.config.set(scheduler="synchronous"), pytest.raises(KeyboardInterrupt):
        search.fit(*data)
    assert vars(search) == before


def test_a_search_without_a_seed_goes_on_with_its_candidates(data, tmp_path):
    search = make(tmp_path, random_state=None)
    Ending.left = 40
    with dask.config.set(scheduler="synchronous"):
        with pytest.raises(KeyboardInterrupt):
            search.fit(*data)
        search.fit(*data)
    assert len(search.cv_results_["params"]) == 17
    assert max(search.cv_results_["partial_fit_calls"]) == 9


def test_data_in_memory_are_searched_with_checkpoints(arrays, tmp_path):
    search = make(tmp_path)
    Ending.left = 40
    with dask.config.set(scheduler="synchronous"):
        with pytest.raises(KeyboardInterrupt):
            search.fit(*arrays)
        assert_same(search.fit(*arrays), make().fit(*arrays))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_iter": 8}, "the parameter max_iter was 9 and is 8"),
        ({"batch_size": 5}, "the parameter estimator was"),
        ({"random_state": 4}, "the parameter random_state was 3 and is 4"),
    ],
)
def test_checkpoints_of_another_search_are_refused(change, message, data, tmp_path):
    Ending.left = 40
    with dask.config.set(scheduler="synchronous"):
        with pytest.raises(KeyboardInterrupt):
            make(tmp_path).fit(*data)
        with pytest.raises(ValueError, match=message):
            make(tmp_path, **change).fit(*data)


def test_checkpoints_of_other_rows_are_refused(arrays, data, tmp_path):
    Ending.left = 40
    with dask.config.set(scheduler="synchronous"):
        with pytest.raises(KeyboardInterrupt):
            make(tmp_path).fit(*data)
        with pytest.raises(ValueError, match="has other rows, columns or types"):
            make(tmp_path).fit(as_dask(arrays[0] + 1, CHUNKS), data[1])


def test_the_last_checkpoints_stay_where_they_are_wanted(data, tmp_path):
    make(tmp_path, keep_checkpoint=True).fit(*data)
    names = [path.name for path in tmp_path.glob("*.checkpoint")]
    assert len(names) == 2
    assert all(name.startswith("finished-") for name in names)
    make(tmp_path).fit(*data)
    assert list(tmp_path.glob("*.checkpoint")) == []


def test_a_search_of_which_all_fail_is_not_gone_on_with(data, tmp_path):
    search = make(tmp_path).set_params(parameters={"estimator__alpha": uniform(-2, 1)})
    for _ in range(2):
        with pytest.raises(ValueError, match="All 17 candidates failed"):
            search.fit(*data)
    search.set_params(parameters={"estimator__alpha": ALPHAS}).fit(*data)


@pytest.mark.skipif(os.name != "posix", reason="elsewhere processes get no signals")
@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_a_search_saves_what_it_has_learned_on_sigterm(scheduler, data, tmp_path):
    search = make(tmp_path, how=signal.SIGTERM, checkpoint_every=100)
    Ending.left = 52  # in the second block of the last rung
    with dask.config.set(scheduler=scheduler):
        with pytest.raises(SystemExit) as caught:
            search.fit(*data)
        assert caught.value.code == 128 + signal.SIGTERM
        assert len(list(tmp_path.glob("*.checkpoint"))) == 2
        assert_same(search.fit(*data), make(how=signal.SIGTERM).fit(*data))


KILLED = """
import os, signal, sys
import numpy as np
from tests.contracts import as_dask
from tests.search.test_engine import CHUNKS, Ending, make

X, y, folder, left = np.load(sys.argv[1]), np.load(sys.argv[2]), *sys.argv[3:]
Ending.left = int(left)
make(folder, how=signal.SIGKILL).fit(as_dask(X, CHUNKS), as_dask(y, CHUNKS))
"""


@pytest.mark.skipif(os.name != "posix", reason="elsewhere processes get no signals")
def test_a_killed_search_goes_on_in_a_new_process(arrays, data, tmp_path):
    paths = [str(tmp_path / f"{name}.npy") for name in "Xy"]
    for path, one in zip(paths, arrays, strict=True):
        np.save(path, one)
    folder = tmp_path / "checkpoint"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), *paths, str(folder), "50"],
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert len(list(folder.glob("*.checkpoint"))) == 2
    search = make(folder, how=signal.SIGKILL).fit(*data)
    assert_same(search, make(how=signal.SIGKILL).fit(*data))


def test_the_wrapper_of_a_search_has_no_checkpoints_of_its_own(data, tmp_path):
    wrapper = Incremental(SGDClassifier(), checkpoint=tmp_path)
    search = SuccessiveHalvingSearchCV(
        wrapper, {"estimator__alpha": [1e-4]}, n_initial_iter=1
    )
    with pytest.raises(ValueError, match="Pass checkpoint to the search"):
        clone(search).fit(*data)
