"""scikit-learn's configuration holds wherever the work of a call is done."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from sklearn import config_context, get_config, set_config
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, StandardScaler

from incremental import Incremental, ParallelPostFit
from tests.contracts import as_dask, assert_same_state, plain_loop

SGD = SGDClassifier(random_state=0)
CHUNKS = (20, 20, 20)


@pytest.fixture
def data(rng):
    X = rng.normal(3, 2, size=(60, 4))
    return X, (X[:, 0] > 3).astype(int)


@pytest.fixture
def lazy(data):
    return [as_dask(values, CHUNKS) for values in data]


class Demanding(ClassifierMixin, BaseEstimator):
    """Works only where scikit-learn is configured to assume finite values."""

    def fit(self, X, y=None):
        return self.partial_fit(X, y)

    def partial_fit(self, X, y=None, classes=None):
        demand()
        self.classes_ = np.array([0, 1])
        return self

    def predict(self, X):
        demand()
        return np.zeros(len(X), dtype=int)

    def decision_function(self, X):
        demand()
        return np.zeros(len(X))

    def transform(self, X):
        demand()
        return np.asarray(X)

    def score(self, X, y=None, sample_weight=None):
        demand()
        return super().score(X, y)


class Scored(Demanding):
    """Scored block by block."""

    score = ClassifierMixin.score


def demand():
    if not get_config()["assume_finite"]:
        raise RuntimeError("The configuration is lost.")


def found_here(X):
    return np.full(len(X), get_config()["working_memory"])


class Telling(BaseEstimator):
    """Predicts the configuration that it finds."""

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def predict(self, X):
        return found_here(X)

    def kneighbors(self, X):
        return found_here(X), found_here(X) + 0.5

    def partial_fit(self, X, y=None):
        self.found_ = [*getattr(self, "found_", []), get_config()["working_memory"]]
        return self


@pytest.mark.parametrize(
    "fit",
    [
        lambda X, y: Incremental(Demanding()).fit(X, y),
        lambda X, y: Incremental(Demanding()).partial_fit(X, y),
        lambda X, y: Incremental(Demanding(), max_iter=2, tol=0.0).fit(X, y),
        lambda X, y: Incremental(Scored(), early_stopping=True).fit(X, y),
        lambda X, y: Incremental(Scored(), early_stopping=True, scoring="accuracy").fit(
            X, y
        ),
        lambda X, y: Incremental(Scored(), validation_data=(X, y)).fit(X, y),
        lambda X, y: Incremental(make_pipeline(Demanding(), Demanding())).fit(X, y),
        lambda X, y: Incremental(Scored()).fit(X, y).score(X, y),
        lambda X, y: Incremental(Scored(), scoring="roc_auc").fit(X, y).score(X, y),
    ],
    ids=[
        "fit",
        "partial_fit",
        "judged",
        "held out",
        "held out, scorer",
        "validation data",
        "pipeline",
        "score",
        "scorer",
    ],
)
def test_all_that_a_fit_and_a_score_do_finds_the_configuration(fit, lazy, scheduler):
    with config_context(assume_finite=True):
        fit(*lazy)


def test_a_checkpointed_fit_finds_the_configuration(lazy, scheduler, tmp_path):
    with config_context(assume_finite=True):
        Incremental(Demanding(), checkpoint=tmp_path / "fit", max_iter=2).fit(*lazy)


def test_a_pipeline_learns_from_frames_as_in_the_plain_loop(data, lazy, scheduler):
    X, y = data
    shift = FrozenEstimator(MinMaxScaler().fit(X))
    pipeline = make_pipeline(shift, StandardScaler(), SGD)
    with config_context(transform_output="pandas"):
        model = Incremental(clone(pipeline), shuffle_blocks=False, max_iter=2)
        model.fit(*lazy)
        expected = clone(pipeline)
        shift, scaler, classifier = (step for _, step in expected.steps)
        for learning in ([scaler, classifier], [classifier]):
            for at in range(0, 60, 20):
                part = shift.transform(X[at : at + 20])
                if scaler in learning:
                    scaler.partial_fit(part, y[at : at + 20])
                part = scaler.transform(part)
                classifier.partial_fit(part, y[at : at + 20], classes=[0, 1])
    assert list(classifier.feature_names_in_) == ["x0", "x1", "x2", "x3"]
    for (_, received), (_, wanted) in zip(
        model.estimator_.steps, expected.steps, strict=True
    ):
        assert_same_state(received, wanted)


def test_columns_are_put_beside_each_other_as_frames(data, scheduler):
    frame = pd.DataFrame(data[0], columns=list("abcd"))
    columns = ColumnTransformer(
        [("one", StandardScaler(), ["a"]), ("rest", MinMaxScaler(), ["b", "d"])]
    )
    lazy = dd.from_pandas(frame, npartitions=3)
    with config_context(transform_output="pandas"):
        model = Incremental(columns, shuffle_blocks=False).fit(lazy)
        transformed = model.transform(lazy)
        expected = clone(columns).fit(frame).transform(frame)
    pd.testing.assert_frame_equal(transformed.compute(), expected)


@pytest.mark.parametrize("scaler", [MaxAbsScaler(), MinMaxScaler()], ids=str)
def test_states_are_merged_as_the_loop_has_them_with_infinite_values(
    scaler, data, scheduler
):
    X, _ = data
    X[3, 1] = X[55, 2] = np.inf
    with config_context(assume_finite=True):
        model = Incremental(scaler, shuffle_blocks=False).fit(as_dask(X, CHUNKS))
        expected = plain_loop(scaler, X, None, {}, CHUNKS)
    assert_same_state(model.estimator_, expected)


def test_parameters_are_not_validated_where_the_caller_skips_that(
    data, lazy, scheduler
):
    estimator = SGDClassifier(random_state=0, verbose=-1)
    with config_context(skip_parameter_validation=True):
        model = Incremental(estimator, shuffle_blocks=False).fit(*lazy)
        expected = plain_loop(estimator, *data, {"classes": [0, 1]}, CHUNKS)
    assert_same_state(model.estimator_, expected)


def test_weights_reach_the_parts_of_one_vs_rest(data, lazy, scheduler):
    X, _ = data
    y = np.digitize(X[:, 0], [2, 4])
    weight = np.arange(1.0, 61.0)
    with config_context(enable_metadata_routing=True):
        inner = SGDClassifier(random_state=0).set_partial_fit_request(
            sample_weight=True
        )
        estimator = OneVsRestClassifier(inner)
        model = Incremental(estimator, shuffle_blocks=False)
        model.fit(lazy[0], as_dask(y, CHUNKS), sample_weight=as_dask(weight, CHUNKS))
        expected = clone(estimator)
        for at in range(0, 60, 20):
            rows = slice(at, at + 20)
            expected.partial_fit(
                X[rows], y[rows], classes=[0, 1, 2], sample_weight=weight[rows]
            )
        assert_same_state(model.estimator_, expected)
        predicted = model.predict(lazy[0]).compute()
    np.testing.assert_array_equal(predicted, expected.predict(X))


def test_a_lazy_frame_is_what_the_call_gives(data, scheduler):
    frame = pd.DataFrame(data[0], columns=list("abcd"))
    lazy = dd.from_pandas(frame, npartitions=3)
    wrapper = ParallelPostFit(StandardScaler()).fit(frame)
    with config_context(transform_output="pandas"):
        as_frame = wrapper.transform(lazy)
        expected = wrapper.estimator_.transform(frame)
    as_array = wrapper.transform(lazy)
    pd.testing.assert_frame_equal(as_frame.compute(), expected)
    with config_context(transform_output="pandas"):
        received = as_array.compute()
    np.testing.assert_array_equal(received, expected.to_numpy())


@pytest.mark.parametrize("kind", ["array", "frame", "unknown lengths"])
def test_the_configuration_is_that_of_the_call(kind, lazy, scheduler):
    X = lazy[0] if kind == "array" else dd.from_dask_array(lazy[0])
    if kind == "unknown lengths":
        X = X.to_dask_array()
    wrapper = ParallelPostFit(Telling().fit(None))
    with config_context(working_memory=7):
        first = wrapper.predict(X)
        several = wrapper.kneighbors(X)
    second = wrapper.predict(X)
    with config_context(working_memory=8):
        received = dask.compute(first, second, several)
    default = get_config()["working_memory"]
    np.testing.assert_array_equal(received[0], np.full(60, 7))
    np.testing.assert_array_equal(received[1], np.full(60, default))
    np.testing.assert_array_equal(received[2][1], np.full(60, 7.5))


def test_columns_of_a_frame_that_are_taken_later_keep_the_configuration(lazy):
    frame = dd.from_dask_array(lazy[0], columns=list("abcd"))
    wrapper = ParallelPostFit(Telling().fit(None))
    with config_context(working_memory=7):
        predicted = wrapper.predict(frame)
    with config_context(working_memory=8):
        beside = predicted.to_dask_dataframe(columns=["p"], index=frame.index)
        received = beside["p"].compute()
    assert set(received) == {7}


@pytest.mark.parametrize("batch_size", [None, 5])
def test_what_a_fit_maps_itself_keeps_the_configuration_of_the_call(
    batch_size, data, lazy, scheduler, monkeypatch
):
    # So that a thread maps the next part of a block while one is learned from.
    monkeypatch.setattr("incremental._blocks.rows.CACHED_VALUES", 20)
    X, y = data
    wrapper = ParallelPostFit(MinMaxScaler(clip=True)).fit(X)
    X[3, 1] = X[55, 2] = np.inf
    infinite = as_dask(X, CHUNKS)
    options = {"shuffle_blocks": False, "batch_size": batch_size}
    with config_context(assume_finite=True):
        scaled = wrapper.transform(infinite)
        plain = wrapper.estimator_.transform(X)
    model = Incremental(SGD, **options).fit(scaled, lazy[1])
    params = {"classes": [0, 1]}
    expected = plain_loop(SGD, plain, y, params, CHUNKS, batch_size=batch_size)
    assert_same_state(model.estimator_, expected)
    refused = wrapper.transform(infinite)
    with (
        config_context(assume_finite=True),
        pytest.raises(ValueError, match="infinity"),
    ):
        Incremental(SGD, **options).fit(refused, lazy[1])


def test_names_tell_configurations_apart(lazy):
    X, _ = lazy
    frame = dd.from_dask_array(X)
    wrapper = ParallelPostFit(Telling().fit(None))

    def names():
        frames = wrapper.predict(frame)
        return [wrapper.predict(X).name, frames.name, wrapper.kneighbors(X)[0].name]

    before = names()
    with config_context(working_memory=7):
        seven = names()
    with config_context(working_memory=8):
        eight = names()
    assert len({*before, *seven, *eight}) == 9
    assert names() == before
    with config_context(working_memory=7):
        assert names() == seven


def test_the_configuration_that_a_new_thread_has_is_in_no_name(lazy):
    wrapper = ParallelPostFit(Telling().fit(None))
    with ThreadPoolExecutor(1) as thread:
        elsewhere = thread.submit(wrapper.predict, lazy[0]).result()
    assert wrapper.predict(lazy[0]).name == elsewhere.name


def test_workers_keep_a_configuration_of_their_own(data, lazy):
    own = partial(set_config, working_memory=5)
    default = get_config()["working_memory"]
    with ThreadPoolExecutor(1, initializer=own) as pool:
        with dask.config.set(scheduler="threads", pool=pool):
            model = Incremental(Telling()).fit(lazy[0])
            predicted = model.predict(lazy[0]).compute()
            with config_context(working_memory=7):
                changed = model.predict(lazy[0]).compute()
        assert pool.submit(get_config).result()["working_memory"] == 5
    assert model.found_ == [default] * 3
    np.testing.assert_array_equal(predicted, np.full(60, default))
    np.testing.assert_array_equal(changed, np.full(60, 7))


class Failing(Telling):
    """Fails on blocks, not on a made-up row."""

    def predict(self, X):
        if len(X) > 1:
            raise ValueError("No.")
        return super().predict(X)


def test_a_worker_has_its_own_configuration_again_after_an_error(lazy):
    with ThreadPoolExecutor(1) as pool:
        with dask.config.set(scheduler="threads", pool=pool):
            with config_context(working_memory=7):
                predicted = ParallelPostFit(Failing().fit(None)).predict(lazy[0])
            with pytest.raises(ValueError, match=r"No\."):
                predicted.compute()
        assert pool.submit(get_config).result() == get_config()


def test_the_configuration_reaches_scores_of_a_regressor(data, scheduler):
    X, _ = data
    y = X[:, 1] * 2
    wrapper = ParallelPostFit(
        make_pipeline(MinMaxScaler(clip=True), SGDRegressor(random_state=0))
    ).fit(X, y)
    X[3, 2] = np.inf
    lazy = as_dask(X, CHUNKS), as_dask(y, CHUNKS)
    with config_context(assume_finite=True):
        expected = wrapper.estimator_.score(X, y)
        assert wrapper.score(*lazy) == pytest.approx(expected, rel=1e-12)


@pytest.mark.slow
def test_arrays_of_other_kinds_are_dispatched_as_in_the_plain_call():
    reason = "scikit-learn before 1.7 needs a package for it that breaks its own tests"
    pytest.importorskip("sklearn.externals.array_api_compat", reason=reason)
    # SciPy reads the variable when it is imported.
    code = """
import dask.array as da, numpy as np
from sklearn import config_context
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.preprocessing import StandardScaler
from incremental import Incremental, ParallelPostFit

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 4))
y = (X[:, 0] > 0).astype(int)
lazy = da.from_array(X, chunks=(20, 4))
with config_context(array_api_dispatch=True):
    plain = LinearDiscriminantAnalysis().fit(X, y)
    predicted = ParallelPostFit(plain).predict(lazy)
    scaler = Incremental(StandardScaler()).fit(lazy)
    scaled = scaler.transform(lazy)
    wanted = scaler.estimator_.transform(X)
    score = ParallelPostFit(plain).score(lazy, da.from_array(y, chunks=20))
    assert score == plain.score(X, y)
np.testing.assert_array_equal(predicted.compute(), plain.predict(X))
np.testing.assert_array_equal(scaled.compute(), wanted)
"""
    environment = {**os.environ, "SCIPY_ARRAY_API": "1"}
    run = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(run, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
