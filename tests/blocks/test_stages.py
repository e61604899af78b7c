"""What a fit knows of the transforms before it, and does in parts of a block."""

import warnings
from collections import Counter

import dask
import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, StandardScaler
from sklearn.utils import gen_batches

from incremental import Incremental, ParallelPostFit
from incremental._blocks.block import Block
from incremental._blocks.collections import as_collection
from incremental._blocks.stages import Stage
from incremental._estimators.traits import Traits, traits_of
from incremental._fit.batches import Batching
from incremental._fit.step import Before, Fitting, PartialFit, Step
from tests.contracts import (
    ESTIMATORS,
    N_ROWS,
    Recorder,
    as_dask,
    assert_same_state,
    make_data,
    name_of,
    plain_loop,
)
from tests.fit.test_checkpoints import interrupted
from tests.graph.test_fold import Source

ROW_BY_ROW = [
    estimator for estimator in ESTIMATORS if traits_of(estimator).learns_row_by_row
]
SGD = SGDClassifier(random_state=0)
TWO_THREADS = {"scheduler": "threads", "num_workers": 2}


@pytest.fixture
def data(rng):
    X = rng.normal(3, 2, size=(60, 4))
    return X, (X[:, 0] > 3).astype(int)


@pytest.fixture
def lazy(data):
    X, y = data
    return as_dask(X, (30, 30)), as_dask(y, (30, 30))


class Tasks(dask.callbacks.Callback):
    """Counts the tasks that run, by their names."""

    def __init__(self):
        self.counts = Counter()

    def _pretask(self, key, dsk, state):
        self.counts[str(key[0]).rpartition("-")[0]] += 1


def fit_scaled(data, threads=2, classifier=SGD, **options):
    """Fit a classifier after a scaler, on so many threads."""
    X, y = data
    options = {"shuffle_blocks": False, "batch_size": 10, **options}
    with dask.config.set(scheduler="threads", num_workers=threads):
        scaled = Incremental(StandardScaler(), shuffle_blocks=False).fit_transform(X)
        return Incremental(classifier, classes=[0, 1], **options).fit(scaled, y)


@st.composite
def batched_chunks(draw):
    """Draw a size of batches of 3 rows or more, and chunks of such batches."""
    size = draw(st.integers(3, 10))
    rest = st.sampled_from([0, *range(3, size)])
    batches = draw(st.lists(st.integers(0, 3), min_size=1, max_size=4).filter(any))
    chunks = [size * count + draw(rest) for count in batches]
    while sum(chunks) > N_ROWS:
        chunks.pop()
    return size, tuple(chunks or [size])


@pytest.mark.parametrize("estimator", ROW_BY_ROW, ids=name_of)
@settings(max_examples=10, deadline=None)
@given(
    drawn=batched_chunks(),
    cached=st.sampled_from([1, 40, 120]),
    order=st.sampled_from("CF"),
    dtype=st.sampled_from(["f8", "f4", "i8"]),
    whole=st.booleans(),
    scalers=st.integers(1, 2),
    kind=st.sampled_from(["threads", "synchronous"]),
)
def test_a_fit_after_scalers_is_that_of_the_loop_over_transformed_blocks(
    estimator, drawn, cached, order, dtype, whole, scalers, kind
):
    batch_size, chunks = drawn
    batch_size = None if whole else batch_size
    X, y, params = make_data(estimator)
    X = np.asarray(X[: sum(chunks)], order=order, dtype=dtype)
    y = y[: sum(chunks)]
    scaling = make_pipeline(
        ParallelPostFit(MinMaxScaler().fit(X)), ParallelPostFit(MaxAbsScaler().fit(X))
    )[:scalers]
    wrapper = Incremental(estimator, shuffle_blocks=False, batch_size=batch_size)
    config = {"scheduler": kind, "num_workers": 2}
    with pytest.MonkeyPatch.context() as patch, dask.config.set(config):
        patch.setattr("incremental._blocks.rows.CACHED_VALUES", cached)
        scaled = scaling.transform(as_dask(X, chunks))
        wrapper.fit(scaled, as_dask(y, chunks), **params)
    expected = plain_loop(
        estimator, scaling.transform(X), y, params, chunks, batch_size=batch_size
    )
    assert_same_state(wrapper.estimator_, expected)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 0),
        ({"threads": 3}, 0),
        ({"batch_size": None}, 2),
        ({"max_iter": 2, "tol": 1e-3}, 4),
        ({"max_iter": 2, "tol": 1e-3, "batch_size": None}, 4),
    ],
)
def test_the_task_that_fits_transforms_batches_that_are_not_judged(
    options, expected, lazy
):
    with Tasks() as tasks:
        fit_scaled(lazy, **options)
    assert tasks.counts["transform"] == expected


def test_other_schedulers_get_the_same_fit(lazy, scheduler):
    X, y = lazy
    scaled = Incremental(StandardScaler(), shuffle_blocks=False).fit_transform(X)
    model = Incremental(SGD, classes=[0, 1], shuffle_blocks=False, batch_size=10)
    received = model.fit(scaled, y).estimator_
    assert_same_state(received, fit_scaled(lazy).estimator_)


def test_reads_are_not_more():
    source = Source(6)
    y = da.tile(da.from_array(np.array([0, 1]), chunks=2), 30).rechunk(10)
    pipe = make_pipeline(
        Incremental(StandardScaler()), Incremental(SGD, classes=[0, 1], batch_size=4)
    )
    with dask.config.set(TWO_THREADS):
        pipe.fit(source.array, y)
    assert set(source.reads.values()) == {2}


def test_a_whole_pipeline_is_fitted_as_before(data, lazy):
    X, y = data
    scaled = Incremental(MinMaxScaler()).fit_transform(lazy[0])
    inner = make_pipeline(MaxAbsScaler(), SGD)
    model = Incremental(inner, shuffle_blocks=False, batch_size=10, max_iter=2)
    with dask.config.set(TWO_THREADS):
        model.fit(scaled, lazy[1])
    X = MinMaxScaler().fit(X).transform(X)
    low, expected = MaxAbsScaler(), clone(SGD)
    for start in range(0, 60, 10):
        rows = slice(start, start + 10)
        low.partial_fit(X[rows])
        expected.partial_fit(low.transform(X[rows]), y[rows], [0, 1])
    for block in (slice(0, 30), slice(30, 60)):
        after = low.transform(X[block])
        for start in range(0, 30, 10):
            rows = slice(start, start + 10)
            expected.partial_fit(after[rows], y[block][rows])
    assert_same_state(model.estimator_[-1], expected)


@pytest.mark.parametrize("blocks", [sp.csr_matrix, sp.csc_matrix])
def test_sparse_blocks_are_transformed_whole(blocks, data, lazy):
    X, y = data
    scaler = MaxAbsScaler().fit(X)
    scaled = ParallelPostFit(scaler).transform(lazy[0].map_blocks(blocks))
    model = Incremental(SGD, classes=[0, 1], shuffle_blocks=False, batch_size=10)
    with dask.config.set(TWO_THREADS):
        model.fit(scaled, lazy[1])
    transformed = scaler.transform(sp.csr_matrix(X))
    expected = plain_loop(SGD, transformed, y, {"classes": [0, 1]}, (10,) * 6)
    assert_same_state(model.estimator_, expected)


def test_whole_blocks_are_put_in_c_order_before(monkeypatch):
    monkeypatch.setattr("incremental._blocks.rows.CACHED_VALUES", 50)
    X = np.asfortranarray(np.arange(70.0, dtype="f4").reshape(35, 2))
    y = np.arange(35)
    before = Before([Stage(lambda part: 2 * part, "double", True)], in_parts=True)
    received, same = before(Block({"X": X, "y": y})).values()
    assert received.flags.c_contiguous
    assert received.dtype == "f4"
    np.testing.assert_array_equal(received, 2 * X)
    assert same is y
    empty = Block({"X": X[:0], "y": y[:0]})
    assert before(empty) is empty


def test_a_part_is_whole_batches_that_fit_in_the_cache(monkeypatch):
    monkeypatch.setattr("incremental._blocks.rows.CACHED_VALUES", 50)
    parts = []

    def double(part):
        parts.append(len(part))
        return 2 * part

    within = [Stage(double, "double", True)]
    step = Step(PartialFit(), Batching(10), within=within)
    X = np.arange(70.0).reshape(35, 2)
    fitting = step.finish(step(Fitting(Recorder()), Block({"X": X})))
    calls = fitting.estimator.calls_
    assert parts == [20, 10, 5]
    np.testing.assert_array_equal(np.concatenate([c[0] for c in calls]), 2 * X)
    assert [len(call[0]) for call in calls] == [10, 10, 10, 5]


@pytest.mark.parametrize("scoring", [None, "f1"])
def test_passes_are_scored_as_without_it(scoring, data, monkeypatch):
    X, y = data
    scaled = ParallelPostFit(MinMaxScaler().fit(X)).transform(as_dask(X, (12,) * 5))
    target = as_dask(y, (12,) * 5)
    model = Incremental(SGD, classes=[0, 1], batch_size=10, scoring=scoring)
    model.set_params(max_iter=3, early_stopping=True, random_state=0)
    fits, transforms = [], []
    for cached in (1_000, 1):
        monkeypatch.setattr("incremental._blocks.rows.CACHED_VALUES", cached)
        with dask.config.set(TWO_THREADS), Tasks() as tasks:
            fits.append(clone(model).fit(scaled, target))
        transforms.append(tasks.counts["transform"])
    # The blocks that are held out go through it whole, in the task that scores them.
    assert 0 == transforms[0] < transforms[1]
    received, expected = fits
    assert_same_state(received.estimator_, expected.estimator_)
    for one, other in zip(received.history_, expected.history_, strict=True):
        assert one | {"seconds": 0} == other | {"seconds": 0}


@pytest.mark.parametrize(("before", "after"), [(1, 1_000), (1_000, 1)])
@pytest.mark.parametrize("order", "CF")
def test_a_checkpoint_of_one_is_resumed_by_the_other(
    before, after, order, data, tmp_path, monkeypatch
):
    X, y = data
    scaler = ParallelPostFit(MinMaxScaler().fit(X))
    scaled = scaler.transform(as_dask(np.asarray(X, order=order), (10,) * 6))
    target = as_dask(y, (10,) * 6)

    def make(folder):
        options = {"batch_size": 5, "random_state": 0, "checkpoint_every": 2}
        return Incremental(SGD, classes=[0, 1], checkpoint=folder, **options)

    monkeypatch.setattr("incremental._blocks.rows.CACHED_VALUES", before)
    with dask.config.set(TWO_THREADS):
        interrupted(make(tmp_path), 3, scaled, target)
    monkeypatch.setattr("incremental._blocks.rows.CACHED_VALUES", after)
    with dask.config.set(TWO_THREADS), Tasks() as tasks:
        received = make(tmp_path).fit(scaled, target)
    assert tasks.counts["partial_fit"] == 4
    assert_same_state(received.estimator_, make(None).fit(scaled, target).estimator_)


def test_an_error_names_the_block(data):
    X, y = data
    scaler = ParallelPostFit(StandardScaler().fit(X))
    X[47, 1] = np.inf
    scaled = scaler.transform(as_dask(X, (20, 20, 20)))
    model = Incremental(SGD, shuffle_blocks=False, batch_size=10, classes=[0, 1])
    with (
        dask.config.set(TWO_THREADS),
        pytest.raises(ValueError, match="infinity") as caught,
    ):
        model.fit(scaled, as_dask(y, (20, 20, 20)))
    assert "in block 2 (of 0 to 2), rows 40 to 59" in caught.value.__notes__
    assert not hasattr(model, "estimator_")


def test_an_array_is_traced_to_that_before_all_scalers(data, lazy):
    low = ParallelPostFit(MinMaxScaler().fit(data[0]))
    once = low.transform(lazy[0])
    (X,), stages = low.transform(once).mapped
    assert (X.name, len(stages)) == (lazy[0].name, 2)
    assert as_collection(once[:, :2]).mapped is None


def test_what_was_assigned_to_is_not_traced(data, lazy):
    scaled = ParallelPostFit(MinMaxScaler().fit(data[0])).transform(lazy[0])
    scaled[0] = 5.0
    assert scaled.mapped is None


def test_assigning_to_the_input_afterwards_changes_nothing(data, lazy):
    X, y = lazy
    expected = fit_scaled(lazy)
    with dask.config.set(TWO_THREADS):
        scaled = Incremental(StandardScaler(), shuffle_blocks=False).fit_transform(X)
        X[0] = 5.0
        model = Incremental(SGD, classes=[0, 1], shuffle_blocks=False, batch_size=10)
        received = model.fit(scaled, y)
    assert_same_state(received.estimator_, expected.estimator_)


def test_two_scalers_and_large_batches_are_left_to_the_parallel_tasks(
    data, lazy, monkeypatch
):
    X, y = lazy
    low = ParallelPostFit(MinMaxScaler().fit(data[0]))
    model = Incremental(SGD, classes=[0, 1], batch_size=10)
    with dask.config.set(TWO_THREADS), Tasks() as tasks:
        model.fit(low.transform(low.transform(X)), y)
    assert tasks.counts["transform"] > 0
    monkeypatch.setattr("incremental._blocks.rows.CACHED_VALUES", 39)
    with dask.config.set(TWO_THREADS), Tasks() as tasks:
        model.fit(low.transform(X), y)
    assert tasks.counts["transform"] > 0


@pytest.mark.parametrize("batch_size", [None, 10])
@pytest.mark.parametrize(
    ("scaler", "params"),
    [
        (StandardScaler(), {"copy": False}),
        (StandardScaler(copy=np.False_), {}),
        (MinMaxScaler(copy=False), {}),
    ],
)
def test_persisted_blocks_are_not_written_to(scaler, params, batch_size, data):
    X, y = data
    lazy = (as_dask(X, (30, 30)) + 0).persist()
    scaled = ParallelPostFit(scaler.fit(X.copy())).transform(lazy, **params)
    model = Incremental(SGD, classes=[0, 1], shuffle_blocks=False)
    model.set_params(batch_size=batch_size, max_iter=2)
    with dask.config.set(TWO_THREADS):
        model.fit(scaled, as_dask(y, (30, 30)))
    np.testing.assert_array_equal(lazy, X)
    expected = clone(SGD)
    for start in [*range(0, 60, batch_size or 30)] * 2:
        rows = slice(start, start + (batch_size or 30))
        expected.partial_fit(scaler.transform(X[rows].copy()), y[rows], [0, 1])
    assert_same_state(model.estimator_, expected)


@pytest.mark.parametrize("batch_size", [None, 10])
def test_scalers_that_yield_pandas_work(batch_size, data, lazy):
    X, y = data
    scaler = StandardScaler().set_output(transform="pandas").fit(X)
    wrapper = ParallelPostFit(scaler, transform_meta=np.empty((0, 4)))
    model = Incremental(SGD, classes=[0, 1], shuffle_blocks=False)
    model.set_params(batch_size=batch_size)
    with dask.config.set(TWO_THREADS), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        model.fit(wrapper.transform(lazy[0]), lazy[1])
    transformed = scaler.transform(X).to_numpy()
    params = {"classes": [0, 1]}
    expected = plain_loop(SGD, transformed, y, params, (30, 30), batch_size=batch_size)
    assert model.coef_.tobytes() == expected.coef_.tobytes()


def test_a_scaler_with_a_method_of_its_own_is_not_traced(data, lazy):
    scaler = StandardScaler().fit(data[0])
    scaler.transform = lambda X: X - X.mean(axis=0)
    scaled = ParallelPostFit(scaler).transform(lazy[0])
    assert not any(stage.row_local for stage in scaled.mapped.stages)


@pytest.mark.parametrize("batch_size", [None, 5])
def test_statistics_of_the_data_are_read_once(batch_size):
    source = Source(6)
    X = source.array - source.array.mean(axis=0)
    y = da.tile(da.from_array(np.array([0, 1]), chunks=2), 30).rechunk(10)
    scaler = ParallelPostFit(MaxAbsScaler().fit(np.ones((2, 2))))
    model = Incremental(SGD, classes=[0, 1], batch_size=batch_size, max_iter=2)
    model.set_params(early_stopping=True, random_state=0)
    with dask.config.set(TWO_THREADS):
        model.fit(scaler.transform(X), y)
    # For the statistics, the fit or the score of the first pass, and of the second.
    assert set(source.reads.values()) == {3}


def test_an_array_whose_rows_were_counted_forgets_its_source(data, lazy):
    X = lazy[0][lazy[0][:, 0] > -np.inf]
    scaled = ParallelPostFit(MinMaxScaler().fit(data[0])).transform(X)
    scaled.compute_chunk_sizes()
    assert scaled.mapped is None
    model = Incremental(SGD, classes=[0, 1], shuffle_blocks=False)
    with dask.config.set(TWO_THREADS):
        model.fit(scaled, data[1])
    transformed = MinMaxScaler().fit_transform(data[0])
    expected = plain_loop(SGD, transformed, data[1], {"classes": [0, 1]}, (30, 30))
    assert_same_state(model.estimator_, expected)


@pytest.mark.parametrize("batch_size", [None, 7])
def test_weights_and_empty_blocks_are_as_in_the_loop(batch_size, data, rng):
    X, y = data
    chunks, weight = (20, 0, 25, 15), rng.random(60)
    scaler = MaxAbsScaler().fit(X)
    model = Incremental(SGD, classes=[0, 1], shuffle_blocks=False)
    model.set_params(batch_size=batch_size)
    with dask.config.set(TWO_THREADS):
        scaled = ParallelPostFit(scaler).transform(as_dask(X, chunks))
        model.fit(scaled, as_dask(y, chunks), sample_weight=weight)
    expected = clone(SGD)
    blocks = [slice(0, 20), slice(20, 45), slice(45, 60)]
    if batch_size is not None:
        blocks = list(gen_batches(60, batch_size))
    for rows in blocks:
        expected.partial_fit(
            scaler.transform(X[rows]),
            y[rows],
            classes=[0, 1],
            sample_weight=weight[rows],
        )
    assert_same_state(model.estimator_, expected)


class TwoColumns(BaseEstimator):
    """Takes two of the columns of X."""

    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        return X[:, :2]


def test_a_scaler_learns_from_what_a_row_local_stage_yields(data, lazy):
    traits_of.register(TwoColumns, lambda columns: Traits(row_local=True))
    chosen = ParallelPostFit(TwoColumns().fit(data[0])).transform(lazy[0])
    scaler = Incremental(StandardScaler()).partial_fit(chosen).partial_fit(chosen)
    assert scaler.n_samples_seen_ == 120
    np.testing.assert_allclose(scaler.mean_, data[0][:, :2].mean(axis=0))
