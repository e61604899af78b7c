"""One pass through pipelines, unions and column transformers."""

import copy

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, clone
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA, IncrementalPCA
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.pipeline import FeatureUnion, make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
)

from incremental import Incremental, ParallelPostFit
from incremental._estimators.composition import (
    check_learns,
    check_params,
    leading_steps,
)
from tests.contracts import as_dask, assert_same_state, plain_loop
from tests.estimators.test_merge import chunkings
from tests.graph.test_fold import Source

SGD = SGDClassifier(random_state=0)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    return X, (X[:, 0] > 0).astype(int)


@pytest.fixture(scope="module")
def frame(data):
    X, y = data
    frame = pd.DataFrame(X, columns=list("abcd"))
    frame["color"] = pd.Categorical(np.array(["red", "blue", "red"] * 20))
    frame["text"] = [f"word{n % 5} and {n}" for n in range(60)]
    return frame.assign(y=y)


def hand_written_loop(steps, X, y, chunks, order=None):
    """Fit each step by ``partial_fit`` and pass its output on, block after block."""
    steps = [clone(step) for step in steps]
    blocks = np.split(np.arange(len(X)), np.cumsum(chunks)[:-1])
    for block in range(len(blocks)) if order is None else order:
        rows = X[blocks[block]]
        for step in steps[:-1]:
            if hasattr(step, "partial_fit"):
                step.partial_fit(rows)
            rows = step.transform(rows)
        steps[-1].partial_fit(rows, y[blocks[block]], classes=[0, 1])
    return steps


@settings(max_examples=20, deadline=None)
@given(chunks=chunkings(60), seed=st.none() | st.integers(0, 3))
def test_a_pipeline_learns_as_the_hand_written_loop(data, chunks, seed):
    X, y = data
    pipe = make_pipeline(MinMaxScaler(), Normalizer(), StandardScaler(), SGD)
    model = Incremental(pipe, shuffle_blocks=seed is not None, random_state=seed)
    with dask.config.set(scheduler="threads"):
        model.fit(as_dask(X, chunks), as_dask(y, chunks))
    order = (
        None if seed is None else np.random.RandomState(seed).permutation(len(chunks))
    )
    expected = hand_written_loop([s for _, s in pipe.steps], X, y, chunks, order)
    for (_, step), wanted in zip(model.estimator_.steps, expected, strict=True):
        assert_same_state(step, wanted)


def test_it_is_the_same_on_each_scheduler(data, scheduler):
    X, y = data
    chunks = (20, 25, 0, 15)
    pipe = make_pipeline(Normalizer(), StandardScaler(), SGD)
    model = Incremental(pipe, shuffle_blocks=False)
    model.fit(as_dask(X, chunks), as_dask(y, chunks))
    expected = hand_written_loop([s for _, s in pipe.steps], X, y, (20, 25, 15))
    for (_, step), wanted in zip(model.estimator_.steps, expected, strict=True):
        assert_same_state(step, wanted)
    assert model.score(as_dask(X, chunks), as_dask(y, chunks)) > 0.5


def test_one_pass_reads_once_and_a_pass_per_stage_once_per_stage():
    y = da.arange(80, chunks=10) % 2
    stages = [StandardScaler(), MinMaxScaler(), SGD]
    source = Source(8)
    Incremental(make_pipeline(*stages), classes=[0, 1]).fit(source.array, y)
    assert set(source.reads.values()) == {1}
    source = Source(8)
    wrapped = [Incremental(stage) for stage in stages[:-1]]
    pipe = make_pipeline(*wrapped, Incremental(SGD, classes=[0, 1]))
    pipe.fit(source.array, y)
    assert set(source.reads.values()) == {3}
    assert source.most_live <= 8


def test_parameters_reach_the_step_that_they_name(data):
    X, y = data
    weight = np.arange(60.0)
    pipe = make_pipeline(StandardScaler(), SGD)
    lazy = as_dask(X, (30, 30)), as_dask(y, (30, 30))
    model = Incremental(pipe, shuffle_blocks=False)
    model.fit(*lazy, sgdclassifier__sample_weight=as_dask(weight, (20, 40)))
    scaler, expected = StandardScaler(), clone(SGD)
    for rows in (slice(0, 30), slice(30, 60)):
        scaled = scaler.partial_fit(X[rows]).transform(X[rows])
        expected.partial_fit(scaled, y[rows], [0, 1], weight[rows])
    assert_same_state(model.estimator_[-1], expected)
    stages = make_pipeline(Incremental(StandardScaler()), Incremental(SGD))
    stages.set_params(**{"incremental-2__shuffle_blocks": False})
    stages.fit(*lazy, **{"incremental-2__sample_weight": weight})
    scaled = StandardScaler().fit_transform(X)
    expected = clone(SGD)
    for rows in (slice(0, 30), slice(30, 60)):
        expected.partial_fit(scaled[rows], y[rows], [0, 1], weight[rows])
    np.testing.assert_allclose(stages[-1].coef_, expected.coef_)


@pytest.mark.parametrize("name", ["sample_weight", "nothing__sample_weight"])
def test_parameters_of_no_step_are_refused(name, data, no_compute):
    model = Incremental(make_pipeline(StandardScaler(), SGD), classes=[0, 1])
    with pytest.raises(TypeError, match="expected 'step__parameter'"):
        model.fit(as_dask(data[0], (60,)), as_dask(data[1], (60,)), **{name: 1})


def test_parameters_that_a_step_does_not_take_are_refused():
    with pytest.raises(TypeError, match="takes no parameter 'wieght'"):
        check_params(make_pipeline(StandardScaler(), SGD), {"sgdclassifier__wieght": 1})


@pytest.mark.parametrize(
    ("estimator", "path"),
    [
        (make_pipeline(PCA(2), SGD), "pca"),
        (make_pipeline(make_union(PCA(2)), SGD), "featureunion__pca"),
        (
            make_pipeline(ColumnTransformer([("c", OneHotEncoder(), [0])]), SGD),
            "columntransformer__c",
        ),
        (make_pipeline(OrdinalEncoder(), SGD), "ordinalencoder"),
    ],
)
def test_a_step_that_cannot_learn_is_refused_with_the_ways_out(
    estimator, path, data, no_compute
):
    with pytest.raises(TypeError, match=f"step {path!r}") as caught:
        Incremental(estimator).fit(as_dask(data[0], (60,)), as_dask(data[1], (60,)))
    for way in ("incremental variant", "FrozenEstimator", "pass of its own"):
        assert way in str(caught.value)


def test_frozen_and_stateless_steps_pass():
    check_learns(make_pipeline(FrozenEstimator(PCA(2)), Normalizer(), SGD))
    check_learns(make_pipeline(OneHotEncoder(categories=[[0, 1]]), SGD))


def test_frozen_steps_are_not_changed(data):
    X, y = data
    frozen = StandardScaler().fit(X * 3)
    before = frozen.mean_.copy()
    model = Incremental(make_pipeline(StandardScaler(), FrozenEstimator(frozen), SGD))
    model.fit(as_dask(X, (30, 30)), as_dask(y, (30, 30)))
    np.testing.assert_array_equal(frozen.mean_, before)
    assert frozen.n_samples_seen_ == 60


def test_leading_steps_that_need_no_fit_run_in_parallel(data):
    X, y = data
    graphs = []

    def get(dsk, keys, **kwargs):
        graphs.append(dsk)
        return dask.local.get_sync(dsk, keys, **kwargs)

    pipe = make_pipeline(FunctionTransformer(np.abs), "passthrough", Normalizer(), SGD)
    assert len(leading_steps(pipe)) == 3
    model = Incremental(pipe, classes=[0, 1], shuffle_blocks=False)
    with dask.config.set(scheduler=get):
        model.fit(as_dask(X, (30, 30)), as_dask(y, (30, 30)))
    names = [str(key[0]).rpartition("-")[0] for key in graphs[-1] if len(key) == 2]
    assert names.count("transform") == 2
    expected = clone(SGD)
    for rows in (slice(0, 30), slice(30, 60)):
        expected.partial_fit(Normalizer().transform(np.abs(X[rows])), y[rows], [0, 1])
    assert_same_state(model.estimator_[-1], expected)


def test_a_union_learns_part_by_part(data):
    X, y = data
    union = FeatureUnion(
        [
            ("scaled", make_pipeline(MinMaxScaler(), StandardScaler())),
            ("pca", IncrementalPCA(2)),
            ("same", "passthrough"),
        ]
    )
    model = Incremental(make_pipeline(union, SGD), shuffle_blocks=False)
    model.fit(as_dask(X, (30, 30)), as_dask(y, (30, 30)))
    low, scaler, pca = MinMaxScaler(), StandardScaler(), IncrementalPCA(2)
    expected = clone(SGD)
    for rows in (slice(0, 30), slice(30, 60)):
        first = low.partial_fit(X[rows]).transform(X[rows])
        parts = [
            scaler.partial_fit(first).transform(first),
            pca.partial_fit(X[rows]).transform(X[rows]),
            X[rows],
        ]
        expected.partial_fit(np.hstack(parts), y[rows], classes=[0, 1])
    assert_same_state(model.estimator_[-1], expected)


def columns():
    return ColumnTransformer(
        [
            ("color", OneHotEncoder(categories=[["blue", "red"]]), ["color"]),
            ("code", OrdinalEncoder(categories=[["blue", "red"]]), ["color"]),
            ("text", HashingVectorizer(n_features=8), "text"),
            ("numbers", make_pipeline(MinMaxScaler(), StandardScaler()), ["a", "b"]),
            ("nothing", "drop", ["c"]),
        ],
        remainder=StandardScaler(),
    )


def test_a_column_transformer_learns_column_by_column(frame):
    lazy = dd.from_pandas(frame, npartitions=3)
    features = [name for name in frame if name != "y"]
    model = Incremental(make_pipeline(columns(), SGD), shuffle_blocks=False)
    model.fit(lazy[features], lazy["y"])
    color, code = columns().transformers[0][1], columns().transformers[1][1]
    low, scaler, rest = MinMaxScaler(), StandardScaler(), StandardScaler()
    expected = clone(SGD)
    for part in range(3):
        block = lazy.get_partition(part).compute()
        first = low.partial_fit(block[["a", "b"]]).transform(block[["a", "b"]])
        parts = [
            color.fit(block[["color"]]).transform(block[["color"]]).toarray(),
            code.fit(block[["color"]]).transform(block[["color"]]),
            HashingVectorizer(n_features=8).transform(block["text"]).toarray(),
            scaler.partial_fit(first).transform(first),
            rest.partial_fit(block[["d"]]).transform(block[["d"]]),
        ]
        expected.partial_fit(np.hstack(parts), block["y"], classes=[0, 1])
    np.testing.assert_allclose(model.estimator_[-1].coef_, expected.coef_, rtol=1e-12)
    predicted = model.predict(lazy[features]).compute()
    np.testing.assert_array_equal(predicted, model.estimator_.predict(frame[features]))
    assert model.score(lazy[features], lazy["y"]) > 0.6
    again = Incremental(make_pipeline(columns(), SGD), shuffle_blocks=False)
    again.fit(lazy[features], lazy["y"]).partial_fit(lazy[features], lazy["y"])
    assert again.estimator_[0].named_transformers_["remainder"].n_samples_seen_ == 120


def test_nested_pipelines_of_wrappers_have_a_pass_for_each_stage(data):
    X, y = data
    lazy = as_dask(X, (30, 30))
    pipe = make_pipeline(
        make_pipeline(Incremental(MinMaxScaler()), ParallelPostFit(Normalizer())),
        Incremental(SGDRegressor(random_state=0), shuffle_blocks=False),
    )
    predicted = pipe.fit(lazy, as_dask(y, (30, 30))).predict(lazy)
    assert isinstance(predicted, da.Array)
    scaled = Normalizer().fit_transform(MinMaxScaler().fit_transform(X))
    expected = plain_loop(SGDRegressor(random_state=0), scaled, y, {}, (30, 30))
    assert_same_state(pipe[-1].estimator_, expected)


AROUND = {
    "columns": lambda wrap: ColumnTransformer(
        [("low", wrap(MinMaxScaler()), [0, 1]), ("same", "passthrough", [2])],
        remainder=wrap(MaxAbsScaler()),
    ),
    "union": lambda wrap: make_union(
        make_pipeline(wrap(MinMaxScaler()), wrap(MaxAbsScaler())), wrap(MaxAbsScaler())
    ),
}


def exactly(stage, data, **params):
    """Fit a stage on all data, then a classifier in a loop over two blocks."""
    X, y = data
    transformed = stage.fit(X, y).transform(X)
    params = {"classes": [0, 1], **params}
    return plain_loop(SGD, transformed, y, params, (30, 30)), transformed


@settings(max_examples=10, deadline=None)
@given(chunks=chunkings(60), part=st.sampled_from(list(AROUND)))
def test_unions_around_wrappers_are_exact_for_any_chunks(data, chunks, part):
    X, y = data
    lazy = as_dask(X, chunks)
    pipe = make_pipeline(
        AROUND[part](Incremental), Incremental(SGD, shuffle_blocks=False)
    )
    pipe.fit(lazy, as_dask(y, chunks))
    _, transformed = exactly(AROUND[part](clone), data)
    expected = plain_loop(SGD, transformed, y, {"classes": [0, 1]}, chunks)
    assert_same_state(pipe[-1].estimator_, expected)


@pytest.mark.parametrize("part", AROUND)
def test_unions_around_wrappers_predict_and_score_lazily(part, data):
    X, y = data
    lazy, target = as_dask(X, (30, 30)), as_dask(y, (30, 30))
    pipe = make_pipeline(
        AROUND[part](Incremental), Incremental(SGD, shuffle_blocks=False)
    )
    pipe.fit(lazy, target)
    expected, transformed = exactly(AROUND[part](clone), data)
    np.testing.assert_array_equal(pipe[:-1].transform(lazy), transformed)
    predicted = pipe.predict(lazy)
    assert isinstance(predicted, da.Array)
    np.testing.assert_array_equal(predicted, expected.predict(transformed))
    assert pipe.score(lazy, target) == expected.score(transformed, y)
    stage = AROUND[part](Incremental)
    received = stage.fit_transform(lazy, target)
    assert isinstance(received, da.Array)
    np.testing.assert_array_equal(received, transformed)


def test_a_union_around_wrappers_reads_once_for_each_of_them():
    source = Source(8)
    union = make_union(Incremental(MinMaxScaler()), Incremental(MaxAbsScaler()))
    pipe = make_pipeline(union, Incremental(SGD, classes=[0, 1]))
    pipe.fit(source.array, da.arange(80, chunks=10) % 2)
    assert set(source.reads.values()) == {3}


@pytest.mark.parametrize("wrap", [clone, Incremental])
def test_a_column_transformer_inside_a_wrapper_is_exact_on_frames(wrap, frame):
    lazy = dd.from_pandas(frame, npartitions=3)
    columns = ColumnTransformer(
        [
            ("low", wrap(MinMaxScaler()), ["a", "b"]),
            ("color", OneHotEncoder(categories=[["blue", "red"]]), ["color"]),
        ],
        remainder="drop",
    )
    pipe = make_pipeline(Incremental(columns), Incremental(SGD, shuffle_blocks=False))
    features = ["a", "b", "color"]
    pipe.fit(lazy[features], lazy["y"])
    columns.set_params(low=MinMaxScaler())
    transformed = columns.fit_transform(frame[features])
    params = {"classes": [0, 1]}
    expected = plain_loop(SGD, transformed, frame["y"], params, (20, 20, 20))
    assert_same_state(pipe[-1].estimator_, expected)
    np.testing.assert_array_equal(
        pipe.predict(lazy[features]), expected.predict(transformed)
    )
    expected_score = expected.score(transformed, frame["y"])
    assert pipe.score(lazy[features], lazy["y"]) == expected_score


def test_parameters_of_the_fit_reach_the_wrapper_that_they_name(data):
    X, y = data
    weights = np.linspace(0.5, 2, 60), np.linspace(1, 3, 60)
    pipe = make_pipeline(
        Incremental(StandardScaler()), Incremental(SGD, shuffle_blocks=False)
    )
    pipe.fit(
        as_dask(X, (30, 30)),
        as_dask(y, (30, 30)),
        **{
            "incremental-1__sample_weight": as_dask(weights[0], (30, 30)),
            "incremental-2__sample_weight": as_dask(weights[1], (20, 40)),
        },
    )
    scaler = StandardScaler().fit(X, sample_weight=weights[0])
    np.testing.assert_allclose(pipe[0].mean_, scaler.mean_, rtol=1e-12)
    expected = clone(SGD)
    for rows in (slice(0, 30), slice(30, 60)):
        scaled = pipe[0].estimator_.transform(X[rows])
        expected.partial_fit(
            scaled, y[rows], classes=[0, 1], sample_weight=weights[1][rows]
        )
    assert_same_state(pipe[-1].estimator_, expected)


def test_an_error_names_the_step_and_the_block(data):
    X, y = data[0].copy(), data[1]
    X[40] = np.inf
    model = Incremental(make_pipeline(StandardScaler(), SGD), shuffle_blocks=False)
    with pytest.raises(ValueError, match="infinity") as caught:
        model.fit(as_dask(X, (30, 30)), as_dask(y, (30, 30)))
    assert any("step 'standardscaler'" in note for note in caught.value.__notes__)
    assert any("block 1" in note for note in caught.value.__notes__)
    assert not hasattr(model, "estimator_")


class Functional(BaseEstimator):
    """Learns in a copy, or returns something else."""

    def __init__(self, returned="copy"):
        self.returned = returned

    def partial_fit(self, X, y=None):
        learner = copy.copy(self) if self.returned == "copy" else self
        learner.n_ = getattr(self, "n_", 0) + len(X)
        return {"copy": learner, "loss": 0.5, "none": None}[self.returned]


@pytest.mark.parametrize("returned", ["copy", "loss"])
@pytest.mark.parametrize("in_pipeline", [False, True])
def test_a_partial_fit_that_returns_another_object_is_refused(returned, in_pipeline):
    learner = Functional(returned)
    model = Incremental(make_pipeline(learner) if in_pipeline else learner)
    with pytest.raises(TypeError, match="return the estimator itself") as caught:
        model.fit(da.ones((4, 2), chunks=2))
    assert "Functional.partial_fit returned" in str(caught.value)
    assert any("in block" in note for note in caught.value.__notes__)


def test_a_partial_fit_that_returns_nothing_has_learned():
    model = Incremental(Functional("none")).fit(da.ones((4, 2), chunks=2))
    assert model.n_ == 4
