"""Fits on a cluster whose workers are killed, and fits that are interrupted."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import defaultdict
from pathlib import Path

import dask
import numpy as np
import psutil
import pytest
from sklearn.base import clone
from sklearn.linear_model import SGDClassifier

from incremental import Incremental, SuccessiveHalvingSearchCV, average
from tests.contracts import as_dask, assert_same_state, plain_loop

N_BLOCKS = 30
CHUNKS = (10,) * N_BLOCKS


class Logging(SGDClassifier):
    """Takes its time, and writes down which process learns from which block."""

    def __init__(self, log=None, seconds=0.03, random_state=0, alpha=1e-4):
        super().__init__(random_state=random_state, alpha=alpha)
        self.log = log
        self.seconds = seconds

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        if self.log is not None:
            with open(self.log, "a") as file:
                file.write(f"{os.getpid()} {int(X[0, 0])}\n")
            time.sleep(self.seconds)
        return super().partial_fit(X, y, classes, sample_weight)


class Hungry(Logging):
    """Kills its worker, as a system does that is out of memory."""

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        if int(X[0, 0]) == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().partial_fit(X, y, classes, sample_weight)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(10 * N_BLOCKS, 3))
    X[:, 0] = np.arange(10 * N_BLOCKS) // 10
    return X, (X[:, 1] > 0).astype(int)


@pytest.fixture
def fragile():
    """Open a cluster of its own, whose workers the test may kill."""
    from distributed import Client, LocalCluster

    others = psutil.Process().children(recursive=True)
    settings = {
        "distributed.scheduler.allowed-failures": 20,
        # A local cluster gives up a worker that is not there this long after it died,
        # also where it has come back and died again.
        "distributed.deploy.lost-worker-timeout": "10 minutes",
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            dashboard_address=":0",
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client
    # distributed leaves a worker that was being started again when the cluster closed.
    for process in psutil.Process().children(recursive=True):
        if process not in others:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def lines(log):
    return log.read_text().splitlines() if log.exists() else []


def kill_its_workers(log, blocks, killed):
    """Kill the process that learns, each time when some more blocks are fitted."""
    for after in blocks:
        wanted = len(lines(log)) + after
        while len(lines(log)) < wanted:
            time.sleep(0.005)
        process = int(lines(log)[-1].split()[0])
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue
        killed.append(process)


def fit_with_kills(model, data, log, blocks):
    killed = []
    arguments = (log, blocks, killed)
    killer = threading.Thread(target=kill_its_workers, args=arguments, daemon=True)
    killer.start()
    model.fit(as_dask(data[0], CHUNKS), as_dask(data[1], CHUNKS))
    killer.join()
    return killed


@pytest.mark.slow
def test_a_fit_whose_workers_are_killed_ends_in_the_same_bits(fragile, data, tmp_path):
    """Kill the worker that holds the estimator, half of the times with checkpoints."""
    params = {"classes": [0, 1]}
    expected = plain_loop(Logging(), *data, params, CHUNKS)
    rng = np.random.default_rng(0)
    kills = 0
    for number in range(4):
        log = tmp_path / f"log-{number}"
        checkpoint = tmp_path / f"checkpoint-{number}" if number % 2 else None
        model = Incremental(
            Logging(str(log)),
            classes=[0, 1],
            shuffle_blocks=False,
            checkpoint=checkpoint,
            checkpoint_every=5,
        )
        blocks = rng.integers(3, 12, size=3)
        killed = fit_with_kills(model, data, log, blocks)
        kills += len(killed)
        received = clone(expected)
        received.__dict__.update(vars(model.estimator_))
        assert_same_state(received.set_params(log=None), expected)
        if checkpoint is not None:
            assert len(lines(log)) <= N_BLOCKS + 5 * len(killed)
    assert kills >= 10


def search(estimator, **options):
    return SuccessiveHalvingSearchCV(
        Incremental(estimator, classes=[0, 1], shuffle_blocks=False),
        {"estimator__alpha": [1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0]},
        n_initial_parameters="grid",
        n_initial_iter=10,
        random_state=0,
        **options,
    )


@pytest.mark.slow
def test_a_search_whose_workers_are_killed_ends_in_the_same_bits(
    fragile, data, tmp_path
):
    with dask.config.set(scheduler="synchronous"):
        lazy = as_dask(data[0], CHUNKS), as_dask(data[1], CHUNKS)
        expected = search(Logging()).fit(*lazy)
    for number, checkpoint in enumerate([None, tmp_path / "checkpoint"]):
        log = tmp_path / f"log-{number}"
        model = search(Logging(str(log)), checkpoint=checkpoint, checkpoint_every=4)
        killed = fit_with_kills(model, data, log, [10, 20, 40])
        assert len(killed) >= 2
        np.testing.assert_array_equal(
            model.cv_results_["test_score"], expected.cv_results_["test_score"]
        )
        received = model.best_estimator_.estimator_.set_params(log=None)
        assert_same_state(received, expected.best_estimator_.estimator_)


@pytest.mark.slow
def test_replicas_whose_workers_are_killed_end_in_the_same_bits(
    fragile, data, tmp_path
):
    average.register(Logging, average.find(SGDClassifier)[1])

    def replicated(log=None):
        return Incremental(
            Logging(log), replicas=3, max_iter=2, random_state=0, classes=[0, 1]
        )

    with dask.config.set(scheduler="synchronous"):
        expected = replicated().fit(as_dask(data[0], CHUNKS), as_dask(data[1], CHUNKS))
    log = tmp_path / "log"
    model = replicated(str(log))
    killed = fit_with_kills(model, data, log, [5, 10, 20])
    assert len(killed) >= 2
    assert len(lines(log)) > 2 * N_BLOCKS
    assert_same_state(
        model.estimator_.set_params(log=None), expected.estimator_.set_params(log=None)
    )


@pytest.mark.slow
def test_the_candidates_of_a_search_spread_over_the_workers(client, data, tmp_path):
    log = tmp_path / "log"
    X, y = as_dask(data[0], CHUNKS), as_dask(data[1], CHUNKS)
    search(Logging(str(log))).fit(X, y)
    by_block = defaultdict(set)
    for line in lines(log):
        process, block = line.split()
        by_block[block].add(process)
    spread = [len(processes) for processes in by_block.values()]
    assert np.mean(np.array(spread) > 1) > 0.5


@pytest.mark.slow
def test_a_worker_that_dies_again_and_again_is_a_clear_error(data):
    from distributed import Client, KilledWorker, LocalCluster

    X, y = as_dask(data[0], CHUNKS), as_dask(data[1], CHUNKS)
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            dashboard_address=":0",
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster),
    ):
        model = Incremental(Logging(), classes=[0, 1], shuffle_blocks=False)
        model.fit(X, y)
        before = model.estimator_
        model.set_params(estimator=Hungry())
        with pytest.raises(KilledWorker) as caught:
            model.fit(X, y)
    assert any("out of memory" in note for note in caught.value.__notes__)
    assert model.estimator_ is before


def test_a_client_that_disconnects_is_a_clear_error(data, tmp_path, client):
    from distributed.client import FutureCancelledError

    log = tmp_path / "log"
    X, y = as_dask(data[0], CHUNKS), as_dask(data[1], CHUNKS)
    model = Incremental(Logging(str(log)), classes=[0, 1], shuffle_blocks=False)

    def disconnect():
        while len(lines(log)) < 4:
            time.sleep(0.01)
        client.close()

    closer = threading.Thread(target=disconnect, daemon=True)
    closer.start()
    with pytest.raises(FutureCancelledError) as caught:
        model.fit(X, y)
    closer.join()
    assert any("connection" in note for note in caught.value.__notes__)
    assert not hasattr(model, "estimator_")


SCRIPT = textwrap.dedent(
    """
    import os, signal, sys, threading, time
    import dask
    from tests.contracts import as_dask
    from tests.fit.test_lost_workers import CHUNKS, Logging
    from incremental import Incremental
    import numpy as np

    rng = np.random.default_rng(0)
    X = as_dask(rng.normal(size=(300, 3)), CHUNKS)
    y = (X[:, 0] > 0).astype(int)

    def n_fitted(log):
        return len(open(log).readlines()) if os.path.exists(log) else 0

    def interrupt(log):
        while n_fitted(log) < 3:
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)

    def check(log):
        model = Incremental(Logging(seconds=0.0), classes=[0, 1]).fit(X, y)
        before = vars(model).copy()
        model.estimator = Logging(log, seconds=0.05)
        threads = threading.active_count()
        killer = threading.Thread(target=interrupt, args=[log])
        killer.start()
        try:
            model.fit(X, y)
        except KeyboardInterrupt:
            fitted = n_fitted(log)
            assert fitted <= 4, fitted
            print("interrupted", flush=True)
        killer.join()
        time.sleep(0.3)
        assert n_fitted(log) <= fitted + 1, "it goes on"
        for name in ("estimator_", "history_", "n_iter_"):
            assert vars(model)[name] is before[name], name
        # The pool is dask's own, and stays.
        assert threading.active_count() <= threads + 2
        model.estimator = Logging(seconds=0.0)
        model.fit(X, y)
        print("fits again", flush=True)

    # A process in the background may have begun without it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in ("synchronous", "threads"):
        with dask.config.set(scheduler=name, num_workers=2):
            check(os.path.join(sys.argv[1], name))
    """
)


def test_ctrl_c_stops_within_a_block_and_leaves_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        cwd=Path(__file__).parent.parent.parent,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["interrupted", "fits again"] * 2
