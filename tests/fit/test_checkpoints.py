"""Checkpoints: what is written, what is refused, and fits that go on."""

import hashlib
import json
import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import dask
import dask.array as da
import fsspec
import joblib
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.decomposition import IncrementalPCA
from sklearn.linear_model import Perceptron, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from incremental import Incremental
from tests.contracts import (
    ESTIMATORS,
    as_dask,
    assert_same_state,
    make_data,
    name_of,
)
from tests.fit.watching import Watching, watched

SGD = SGDClassifier(random_state=0)
CHUNKS = (10,) * 6


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    return X, (X[:, 0] + rng.normal(size=60) > 0).astype(int)


class BreakError(Exception):
    """What a fit is stopped with."""


class Breaking(Watching):
    """Raises after a number of blocks."""

    def __init__(self, after):
        self.left = after

    def hear(self, task):
        if task == "block":
            self.left -= 1
            if self.left < 0:
                raise BreakError


def interrupted(model, after, *args, **params):
    """Fit a wrapper until a number of blocks, and check that it stops there."""
    with pytest.raises(BreakError):
        watched(model, Breaking(after)).fit(*args, **params)
    return model


def make(folder, estimator=SGD, **options):
    options = {"random_state": 0, "checkpoint_every": 2, "max_iter": 2, **options}
    return Incremental(clone(estimator), checkpoint=folder, **options)


def files(folder):
    return sorted(Path(folder).glob("*.checkpoint"))


def counted(block):
    """Say in a file that a block was read."""
    with open(os.environ["READS"], "a") as file:
        file.write("x")
    return block


@pytest.mark.filterwarnings("ignore:.*PassiveAggressive.*:FutureWarning")
@pytest.mark.filterwarnings("ignore:Class Passive.*:FutureWarning")
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=name_of)
def test_a_fit_goes_on_to_the_same_bits(estimator, tmp_path):
    X, y, params = make_data(estimator)
    lazy = as_dask(X, CHUNKS), as_dask(y, CHUNKS)
    expected = make(None, estimator).fit(*lazy, **params)
    model = interrupted(make(tmp_path, estimator), 9, *lazy, **params)
    assert not hasattr(model, "estimator_")
    assert files(tmp_path)[-1].name == "000000000008.checkpoint"
    again = make(tmp_path, estimator).fit(*lazy, **params)
    assert_same_state(again.estimator_, expected.estimator_)
    assert again.n_iter_ == 2
    assert files(tmp_path) == []


def check_that_it_goes_on(data, folder, after, every, early_stopping, pipeline):
    lazy = as_dask(data[0], CHUNKS), as_dask(data[1], CHUNKS)
    estimator = make_pipeline(StandardScaler(), SGD) if pipeline else SGD
    options = {
        "max_iter": 4,
        "early_stopping": early_stopping,
        "checkpoint_every": every,
    }
    expected = make(None, estimator, **options).fit(*lazy)
    interrupted(make(folder, estimator, **options), after, *lazy)
    again = make(folder, estimator, **options).fit(*lazy)
    assert_same_state(again.estimator_, expected.estimator_)
    for one, other in zip(again.history_, expected.history_, strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}


ANYWHERE = {
    "after": st.integers(0, 17),
    "every": st.integers(1, 7),
    "early_stopping": st.booleans(),
    "pipeline": st.booleans(),
}


@settings(max_examples=8, deadline=None)
@given(**ANYWHERE)
def test_it_goes_on_from_anywhere(data, tmp_path_factory, **where):
    check_that_it_goes_on(data, tmp_path_factory.mktemp("checkpoint"), **where)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(**ANYWHERE)
def test_it_goes_on_from_many_places(data, tmp_path_factory, **where):
    check_that_it_goes_on(data, tmp_path_factory.mktemp("checkpoint"), **where)


def test_it_goes_on_on_each_scheduler(scheduler, data, tmp_path):
    lazy = as_dask(data[0], CHUNKS), as_dask(data[1], CHUNKS)
    expected = make(None).fit(*lazy)
    interrupted(make(tmp_path), 9, *lazy)
    assert_same_state(make(tmp_path).fit(*lazy).estimator_, expected.estimator_)


def test_no_more_blocks_are_fitted_again_than_since_the_checkpoint(
    data, tmp_path, monkeypatch
):
    reads = tmp_path / "reads"
    monkeypatch.setenv("READS", str(reads))
    lazy = as_dask(data[0], CHUNKS).map_blocks(counted, dtype=float)
    given = (lazy, as_dask(data[1], CHUNKS))
    folder = tmp_path / "checkpoint"
    with dask.config.set(scheduler="synchronous"):
        interrupted(make(folder, checkpoint_every=4, prefetch=0), 7, *given)
        reads.write_text("")
        make(folder, checkpoint_every=4, prefetch=0).fit(*given)
    # 12 blocks in two passes, less the 4 that are in the checkpoint, and of these the
    # first, the last and another once more to tell the data.
    assert len(reads.read_text()) == 12 - 4 + 3


def test_the_last_two_checkpoints_are_kept(data, tmp_path):
    lazy = as_dask(data[0], CHUNKS), as_dask(data[1], CHUNKS)
    interrupted(make(tmp_path, checkpoint_every=1), 7, *lazy)
    names = [path.name for path in files(tmp_path)]
    assert names == ["000000000006.checkpoint", "000000000007.checkpoint"]
    assert {path.name for path in tmp_path.iterdir()} == set(names)


def test_the_manifest_can_be_read_by_a_person(data, tmp_path):
    lazy = as_dask(data[0], CHUNKS), as_dask(data[1], CHUNKS)
    interrupted(make(tmp_path), 9, *lazy)
    manifest = json.loads(files(tmp_path)[-1].read_bytes().split(b"\n")[2])
    assert manifest["pass"] == 2
    assert manifest["place"] == 2
    assert sorted(manifest["order"]) == list(range(6))
    described = manifest["fingerprint"]
    assert described["the parameter estimator__alpha"] == "0.0001"
    assert described["the number of blocks"] == "6"
    assert "the version of scikit-learn" in described


def test_checkpoints_are_kept_if_asked(data, tmp_path):
    lazy = as_dask(data[0], CHUNKS), as_dask(data[1], CHUNKS)
    model = make(tmp_path, keep_checkpoint=True).fit(*lazy)
    assert len(files(tmp_path)) == 2
    again = make(tmp_path, keep_checkpoint=True).fit(*lazy)
    assert_same_state(again.estimator_, model.estimator_)


def test_no_fit_goes_on_from_one_that_is_over(data, tmp_path):
    X, y = as_dask(data[0], CHUNKS), as_dask(data[1], CHUNKS)
    make(tmp_path, keep_checkpoint=True).fit(X, y)
    expected = make(None).fit(X, 1 - y)
    received = make(tmp_path, keep_checkpoint=True).fit(X, 1 - y)
    assert_same_state(received.estimator_, expected.estimator_)
    assert len(files(tmp_path)) == 2


def test_a_fit_replaces_the_checkpoints_of_one_that_is_over(data, tmp_path):
    lazy = as_dask(data[0], CHUNKS), as_dask(data[1], CHUNKS)
    make(tmp_path, keep_checkpoint=True).fit(*lazy)
    kept = files(tmp_path)
    options = {"max_iter": 3, "checkpoint_every": 5}
    interrupted(make(tmp_path, **options), 4, *lazy)
    assert files(tmp_path) == kept
    interrupted(make(tmp_path, **options), 12, *lazy)
    names = [path.name for path in files(tmp_path)]
    assert names == ["000000000005.checkpoint", "000000000010.checkpoint"]
    expected = make(None, **options).fit(*lazy)
    received = make(tmp_path, **options).fit(*lazy)
    assert_same_state(received.estimator_, expected.estimator_)


@pytest.mark.slow
def test_a_checkpoint_with_any_bit_flipped_is_passed_over(data, tmp_path):
    lazy = as_dask(data[0], CHUNKS), as_dask(data[1], CHUNKS)
    options = {"max_iter": 1, "checkpoint_every": 5}
    expected = make(None, **options).fit(*lazy)
    interrupted(make(tmp_path, **options), 5, *lazy)
    (path,) = files(tmp_path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    # The first lines are few of the bits, and as important.
    bits = [*rng.integers(0, 8 * 90, 50), *rng.integers(0, 8 * len(whole), 150)]
    for bit in map(int, bits):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.warns(RuntimeWarning, match="is left out"):
            received = make(tmp_path, **options).fit(*lazy)
        assert_same_state(received.estimator_, expected.estimator_)


def change(model, lazy, what):
    """Change one thing, and say how a message calls it."""
    X, y = lazy
    if what == "values":
        return model, (X + 1, y), r"block . \(of 0 to 5\).* has other rows"
    if what == "chunks":
        cut = X.rechunk((20, 4))
        return model, (cut, y), "the number of blocks was 6 and is 3"
    if what == "estimator":
        model.set_params(estimator=StandardScaler())
        return model, lazy, "the parameter estimator was sklearn.linear_model"
    if what == "alpha":
        model.set_params(estimator__alpha=0.5)
        return model, lazy, "estimator__alpha was 0.0001 and is 0.5"
    if what == "max_iter":
        return model.set_params(max_iter=3), lazy, "max_iter was 2 and is 3"
    return model.set_params(classes=[0, 1, 2]), lazy, "the parameter classes was"


@pytest.mark.parametrize(
    "what", ["values", "chunks", "estimator", "alpha", "max_iter", "classes"]
)
def test_a_checkpoint_of_another_fit_is_refused(what, data, tmp_path):
    lazy = as_dask(data[0], CHUNKS), as_dask(data[1], CHUNKS)
    interrupted(make(tmp_path), 9, *lazy)
    kept = [path.read_bytes() for path in files(tmp_path)]
    model, given, message = change(make(tmp_path), lazy, what)
    with pytest.raises(ValueError, match=message):
        model.fit(*given)
    assert [path.read_bytes() for path in files(tmp_path)] == kept


@pytest.mark.parametrize("parameter", [{"prefetch": 0}, {"checkpoint_every": 3}])
def test_parameters_that_change_nothing_may_differ(parameter, data, tmp_path):
    lazy = as_dask(data[0], CHUNKS), as_dask(data[1], CHUNKS)
    expected = make(None).fit(*lazy)
    interrupted(make(tmp_path), 9, *lazy)
    again = make(tmp_path, **parameter).fit(*lazy)
    assert_same_state(again.estimator_, expected.estimator_)


def tear(path, how):
    whole = path.read_bytes()
    torn = {
        "cut": whole[: len(whole) // 2],
        "empty": b"",
        "first line": whole[:10],
        "format": whole[:23] + bytes([whole[23] ^ 1]) + whole[24:],
        "flipped": whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:],
        "manifest": whole.replace(b'"place"', b'"Place"'),
        "other": b"something else",
        "not text": whole[:25] + b"\xff\xfe\n" + whole[40:],
    }
    path.write_bytes(torn[how])


@pytest.mark.parametrize(
    "how",
    [
        "cut",
        "empty",
        "first line",
        "format",
        "flipped",
        "manifest",
        "other",
        "not text",
    ],
)
def test_a_torn_checkpoint_is_passed_over_with_a_warning(how, data, tmp_path):
    lazy = as_dask(data[0], CHUNKS), as_dask(data[1], CHUNKS)
    expected = make(None).fit(*lazy)
    interrupted(make(tmp_path), 9, *lazy)
    tear(files(tmp_path)[-1], how)
    with pytest.warns(RuntimeWarning, match="000008.checkpoint is left out"):
        again = make(tmp_path).fit(*lazy)
    assert_same_state(again.estimator_, expected.estimator_)
    interrupted(make(tmp_path), 9, *lazy)
    for path in files(tmp_path):
        tear(path, how)
    with pytest.warns(RuntimeWarning, match="is left out"):
        again = make(tmp_path).fit(*lazy)
    assert_same_state(again.estimator_, expected.estimator_)


def test_a_file_that_was_being_written_is_ignored(data, tmp_path):
    lazy = as_dask(data[0], CHUNKS), as_dask(data[1], CHUNKS)
    expected = make(None).fit(*lazy)
    interrupted(make(tmp_path), 9, *lazy)
    (tmp_path / "000000000010.checkpoint.part").write_bytes(b"half")
    assert_same_state(make(tmp_path).fit(*lazy).estimator_, expected.estimator_)


@pytest.mark.skipif(os.name != "posix", reason="permissions are those of POSIX")
def test_a_directory_that_everybody_may_write_to_is_refused(data, tmp_path):
    tmp_path.chmod(0o777)
    nothing = {"scheduler": lambda *args, **options: pytest.fail("dask computes")}
    with (
        dask.config.set(nothing),
        pytest.raises(PermissionError, match="everybody may write"),
    ):
        make(tmp_path).fit(as_dask(data[0], CHUNKS), as_dask(data[1], CHUNKS))


def test_an_fsspec_url_is_a_directory_too(data):
    lazy = as_dask(data[0], CHUNKS), as_dask(data[1], CHUNKS)
    expected = make(None).fit(*lazy)
    interrupted(make("memory://some/folder"), 9, *lazy)
    files = fsspec.filesystem("memory")
    assert len(files.ls("/some/folder")) == 2
    again = make("memory://some/folder").fit(*lazy)
    assert_same_state(again.estimator_, expected.estimator_)
    assert files.ls("/some/folder") == []


def test_data_in_memory_has_checkpoints_too(data, tmp_path):
    expected = make(None, max_iter=5).fit(*data)
    interrupted(make(tmp_path, max_iter=5), 3, *data)
    assert len(files(tmp_path)) == 1
    again = make(tmp_path, max_iter=5).fit(*data)
    assert_same_state(again.estimator_, expected.estimator_)
    interrupted(make(tmp_path, max_iter=5), 3, *data)
    with pytest.raises(ValueError, match="the values of X was"):
        make(tmp_path, max_iter=5).fit(data[0] + 1, data[1])


class Calling(BaseEstimator):
    """Calls a function of each block."""

    def __init__(self, function=None):
        self.function = function

    def partial_fit(self, X, y=None):
        self.seen_ = [*getattr(self, "seen_", []), self.function(X)]
        return self


def test_what_only_cloudpickle_can_is_saved_too(data, tmp_path):
    X = as_dask(data[0], CHUNKS)
    estimator = Calling(lambda block: block.sum())
    expected = make(None, estimator).fit(X)
    interrupted(make(tmp_path, estimator), 9, X)
    assert make(tmp_path, estimator).fit(X).seen_ == expected.seen_


def test_an_estimator_that_does_not_pickle_is_refused_at_once(
    data, tmp_path, no_compute
):
    lock = threading.Lock()
    estimator = Calling(lambda block: lock.locked())
    with pytest.raises(TypeError, match="checkpoint needs an estimator that pickles"):
        make(tmp_path, estimator).fit(as_dask(data[0], CHUNKS))


class Local(BaseEstimator):
    def partial_fit(self, X, y=None):
        self.lock_ = threading.Lock()
        return self


def test_what_is_learned_and_does_not_pickle_is_refused(data, tmp_path):
    with pytest.raises(TypeError, match="checkpoint needs an estimator that pickles"):
        make(tmp_path, Local()).fit(as_dask(data[0], CHUNKS))


class Slow(SGDClassifier):
    """Takes its time, and writes down that it learns."""

    log = None  # not a parameter, as it differs each time

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        if self.log is not None:
            with open(self.log, "a") as file:
                file.write("x")
            time.sleep(0.01)
        return super().partial_fit(X, y, classes, sample_weight)


def fit_slowly(kind, folder, log, target):
    """Fit 60 blocks, with checkpoints if there is a folder for them."""
    rng = np.random.default_rng(0)
    X = as_dask(rng.normal(size=(400, 3)), (20,) * 20)
    y = (X[:, 0] > 0).astype(int)
    Slow.log = log
    slow = Slow(random_state=0)
    model = Incremental(
        slow if kind == "model" else make_pipeline(StandardScaler(), slow),
        classes=[0, 1],
        random_state=5,
        max_iter=3,
        early_stopping=kind == "early stopping",
        validation_fraction=0.01,
        checkpoint=folder,
        checkpoint_every=4,
    )
    with dask.config.set(scheduler="threads", num_workers=2):
        model.fit(X, y)
    last = model.estimator_ if kind == "model" else model.estimator_[-1]
    learned = [last.coef_, last.intercept_, last.t_]
    scores = [record["score"] for record in model.history_]
    joblib.dump([*learned, scores], target)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="nothing is killed elsewhere")
@pytest.mark.parametrize(
    ("kind", "most"), [("model", 50), ("pipeline", 20), ("early stopping", 20)]
)
def test_a_process_that_is_killed_goes_on_to_the_same_bits(kind, most, tmp_path):
    """Kill fits of 60 blocks at random blocks so many times, and start them again."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tests.fit.test_checkpoints"])

    def start(folder, log, target):
        arguments = (kind, folder, log, tmp_path / target)
        process = processes.Process(target=fit_slowly, args=arguments)
        process.start()
        return process

    process = start(None, None, "expected")
    process.join()
    assert process.exitcode == 0
    expected = joblib.load(tmp_path / "expected")
    rng = np.random.default_rng(0)
    kills = fits = 0
    while kills < most:
        folder = tmp_path / f"checkpoint-{fits}"
        done, killed_before = 0, 0
        while True:
            log = tmp_path / f"log-{fits}-{kills}-{killed_before}"
            log.touch()
            process = start(folder, log, "received")
            # Only so many blocks later, so that each fit is killed several times.
            after = rng.integers(1, 25)
            while process.is_alive() and log.stat().st_size < after:
                time.sleep(0.0005)
            process.kill()
            process.join()
            done += log.stat().st_size
            if process.exitcode == 0:
                break
            assert process.exitcode == -signal.SIGKILL
            kills += 1
            killed_before += 1
        fits += 1
        # At most 4 blocks, and the one under way, are fitted again after each kill.
        assert done <= 60 + 5 * killed_before
        received = joblib.load(tmp_path / "received")
        for one, other in zip(received, expected, strict=True):
            assert_same_state(one, other)
        assert list(folder.iterdir()) == []
    assert fits > 1


def test_statistics_of_the_data_are_told_from_others(data, tmp_path):
    X = as_dask(data[0], CHUNKS)
    X, y = X - X.mean(axis=0), as_dask(data[1], CHUNKS)
    expected = make(None).fit(X, y)
    interrupted(make(tmp_path), 9, X, y)
    assert_same_state(make(tmp_path).fit(X, y).estimator_, expected.estimator_)
    interrupted(make(tmp_path), 9, X, y)
    with pytest.raises(ValueError, match="has other rows"):
        make(tmp_path).fit(da.stack([X[:, 0]] * 4, axis=1), y)


def test_fits_in_several_threads_do_not_disturb_each_other(data, tmp_path):
    lazy = as_dask(data[0], CHUNKS), as_dask(data[1], CHUNKS)
    expected = make(None, checkpoint_every=1).fit(*lazy)

    def fit(number):
        folder = tmp_path / str(number)
        return make(folder, checkpoint_every=1).fit(*lazy)

    with ThreadPoolExecutor(4) as pool:
        for model in pool.map(fit, range(12)):
            assert_same_state(model.estimator_, expected.estimator_)
            assert model.history_[0]["rows"] == 60


def test_a_scheduler_that_tells_nothing_is_refused(data, tmp_path):
    def get(graph, keys, **options):
        return dask.get(graph, keys)

    lazy = as_dask(data[0], CHUNKS), as_dask(data[1], CHUNKS)
    with (
        dask.config.set(scheduler=get),
        pytest.raises(RuntimeError, match="does not tell"),
    ):
        make(tmp_path, classes=[0, 1]).fit(*lazy)
    with dask.config.set(scheduler=get):
        model = make(None).fit(*lazy)
    assert_same_state(model.estimator_, make(None).fit(*lazy).estimator_)


def test_other_validation_data_is_refused(data, tmp_path):
    lazy = as_dask(data[0], CHUNKS), as_dask(data[1], CHUNKS)
    interrupted(make(tmp_path, early_stopping=True), 8, *lazy)
    model = make(tmp_path, early_stopping=True, validation_data=data)
    with pytest.raises(ValueError, match="the parameter validation_data was None"):
        model.fit(*lazy)


def test_files_of_others_are_left_alone(data, tmp_path):
    others = [tmp_path / "model.checkpoint", tmp_path / "zz.checkpoint"]
    for path in others:
        path.write_text("mine")
    (tmp_path / "999999999999.checkpoint").mkdir()
    lazy = as_dask(data[0], CHUNKS), as_dask(data[1], CHUNKS)
    expected = make(None).fit(*lazy)
    interrupted(make(tmp_path), 9, *lazy)
    assert (tmp_path / "000000000008.checkpoint").exists()
    assert_same_state(make(tmp_path).fit(*lazy).estimator_, expected.estimator_)
    assert [path.read_text() for path in others] == ["mine", "mine"]


def test_new_checkpoints_are_kept_where_older_ones_are_torn(data, tmp_path):
    lazy = as_dask(data[0], CHUNKS), as_dask(data[1], CHUNKS)
    interrupted(make(tmp_path), 9, *lazy)
    for path in files(tmp_path):
        tear(path, "cut")
    with pytest.warns(RuntimeWarning, match="is left out"):
        interrupted(make(tmp_path), 5, *lazy)
    names = [path.name for path in files(tmp_path)]
    assert names == ["000000000002.checkpoint", "000000000004.checkpoint"]


class ObjectStore(MemoryFileSystem):
    """Has no directories, as the stores of clouds."""

    protocol = "objects"
    store: ClassVar = {}
    pseudo_dirs: ClassVar = [""]

    def makedirs(self, path, exist_ok=False):
        pass

    def ls(self, path, detail=True, **options):
        path = self._strip_protocol(path)
        found = [
            {"name": name, "type": "file", "size": 1}
            for name in self.store
            if name.startswith(f"{path}/")
        ]
        if not found:
            raise FileNotFoundError(path)
        return found if detail else [one["name"] for one in found]


def test_a_store_without_directories_is_one_too(data):
    fsspec.register_implementation("objects", ObjectStore, clobber=True)
    lazy = as_dask(data[0], CHUNKS), as_dask(data[1], CHUNKS)
    expected = make(None).fit(*lazy)
    interrupted(make("objects://bucket/new"), 9, *lazy)
    assert len(ObjectStore.store) == 2
    again = make("objects://bucket/new").fit(*lazy)
    assert_same_state(again.estimator_, expected.estimator_)
    assert not ObjectStore.store


def test_what_a_pipeline_has_learned_before_does_not_count(data, tmp_path):
    lazy = as_dask(data[0], CHUNKS), as_dask(data[1], CHUNKS)
    pipe = make_pipeline(StandardScaler(), SGD)
    expected = make(None, pipe).fit(*lazy)
    model = make(tmp_path)
    interrupted(model.set_params(estimator=pipe), 9, *lazy)
    pipe[0].fit(data[0])
    again = make(tmp_path).set_params(estimator=pipe).fit(*lazy)
    assert_same_state(again.estimator_, expected.estimator_)
    other = make_pipeline(MinMaxScaler(), SGD)
    interrupted(make(tmp_path).set_params(estimator=pipe), 9, *lazy)
    with pytest.raises(ValueError, match="StandardScaler"):
        make(tmp_path).set_params(estimator=other).fit(*lazy)


def test_a_file_in_place_of_the_directory_is_refused(data, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="is a file"):
        make(tmp_path / "file").fit(*data)


def test_another_format_is_refused_and_kept(data, tmp_path):
    lazy = as_dask(data[0], CHUNKS), as_dask(data[1], CHUNKS)
    interrupted(make(tmp_path), 9, *lazy)
    newest = files(tmp_path)[-1]
    rest = newest.read_bytes().split(b"\n", 2)[2]
    first = b"incremental checkpoint 1\n"
    later = b"incremental checkpoint 9\n"
    for line, checked in ((first, rest), (later, later + rest)):
        check = hashlib.sha256(checked).hexdigest().encode()
        newest.write_bytes(line + check + b"\n" + rest)
        with pytest.raises(RuntimeError, match="has the format"):
            make(tmp_path).fit(*lazy)
        assert newest.exists()


def test_the_best_estimator_of_a_fit_that_goes_on_predicts_the_same_bits(tmp_path):
    X = np.random.default_rng(1).normal(size=(600, 20))
    y = (X[:, 0] + 0.3 * np.random.default_rng(2).normal(size=600) > 0).astype(int)
    lazy = as_dask(X, (60,) * 10), as_dask(y, (60,) * 10)
    pipe = make_pipeline(IncrementalPCA(5), SGD)
    options = {"early_stopping": True, "max_iter": 4, "n_iter_no_change": 50}
    expected = make(None, pipe, **options).fit(*lazy)
    scores = [record["score"] for record in expected.history_]
    assert np.argmax(scores) < 3
    interrupted(make(tmp_path, pipe, **options), 34, *lazy)
    received = make(tmp_path, pipe, **options).fit(*lazy)
    one, other = expected.estimator_, received.estimator_
    assert one[0].components_.strides == other[0].components_.strides
    assert np.array_equal(one.decision_function(X), other.decision_function(X))


def test_a_fit_that_was_stopped_while_it_removed_is_over(data, tmp_path, monkeypatch):
    X, y = as_dask(data[0], CHUNKS), as_dask(data[1], CHUNKS)
    unlink = os.unlink

    def stop(path, **options):
        if str(path).endswith(".checkpoint"):
            raise KeyboardInterrupt
        unlink(path, **options)

    model = make(tmp_path, checkpoint_every=6)
    monkeypatch.setattr("os.unlink", stop)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    monkeypatch.undo()
    assert hasattr(model, "estimator_")
    assert files(tmp_path)
    told = []

    class Telling(Watching):
        def hear(self, task):
            told.append(task)

    watched(make(tmp_path, checkpoint_every=6), Telling()).fit(X, y)
    assert told.count("block") == 12
    assert not files(tmp_path)


class Stopping(Breaking):
    """Ends a pass after a block, or the fit after a pass."""

    def __init__(self, after, task, *, terminate=False):
        super().__init__(after)
        self.task = task
        self.terminate = terminate

    def hear(self, task):
        if task != self.task:
            return False
        self.left -= 1
        if self.left == 0 and self.terminate:
            os.kill(os.getpid(), signal.SIGTERM)
        return self.left == 0


@pytest.mark.skipif(os.name != "posix", reason="elsewhere processes get no signals")
@pytest.mark.parametrize(("after", "task"), [(3, "block"), (1, "pass")])
def test_a_fit_that_goes_on_knows_that_it_was_to_stop(after, task, data, tmp_path):
    lazy = as_dask(data[0], CHUNKS), as_dask(data[1], CHUNKS)
    options = {"max_iter": 3, "checkpoint_every": 100}
    expected = watched(make(None, **options), Stopping(after, task)).fit(*lazy)
    stopped = Stopping(after, task, terminate=True)
    with pytest.raises(SystemExit):
        watched(make(tmp_path, **options), stopped).fit(*lazy)
    received = make(tmp_path, **options).fit(*lazy)
    assert_same_state(received.estimator_, expected.estimator_)
    blocks = [record["blocks"] for record in expected.history_]
    assert [record["blocks"] for record in received.history_] == blocks


@pytest.mark.parametrize("name", ["y", "sample_weight"])
def test_what_is_in_memory_beside_a_collection_is_compared_whole(name, tmp_path):
    X = np.random.default_rng(0).normal(size=(900, 4))
    given = {"y": (X[:, 0] > 0).astype(int), "sample_weight": np.ones(900)}
    lazy = as_dask(X, (150,) * 6)
    options = {"max_iter": 1, "classes": [0, 1]}
    interrupted(make(tmp_path, **options), 4, lazy, **given)
    # In a row that no digest holds.
    changed = given[name].copy()
    changed[1] = 1 - changed[1]
    with pytest.raises(ValueError, match=f"the values of {name} was"):
        make(tmp_path, **options).fit(lazy, **{**given, name: changed})


def test_an_old_checkpoint_that_cannot_be_removed_is_a_warning(
    data, tmp_path, monkeypatch
):
    lazy = as_dask(data[0], CHUNKS), as_dask(data[1], CHUNKS)
    unlink = os.unlink

    def fail(path, **options):
        if str(path).endswith("02.checkpoint"):
            raise PermissionError("it sticks")
        unlink(path, **options)

    monkeypatch.setattr("os.unlink", fail)
    with pytest.warns(RuntimeWarning, match="it sticks"):
        received = make(tmp_path, max_iter=1).fit(*lazy)
    expected = make(None, max_iter=1).fit(*lazy)
    assert_same_state(received.estimator_, expected.estimator_)


class Vote(ClassifierMixin, BaseEstimator):
    """Holds other estimators in a list, and a class, as parameters."""

    def __init__(self, members=(), kind=SGDClassifier):
        self.members = members
        self.kind = kind

    def partial_fit(self, X, y, classes=None):
        self.classes_ = np.array(classes)
        return self


@pytest.mark.parametrize(
    "changed",
    [{"members": [SGDClassifier(alpha=100.0)]}, {"kind": Perceptron}],
)
def test_other_parameters_of_estimators_in_a_list_and_other_classes_are_refused(
    changed, tmp_path, data
):
    X, y = data
    lazy = as_dask(X, CHUNKS), as_dask(y, CHUNKS)
    first = Vote([SGDClassifier(alpha=0.1)])
    interrupted(make(tmp_path, first, classes=[0, 1]), 9, *lazy)
    with pytest.raises(ValueError, match="of another fit"):
        make(tmp_path, clone(first).set_params(**changed), classes=[0, 1]).fit(*lazy)


def test_a_fit_that_saves_nothing_removes_the_checkpoints_of_one_that_is_over(
    data, tmp_path
):
    lazy = as_dask(data[0], CHUNKS), as_dask(data[1], CHUNKS)
    make(tmp_path, keep_checkpoint=True).fit(*lazy)
    assert len(files(tmp_path)) == 2
    make(tmp_path, checkpoint_every=100).fit(*lazy)
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("every", "kept"), [(100, [12]), (7, [7, 12]), (5, [10, 12]), (6, [6, 12])]
)
def test_the_end_is_among_the_checkpoints_that_are_kept(every, kept, data, tmp_path):
    lazy = as_dask(data[0], CHUNKS), as_dask(data[1], CHUNKS)
    options = {"keep_checkpoint": True, "checkpoint_every": every}
    for _ in range(2):
        make(tmp_path, **options).fit(*lazy)
        names = [f"finished-{number:012d}.checkpoint" for number in kept]
        assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_a_checkpoint_of_the_end_that_cannot_be_written_is_a_warning(
    data, tmp_path, monkeypatch
):
    lazy = as_dask(data[0], CHUNKS), as_dask(data[1], CHUNKS)
    replace = os.replace

    def fail(one, other):
        if "finished-000000000012" in str(other):
            raise OSError("the disk is full")
        replace(one, other)

    monkeypatch.setattr("os.replace", fail)
    options = {"keep_checkpoint": True, "checkpoint_every": 5}
    with pytest.warns(RuntimeWarning, match="no checkpoint of the end.*disk is full"):
        assert make(tmp_path, **options).fit(*lazy).n_iter_ == 2
    names = [f"finished-{number:012d}.checkpoint" for number in (5, 10)]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


class Interrupted(Incremental):
    """Is interrupted between its fit and the end of it."""

    def _commit(self, *args):
        super()._commit(*args)
        raise KeyboardInterrupt


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("every", [5, 6])
def test_no_fit_goes_on_from_one_that_was_interrupted_after_its_end(
    keep, every, data, tmp_path
):
    X, y = as_dask(data[0], CHUNKS), as_dask(data[1], CHUNKS)
    options = {"checkpoint_every": every, "max_iter": 2, "keep_checkpoint": keep}
    model = Interrupted(clone(SGD), random_state=0, checkpoint=tmp_path, **options)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert hasattr(model, "estimator_")
    assert files(tmp_path)
    # It would refuse what is of another fit.
    assert make(tmp_path, max_iter=1).fit(X, 1 - y).n_iter_ == 1
    assert files(tmp_path) == []


def test_a_fit_under_another_configuration_is_refused(data, tmp_path):
    lazy = as_dask(data[0], CHUNKS), as_dask(data[1], CHUNKS)
    interrupted(make(tmp_path), 9, *lazy)
    message = "configuration assume_finite was False and is True"
    with config_context(assume_finite=True), pytest.raises(ValueError, match=message):
        make(tmp_path).fit(*lazy)
    with config_context(display="text"):
        make(tmp_path).fit(*lazy)


def test_a_parameter_that_cannot_be_told_from_others_is_refused_at_once(
    data, tmp_path, no_compute
):
    lock = threading.Lock()
    model = make(tmp_path, scoring=lambda estimator, X, y: lock.locked())
    with pytest.raises(TypeError, match="cannot tell one _thread.lock") as caught:
        model.fit(as_dask(data[0], CHUNKS), as_dask(data[1], CHUNKS))
    assert "in the parameter scoring" in caught.value.__notes__
