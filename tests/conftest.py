import logging
from concurrent.futures import ProcessPoolExecutor

import dask
import numpy as np
import pytest
from dask.multiprocessing import get_context
from hypothesis import settings

# Other work on the machine must not make a test fail.
settings.register_profile("incremental", deadline=None)
settings.load_profile("incremental")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def process_pool():
    with ProcessPoolExecutor(2, mp_context=get_context()) as pool:
        yield pool


@pytest.fixture(scope="session")
def cluster():
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=":0",
        silence_logs=logging.CRITICAL,
    ) as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    from distributed import Client

    with Client(cluster) as client:
        yield client


@pytest.fixture(
    params=[
        "threads",
        "synchronous",
        # A cluster takes blocks and states through processes as well.
        pytest.param("processes", marks=pytest.mark.slow),
        "distributed",
    ]
)
def scheduler(request):
    """Run the test on each scheduler."""
    if request.param == "distributed":
        request.getfixturevalue("client")
        yield request.param
        return
    pool = None
    if request.param == "processes":
        pool = request.getfixturevalue("process_pool")
    with dask.config.set(scheduler=request.param, pool=pool):
        yield request.param


@pytest.fixture
def no_compute():
    """Fail if anything is computed."""

    def get(dsk, keys, **kwargs):
        raise AssertionError("dask computes")

    with dask.config.set(scheduler=get):
        yield
