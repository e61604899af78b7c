"""Replicas: copies that learn from other blocks each and are averaged after a pass."""

import dask
import dask.array as da
import numpy as np
import pytest
from dask.diagnostics import Profiler
from dask.utils import key_split
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Perceptron, SGDClassifier, SGDOneClassSVM, SGDRegressor
from sklearn.naive_bayes import MultinomialNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from incremental import Incremental, IncrementalSearchCV, average, fit_many
from tests.contracts import PASSIVE, as_dask, assert_same_state, name_of
from tests.estimators.test_merge import chunkings
from tests.fit.test_checkpoints import interrupted
from tests.fit.test_passes import orders_of
from tests.graph.test_fold import Source

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*PassiveAggressive.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Class Passive.*:FutureWarning"),
]

SGD = SGDClassifier(random_state=0)
CHUNKS = (20, 10, 15, 0, 15)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    return X, (X[:, 0] + rng.normal(size=60) > 0.5).astype(int)


def mixed_loop(
    estimator, X, y, chunks, orders, n_replicas, params, batch_size=None, weights=None
):
    """Fit copies by loops over their own blocks, and average them after each pass."""
    blocks = np.split(np.arange(len(X)), np.cumsum(chunks)[:-1])
    mixed = clone(estimator)
    for order in orders:
        replicas = []
        for number in range(n_replicas):
            parts = [blocks[at] for at in order[number::n_replicas]]
            rows = np.concatenate(parts)
            if batch_size is not None:
                parts = np.split(rows, range(batch_size, len(rows), batch_size))
            own = average(mixed) if hasattr(mixed, "coef_") else clone(mixed)
            for part in parts:
                if len(part):
                    weight = {} if weights is None else {"sample_weight": weights[part]}
                    own.partial_fit(X[part], y[part], **params, **weight)
            if len(rows):
                replicas.append((own, len(rows)))
        mixed = average(
            *(own for own, _ in replicas), weights=[rows for _, rows in replicas]
        )
    return mixed


@settings(max_examples=25, deadline=None)
@given(
    chunks=chunkings(60),
    n_replicas=st.integers(2, 4),
    batch_size=st.sampled_from([None, 7]),
    seed=st.integers(0, 5),
    prefetch=st.sampled_from([0, 3, "auto"]),
    averaged=st.sampled_from([False, True, 20]),
)
def test_each_replica_learns_from_its_own_blocks_and_all_are_averaged(
    data, chunks, n_replicas, batch_size, seed, prefetch, averaged
):
    X, y = data
    n_replicas = min(n_replicas, len(chunks))
    estimator = SGDClassifier(random_state=0, average=averaged)
    model = Incremental(
        estimator,
        classes=[0, 1],
        max_iter=3,
        random_state=seed,
        batch_size=batch_size,
        prefetch=prefetch,
        replicas=n_replicas,
    )
    model.fit(as_dask(X, chunks), as_dask(y, chunks))
    orders = orders_of(seed, len(chunks), 3)
    params = {"classes": [0, 1]}
    expected = mixed_loop(
        estimator, X, y, chunks, orders, n_replicas, params, batch_size
    )
    assert_same_state(model.estimator_, expected)
    assert [record["rows"] for record in model.history_] == [60] * 3
    assert [record["blocks"] for record in model.history_] == [len(chunks)] * 3


LINEAR = [
    SGDRegressor(random_state=0),
    SGDOneClassSVM(random_state=0),
    Perceptron(random_state=0),
    SGDClassifier(random_state=np.random.RandomState(0)),
    *PASSIVE,
]


@pytest.mark.parametrize("estimator", LINEAR, ids=name_of)
def test_every_linear_model_has_replicas(estimator, data):
    X, y = data
    known = hasattr(estimator, "classes") or "Class" in name_of(estimator)
    known |= isinstance(estimator, Perceptron)
    known &= not isinstance(estimator, SGDOneClassSVM)
    params = {"classes": [0, 1]} if known else {}
    model = Incremental(estimator, shuffle_blocks=False, replicas=3)
    model.fit(as_dask(X, CHUNKS), as_dask(y, CHUNKS), **params)
    expected = mixed_loop(estimator, X, y, CHUNKS, [range(5)], 3, params)
    assert_same_state(model.estimator_, expected)


def test_replicas_are_the_same_on_each_scheduler(scheduler, data):
    X, y = data
    model = Incremental(SGD, random_state=1, max_iter=2, replicas=2)
    model.fit(as_dask(X, CHUNKS), as_dask(y, CHUNKS))
    orders = orders_of(1, 5, 2)
    expected = mixed_loop(SGD, X, y, CHUNKS, orders, 2, {"classes": [0, 1]})
    assert_same_state(model.estimator_, expected)


def test_rows_have_their_own_weights(data):
    X, y = data
    weights = np.linspace(0.1, 2, 60)
    model = Incremental(SGD, shuffle_blocks=False, replicas=2)
    X_lazy, y_lazy, lazy = (as_dask(value, CHUNKS) for value in (X, y, weights))
    model.fit(X_lazy, y_lazy, sample_weight=lazy)
    params = {"classes": [0, 1]}
    expected = mixed_loop(SGD, X, y, CHUNKS, [range(5)], 2, params, weights=weights)
    assert_same_state(model.estimator_, expected)


def test_one_replica_is_the_plain_fit(data):
    X, y = data
    lazy = as_dask(X, CHUNKS), as_dask(y, CHUNKS)
    one = Incremental(SGD, random_state=0, replicas=1).fit(*lazy)
    plain = Incremental(SGD, random_state=0).fit(*lazy)
    assert_same_state(one.estimator_, plain.estimator_)


def test_partial_fit_goes_on_from_the_average(data):
    X, y = data
    model = Incremental(SGD, shuffle_blocks=False, replicas=2)
    for _ in range(2):
        model.partial_fit(as_dask(X, CHUNKS), as_dask(y, CHUNKS))
    params = {"classes": [0, 1]}
    expected = mixed_loop(SGD, X, y, CHUNKS, [range(5)] * 2, 2, params)
    assert_same_state(model.estimator_, expected)


def test_a_replica_whose_blocks_have_no_rows_does_not_count(data):
    X, y = data
    chunks = (30, 0, 30, 0)
    model = Incremental(SGD, shuffle_blocks=False, replicas=2)
    model.fit(as_dask(X, chunks), as_dask(y, chunks))
    params = {"classes": [0, 1]}
    expected = mixed_loop(SGD, X, y, (30, 30), [range(2)], 1, params)
    np.testing.assert_array_equal(model.coef_, expected.coef_)


def test_blocks_that_are_all_empty_are_refused():
    X, y = da.ones((4, 2), chunks=2), da.ones(4, chunks=2)
    X, y = X[X[:, 0] > 1], y[y > 1]
    model = Incremental(SGD, classes=[0, 1], replicas=2)
    with pytest.raises(ValueError, match="X has no rows in any block"):
        model.fit(X, y)


def test_a_pipeline_is_averaged_after_steps_that_do_not_learn(data):
    X, y = data
    scaler = FrozenEstimator(StandardScaler().fit(X))
    pipe = make_pipeline(FunctionTransformer(np.negative), scaler, SGD)
    model = Incremental(pipe, shuffle_blocks=False, replicas=2, max_iter=2)
    model.fit(as_dask(X, CHUNKS), as_dask(y, CHUNKS))
    params = {"classes": [0, 1]}
    through = scaler.transform(-X)
    expected = mixed_loop(SGD, through, y, CHUNKS, [range(5)] * 2, 2, params)
    assert_same_state(model.estimator_[-1], expected)
    assert model.score(X, y) == expected.score(through, y)


def test_replicas_take_what_steps_before_the_wrapper_yield(data):
    X, y = data
    scaler = Incremental(StandardScaler(), shuffle_blocks=False)
    model = Incremental(SGD, shuffle_blocks=False, replicas=2)
    pipe = make_pipeline(scaler, model).fit(as_dask(X, CHUNKS), as_dask(y, CHUNKS))
    params = {"classes": [0, 1]}
    through = pipe[0].estimator_.transform(X)
    expected = mixed_loop(SGD, through, y, CHUNKS, [range(5)], 2, params)
    assert_same_state(pipe[-1].estimator_, expected)


@pytest.mark.parametrize(
    "options",
    [
        {"early_stopping": True},
        {"tol": 1e-3, "n_iter_no_change": 2},
        {"progressive_validation": True},
        {"shuffle_rows": True, "batch_size": 6},
    ],
    ids=str,
)
@pytest.mark.parametrize("stop_after", [1, 4, 6])
def test_a_killed_fit_goes_on_with_all_replicas(options, stop_after, data, tmp_path):
    X, y = data
    lazy = as_dask(X, (15,) * 4), as_dask(y, (15,) * 4)

    def make(folder=None):
        return Incremental(
            SGD,
            random_state=0,
            max_iter=3,
            replicas=2,
            checkpoint=folder,
            checkpoint_every=1,
            **options,
        )

    interrupted(make(tmp_path), stop_after, *lazy)
    resumed, whole = make(tmp_path).fit(*lazy), make().fit(*lazy)
    assert_same_state(resumed.estimator_, whole.estimator_)
    for one, other in zip(resumed.history_, whole.history_, strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}


def test_a_fit_with_checkpoints_is_the_same_on_each_scheduler(
    scheduler, data, tmp_path
):
    X, y = data
    model = Incremental(
        SGD,
        random_state=1,
        max_iter=2,
        replicas=2,
        checkpoint=str(tmp_path),
        checkpoint_every=2,
    )
    model.fit(as_dask(X, CHUNKS), as_dask(y, CHUNKS))
    orders = orders_of(1, 5, 2)
    expected = mixed_loop(SGD, X, y, CHUNKS, orders, 2, {"classes": [0, 1]})
    assert_same_state(model.estimator_, expected)


def test_a_block_that_has_changed_is_noticed_by_the_replica_that_takes_it(tmp_path):
    state = {"pass": 0}

    def read(block):
        state["pass"] += 1
        return block + (state["pass"] > 6)

    X = da.ones((60, 2), chunks=(10, 2)).map_blocks(read, meta=np.empty((0, 0)))
    y = da.arange(60, chunks=10) % 2
    model = Incremental(
        SGD, classes=[0, 1], replicas=3, max_iter=2, checkpoint=tmp_path
    )
    with pytest.raises(ValueError, match="has other rows, columns or types"):
        model.fit(X, y)


def test_scores_before_learning_are_those_of_the_replicas(data):
    X, y = data
    model = Incremental(
        SGD, shuffle_blocks=False, replicas=2, progressive_validation=True
    )
    model.fit(as_dask(X, (15,) * 4), as_dask(y, (15,) * 4))
    right = 0.0
    for first, second in ((0, 30), (15, 45)):
        own = clone(SGD)
        own.partial_fit(X[first : first + 15], y[first : first + 15], [0, 1])
        right += own.score(X[second : second + 15], y[second : second + 15])
    assert model.history_[0]["progressive_score"] == pytest.approx(right / 2, rel=1e-12)


def test_each_block_is_read_once_and_blocks_are_bounded():
    source = Source(12, seconds=0.002)
    model = Incremental(SGD, classes=[0, 1], replicas=3, prefetch=3)
    with dask.config.set(scheduler="threads", num_workers=4):
        model.fit(source.array, da.arange(120, chunks=10) % 2)
    assert set(source.reads.values()) == {1}
    assert source.most_live <= 4


def test_replicas_wait_only_for_their_own_blocks(data):
    X, y = data
    model = Incremental(SGD, replicas=2, shuffle_blocks=False)
    lazy = as_dask(X, (15,) * 4), as_dask(y, (15,) * 4)
    with dask.config.set(scheduler="threads"), Profiler() as profiler:
        model.fit(*lazy, classes=[0, 1])
    names = [key_split(record.key) for record in profiler.results]
    assert names.count("partial_fit") == 4


def test_a_type_of_ones_own_has_replicas_once_it_is_registered(data):
    X, _ = data

    class Level(BaseEstimator):
        def partial_fit(self, X, y=None):
            self.level_ = getattr(self, "level_", 0.0) + float(X.sum())
            return self

    model = Incremental(Level(), replicas=2, shuffle_blocks=False)
    with pytest.raises(TypeError, match="parameters can be averaged"):
        model.fit(as_dask(X, (20, 40)))

    @average.register
    def average_levels(*levels: Level, weights) -> Level:
        averaged = Level()
        averaged.level_ = float(np.dot(weights, [one.level_ for one in levels]))
        return averaged

    model.fit(as_dask(X, (20, 40)))
    expected = X[:20].sum() / 3 + X[20:].sum() * 2 / 3
    assert model.level_ == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("estimator", "replicas", "error", "message"),
    [
        (SGD, 0, ValueError, "replicas must be an integer of 1 or more, got 0"),
        (SGD, True, ValueError, "replicas must be an integer of 1 or more, got True"),
        (SGD, 2.0, ValueError, "replicas must be an integer of 1 or more, got 2.0"),
        (SGD, 4, ValueError, "replicas=4 needs at least as many blocks .* got 3"),
        (MLPClassifier(), 2, TypeError, "parameters can be averaged.* MLPClassifier"),
        (MultinomialNB(), 2, TypeError, "states merge exactly.* Leave replicas=1"),
        (
            make_pipeline(StandardScaler(), SGD),
            2,
            TypeError,
            "do not learn, got StandardScaler",
        ),
    ],
    ids=str,
)
def test_what_replicas_are_not_for_is_refused_before_anything_is_read(
    estimator, replicas, error, message
):
    source = Source(3)
    model = Incremental(estimator, classes=[0, 1], replicas=replicas)
    y = da.arange(30, chunks=10) % 2
    for fit in (model.fit, model.partial_fit):
        with pytest.raises(error, match=message):
            fit(source.array, y)
    assert not source.reads


def test_blocks_that_are_held_out_do_not_count_for_replicas():
    source = Source(3)
    model = Incremental(SGD, classes=[0, 1], replicas=3, early_stopping=True)
    with pytest.raises(ValueError, match="replicas=3 needs at least as many .* got 2"):
        model.fit(source.array, da.arange(30, chunks=10) % 2)
    assert not source.reads


def test_data_in_memory_are_one_block(data):
    with pytest.raises(ValueError, match="got 1. Pass replicas=1 or fewer"):
        Incremental(SGD, replicas=2).fit(*data)


def test_fits_beside_others_refuse_replicas(data):
    X, y = data
    lazy = as_dask(X, CHUNKS), as_dask(y, CHUNKS)
    model = Incremental(SGD, replicas=2)
    with pytest.raises(ValueError, match="has replicas=2"):
        fit_many([model], *lazy)
    with pytest.raises(ValueError, match="has replicas=2"):
        IncrementalSearchCV(model, {"estimator__alpha": [1, 2]}).fit(*lazy)
