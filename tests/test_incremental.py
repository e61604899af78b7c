"""The wrapper: parameters, passes, failures."""

import copy
import logging
import os
import pickle
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn import config_context
from sklearn.base import clone
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import IncrementalPCA
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.metrics import get_scorer
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC

from incremental import Incremental, ParallelPostFit
from tests.contracts import (
    Recorder,
    assert_same_state,
    plain_loop,
    scikit_learns_checks,
)
from tests.graph.test_fold import Source

SGD = SGDClassifier(random_state=0)


@pytest.fixture
def data(rng):
    X = rng.normal(size=(100, 4))
    return X, (X[:, 0] > 0).astype(int)


def cut(*arrays, rows=25):
    return [da.from_array(a, chunks=(rows, *a.shape[1:])) for a in arrays]


def snapshot(wrapper):
    return copy.deepcopy(vars(wrapper))


def test_data_in_memory_is_fitted_by_one_direct_call(data, no_compute):
    X, y = data
    wrapper = Incremental(Recorder()).fit(X, y, sample_weight=y, note="n")
    ((X_seen, y_seen, weight, note),) = wrapper.estimator_.calls_
    assert X_seen is X
    assert y_seen is y
    assert weight is y
    assert note == "n"


@pytest.mark.parametrize(
    "kind", [np.asarray, sp.csr_matrix, pd.DataFrame, np.ndarray.tolist]
)
def test_any_data_in_memory_that_the_estimator_takes_is_fitted(kind, data):
    X, y = data
    expected = clone(SGD).partial_fit(kind(X), y, classes=[0, 1])
    assert_same_state(Incremental(SGD).fit(kind(X), y).estimator_, expected)


def test_in_memory_batches_are_cut(data):
    X, y = data
    wrapper = Incremental(Recorder(), batch_size=40).fit(X, y)
    assert [len(call[0]) for call in wrapper.estimator_.calls_] == [40, 40, 20]


def test_frames_reach_the_estimator_as_frames(data):
    X, y = data
    frame = pd.DataFrame(X, columns=list("abcd")).assign(y=y)
    lazy = dd.from_pandas(frame, npartitions=4)
    wrapper = Incremental(SGD, shuffle_blocks=False).fit(lazy[list("abcd")], lazy["y"])
    assert list(wrapper.feature_names_in_) == list("abcd")
    expected = clone(SGD)
    for part in range(4):
        block = lazy.get_partition(part).compute()
        expected.partial_fit(block[list("abcd")], block["y"], classes=[0, 1])
    assert_same_state(wrapper.estimator_, expected)


def test_sparse_blocks_are_fitted(data):
    X, y = data
    blocks = cut(X)[0].map_blocks(sp.csr_matrix)
    wrapper = Incremental(SGD, shuffle_blocks=False).fit(blocks, y)
    expected = clone(SGD)
    for rows in np.split(np.arange(100), 4):
        expected.partial_fit(sp.csr_matrix(X[rows]), y[rows], classes=[0, 1])
    assert_same_state(wrapper.estimator_, expected)


def test_blocks_of_different_float_types_are_fitted(data):
    X, y = data
    mixed = da.concatenate([*cut(X[:50]), *cut(X[50:].astype("f4"))])
    mixed = da.map_blocks(lambda block: block, mixed, dtype=float)
    assert Incremental(SGD).fit(mixed, y).coef_.dtype == float


def test_partial_fit_with_another_float_type_continues(data):
    X, y = data
    wrapper = Incremental(SGD).partial_fit(X, y).partial_fit(X.astype("f4"), y)
    assert wrapper.coef_.dtype == float


def test_the_order_of_the_blocks_is_drawn_from_the_random_state():
    X = da.arange(40, chunks=4).reshape(-1, 1)
    wrapper = Incremental(Recorder(), random_state=5).fit(X)
    seen = [int(call[0][0, 0]) // 4 for call in wrapper.estimator_.calls_]
    assert seen == list(np.random.RandomState(5).permutation(10))


def test_each_pass_draws_a_new_order():
    X = da.arange(40, chunks=4).reshape(-1, 1)
    wrapper = Incremental(Recorder(), random_state=5).fit(X).partial_fit(X)
    seen = [int(call[0][0, 0]) // 4 for call in wrapper.estimator_.calls_]
    rng = np.random.RandomState(5)
    assert seen == [*rng.permutation(10), *rng.permutation(10)]


def test_without_a_random_state_numpys_seed_decides():
    X = da.arange(40, chunks=4).reshape(-1, 1)
    orders = []
    for _ in range(2):
        np.random.seed(7)
        calls = Incremental(Recorder()).fit(X).estimator_.calls_
        orders.append([int(call[0][0, 0]) for call in calls])
    assert orders[0] == orders[1]


def test_fit_starts_anew(data):
    X, y = cut(*data)
    wrapper = Incremental(SGD, shuffle_blocks=False).fit(X, y)
    first = copy.deepcopy(wrapper.estimator_)
    assert_same_state(wrapper.fit(X, y).estimator_, first)


def test_nothing_is_read_but_y_to_find_the_classes(data):
    X, y = data
    reads = Counter()

    def read(block, name):
        reads[name] += 1
        return block

    lazy_X, lazy_y = (
        a.map_blocks(read, name, dtype=a.dtype, meta=a._meta)
        for name, a in zip("Xy", cut(X, y), strict=True)
    )
    Incremental(SGD).fit(lazy_X, lazy_y)
    assert reads == {"X": 4, "y": 8}
    reads.clear()
    Incremental(SGD, classes=[0, 1]).fit(lazy_X, lazy_y)
    assert reads == {"X": 4, "y": 4}


def test_the_pass_for_the_classes_is_logged(data, caplog):
    with caplog.at_level(logging.INFO, logger="incremental"):
        Incremental(SGD).fit(*cut(*data))
    assert "Finding the classes" in caplog.text


def test_classes_of_the_fit_go_before_those_of_the_constructor(data):
    X, y = cut(*data)
    wrapper = Incremental(SGD, classes=[0, 1])
    assert list(wrapper.fit(X, y, classes=[0, 1, 2]).classes_) == [0, 1, 2]
    assert list(wrapper.fit(X, y).classes_) == [0, 1]


def test_partial_fit_keeps_the_classes(data):
    X, y = data
    wrapper = Incremental(SGD).partial_fit(*cut(X, y))
    wrapper.partial_fit(*cut(X[y == 0], y[y == 0], rows=10))
    assert list(wrapper.classes_) == [0, 1]


@pytest.mark.parametrize("in_memory", [True, False])
def test_an_unknown_class_is_named_with_its_block(in_memory, data):
    X, y = data
    y[60] = 8
    with pytest.raises(ValueError, match=r"classes \[8\].*classes=\[0, 1\]") as caught:
        Incremental(SGD, classes=[0, 1]).fit(*(data if in_memory else cut(X, y)))
    if not in_memory:
        assert any(
            "block 2 (of 0 to 3), rows 50 to 74" in n for n in caught.value.__notes__
        )


def test_an_unknown_class_in_a_later_call_is_named(data):
    X, y = data
    wrapper = Incremental(SGD).fit(X, y)
    with pytest.raises(ValueError, match=r"classes \[2\]"):
        wrapper.partial_fit(X, y + 1)


def test_classes_for_an_estimator_without_them_are_refused(data, no_compute):
    with pytest.raises(TypeError, match="takes no parameter 'classes'"):
        Incremental(SGDRegressor(), classes=[0, 1]).fit(*cut(*data))


@pytest.mark.parametrize("kind", ["array", "in memory", "list", "other chunks"])
def test_sample_weight_is_cut_with_the_blocks(kind, data):
    X, y = data
    weight = np.arange(100.0)
    given = {
        "array": cut(weight)[0],
        "in memory": weight,
        "list": list(weight),
        "other chunks": cut(weight, rows=30)[0],
    }[kind]
    wrapper = Incremental(Recorder(), shuffle_blocks=False)
    wrapper.fit(*cut(X, y), sample_weight=given)
    seen = [call[2] for call in wrapper.estimator_.calls_]
    np.testing.assert_array_equal(seen, weight.reshape(4, 25))


def test_any_parameter_as_long_as_x_is_cut_and_others_are_not(data):
    X, y = cut(*data)
    wrapper = Incremental(Recorder(), shuffle_blocks=False)
    calls = wrapper.fit(X, y, note=np.arange(100)).estimator_.calls_
    assert [list(call[3][:2]) for call in calls] == [
        [0, 1],
        [25, 26],
        [50, 51],
        [75, 76],
    ]
    calls = wrapper.fit(X, y, note=[1, 2, 3]).estimator_.calls_
    assert calls[0][3] == [1, 2, 3]
    assert wrapper.fit(X, y, note="x" * 100).estimator_.calls_[0][3] == "x" * 100


def test_weights_of_a_frame_are_cut_with_its_partitions(data):
    X, y = data
    frame = pd.DataFrame(X, columns=list("abcd")).assign(y=y, w=np.arange(100.0))
    lazy = dd.from_pandas(frame, npartitions=4)
    features = list("abcd")
    wrapper = Incremental(SGD, shuffle_blocks=False)
    wrapper.fit(lazy[features], lazy["y"], sample_weight=lazy["w"])
    expected = clone(SGD)
    for part in range(4):
        block = lazy.get_partition(part).compute()
        expected.partial_fit(
            block[features], block["y"], classes=[0, 1], sample_weight=block["w"]
        )
    assert_same_state(wrapper.estimator_, expected)


def test_a_parameter_that_is_not_taken_is_refused_before_any_read(data, no_compute):
    with pytest.raises(TypeError, match="takes no parameter 'wieght'"):
        Incremental(SGD).fit(*cut(*data), wieght=1)


def test_an_estimator_without_partial_fit_is_refused(data, no_compute):
    with pytest.raises(TypeError, match="ParallelPostFit"):
        Incremental(SVC()).fit(*cut(*data))


def test_a_missing_y_is_refused_before_any_read(data, no_compute):
    with pytest.raises(ValueError, match="requires y to be passed"):
        Incremental(SGD).fit(cut(data[0])[0])


@pytest.mark.parametrize("batch_size", [0, -1, 1.5, "all", True])
def test_a_wrong_batch_size_is_refused(batch_size, data, no_compute):
    with pytest.raises(ValueError, match="batch_size must be None, 'auto' or"):
        Incremental(SGD, batch_size=batch_size).fit(*cut(*data))


@pytest.mark.parametrize("prefetch", [-1, 0.5, "all", None])
def test_a_wrong_prefetch_is_refused(prefetch, data, no_compute):
    with pytest.raises(ValueError, match="prefetch must be 'auto' or an integer"):
        Incremental(SGD, prefetch=prefetch).fit(*cut(*data))


def test_rows_that_do_not_pair_are_refused_before_any_read(data, no_compute):
    X, y = data
    with pytest.raises(ValueError, match="y has shape"):
        Incremental(SGD).fit(*cut(X, y[:-1]))


def test_no_rows_at_all_are_refused(data):
    X, y = cut(*data)
    none = X[:, 0] > 1e9
    with pytest.raises(ValueError, match="no rows in any block"):
        Incremental(SGD, classes=[0, 1]).fit(X[none], y[none])


def test_empty_blocks_are_skipped(data):
    X, y = data
    chunks = (0, 50, 0, 50, 0)
    lazy_X = da.from_array(X, chunks=(chunks, (4,)))
    wrapper = Incremental(SGD, shuffle_blocks=False).fit(lazy_X, y)
    expected = plain_loop(SGD, X, y, {"classes": [0, 1]}, (50, 50))
    assert_same_state(wrapper.estimator_, expected)


def test_a_failed_first_fit_leaves_the_wrapper_unfitted(data, scheduler):
    X, y = data
    X[60] = np.nan
    wrapper = Incremental(SGD)
    before = snapshot(wrapper)
    with pytest.raises(ValueError, match="NaN") as caught:
        wrapper.fit(*cut(X, y))
    assert set(vars(wrapper)) == set(before)
    notes = caught.value.__notes__
    assert any("block 2 (of 0 to 3), rows 50 to 74" in note for note in notes)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_failed_fit_leaves_the_estimator_as_it_was(method, data, scheduler):
    X, y = data
    wrapper = Incremental(SGD, random_state=0).fit(*cut(X, y))
    estimator, before = wrapper.estimator_, snapshot(wrapper)
    broken = np.where(np.arange(100)[:, None] == 60, np.nan, X)
    with pytest.raises(ValueError, match="NaN"):
        getattr(wrapper, method)(*cut(broken, y))
    assert wrapper.estimator_ is estimator
    assert_same_state(vars(wrapper), before)


def test_a_failed_partial_fit_in_memory_leaves_the_estimator_as_it_was(data):
    X, y = data
    wrapper = Incremental(SGD, batch_size=10).fit(X, y)
    before = snapshot(wrapper)
    with pytest.raises(ValueError, match="NaN"):
        wrapper.partial_fit(np.where(np.arange(100)[:, None] == 60, np.nan, X), y)
    assert_same_state(vars(wrapper), before)


def test_a_pass_is_one_graph_that_dasks_diagnostics_see(data):
    graphs = []

    def get(dsk, keys, **kwargs):
        graphs.append(dsk)
        return dask.local.get_sync(dsk, keys, **kwargs)

    with dask.config.set(scheduler=get):
        Incremental(SGD, classes=[0, 1]).fit(*cut(*data))
    (graph,) = graphs
    names = Counter(str(key[0]).rsplit("-", 1)[0] for key in graph)
    assert names["partial_fit"] == 4


def test_a_step_that_is_retried_applies_its_block_once(data, client, tmp_path):
    X, y = data
    flag = tmp_path / "failed"
    estimator = FailsOnce(flag=str(flag))
    with dask.annotate(retries=2):
        wrapper = Incremental(estimator, shuffle_blocks=False).fit(*cut(X, y))
    assert flag.exists()
    assert wrapper.estimator_.n_rows_ == [25, 25, 25, 25]


class FailsOnce(Recorder):
    def __init__(self, flag=None):
        self.flag = flag

    def partial_fit(self, X, y=None):
        self.n_rows_ = [*getattr(self, "n_rows_", []), len(X)]
        if len(self.n_rows_) == 3 and not os.path.exists(self.flag):
            open(self.flag, "w").close()
            raise OSError("once")
        return self


def test_what_a_cluster_returns_can_be_fitted_on(data, client):
    X, y = data
    wrapper = Incremental(MLPClassifier(random_state=0)).fit(*cut(X, y))
    for array in (*wrapper.coefs_, *wrapper.intercepts_):
        assert array.flags.writeable
    wrapper.estimator_.partial_fit(X, y)
    assert "client" not in repr(vars(wrapper))


def test_collections_that_a_cluster_holds_are_fitted_twice_in_a_row(data, client):
    X, y = (collection.persist() for collection in cut(*data))
    expected = plain_loop(SGD, *data, {"classes": [0, 1]}, (25,) * 4)
    for lazy in ((X, y), (X + 0.0, y), (X, y)):
        wrapper = Incremental(SGD, shuffle_blocks=False).fit(*lazy)
        assert_same_state(wrapper.estimator_, expected)
    np.testing.assert_array_equal(X.compute(), data[0])


@pytest.mark.parametrize("persisted", [False, True])
def test_a_parquet_data_set_is_fitted_on_each_scheduler(
    persisted, data, tmp_path, scheduler
):
    X, y = data
    frame = pd.DataFrame(X, columns=list("abcd")).assign(y=y)
    dd.from_pandas(frame, npartitions=4).to_parquet(tmp_path / "data")
    lazy = dd.read_parquet(tmp_path / "data")
    lazy = lazy.persist() if persisted else lazy
    for _ in range(2):
        wrapper = Incremental(SGD, shuffle_blocks=False)
        wrapper.fit(lazy[list("abcd")], lazy["y"])
        expected = plain_loop(SGD, X, y, {"classes": [0, 1]}, (25,) * 4)
        np.testing.assert_array_equal(wrapper.coef_, expected.coef_)


def test_a_pipeline_reads_lazily_scaled_blocks():
    source = Source(8)
    pipe = make_pipeline(
        Incremental(StandardScaler()), Incremental(SGDRegressor(random_state=0))
    )
    pipe.fit(source.array, da.arange(80, chunks=10))
    assert set(source.reads.values()) == {2}
    predicted = pipe.predict(source.array)
    assert set(source.reads.values()) == {2}
    assert predicted.compute().shape == (80,)


def test_predictions_go_back_to_parquet(data, tmp_path):
    X, y = cut(*data)
    pipe = make_pipeline(Incremental(StandardScaler()), Incremental(SGD)).fit(X, y)
    predicted = pipe.predict(X)
    predicted.to_dask_dataframe(columns=["a"]).to_parquet(tmp_path / "predictions")
    read = dd.read_parquet(tmp_path / "predictions")["a"].compute()
    np.testing.assert_array_equal(read, predicted.compute())


def test_parameters_are_those_of_the_constructor_and_of_the_estimator():
    wrapper = Incremental(SGD, prefetch=3)
    params = wrapper.get_params()
    assert params["prefetch"] == 3
    assert params["estimator__alpha"] == SGD.alpha
    copied = clone(wrapper).set_params(estimator__alpha=7)
    assert copied.estimator.alpha == 7
    assert SGD.alpha != 7


def test_it_is_a_parallel_post_fit():
    assert issubclass(Incremental, ParallelPostFit)


def test_a_fitted_wrapper_pickles_and_goes_on_alike(data):
    X, y = cut(*data)
    wrapper = Incremental(SGD, random_state=0).fit(X, y)
    again = pickle.loads(pickle.dumps(wrapper))
    wrapper.partial_fit(X, y)
    again.partial_fit(X, y)
    assert_same_state(again.estimator_, wrapper.estimator_)


def test_fit_transform_and_fit_predict_are_lazy(data):
    X, _ = cut(*data)
    scaled = Incremental(MinMaxScaler()).fit_transform(X)
    assert isinstance(scaled, da.Array)
    assert scaled.max().compute() == pytest.approx(1)
    labels = Incremental(MiniBatchKMeans(2, random_state=0)).fit_predict(X)
    assert isinstance(labels, da.Array)


def test_metadata_routing_reaches_partial_fit(data):
    X, y = cut(*data)
    weight = np.arange(100.0)
    with config_context(enable_metadata_routing=True):
        estimator = clone(SGD).set_partial_fit_request(sample_weight=True, classes=True)
        routed = Incremental(estimator, shuffle_blocks=False)
        routed.fit(X, y, sample_weight=weight)
    plain = Incremental(SGD, shuffle_blocks=False).fit(X, y, sample_weight=weight)
    np.testing.assert_array_equal(routed.coef_, plain.coef_)


SGD_ITSELF = dict.fromkeys(
    [
        "check_sample_weight_equivalence_on_dense_data",
        "check_sample_weight_equivalence_on_sparse_data",
    ],
    "the estimator fails it itself",
)
ONE_PASS = {"check_classifiers_train": "one pass does not train it to the end"}


def expected_failures(wrapper):
    kinds = {
        SGDClassifier: SGD_ITSELF,
        SGDRegressor: SGD_ITSELF,
        MiniBatchKMeans: SGD_ITSELF,
        MLPClassifier: ONE_PASS,
    }
    return kinds.get(type(wrapper.estimator), {})


CHECKED = [
    Incremental(SGD),
    Incremental(SGDRegressor(random_state=0)),
    Incremental(StandardScaler()),
    Incremental(MiniBatchKMeans(n_clusters=3, random_state=0)),
    Incremental(GaussianNB()),
    Incremental(MLPClassifier(random_state=0)),
]


@pytest.mark.parametrize(
    ("estimator", "check"), scikit_learns_checks(CHECKED, expected_failures)
)
@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_checks_pass(estimator, check):
    check(estimator)


def test_data_is_not_overwritten_by_estimators_that_may(rng):
    X = da.from_array(rng.random((40, 3)), chunks=(10, 3)).persist()
    before = X.compute().copy()
    wrapper = Incremental(IncrementalPCA(2, copy=False)).fit(X)
    np.testing.assert_array_equal(X, before)
    scaler = ParallelPostFit(StandardScaler(copy=False).fit(before.copy()))
    scaler.transform(X).compute()
    np.testing.assert_array_equal(X, before)
    assert wrapper.components_.shape == (2, 3)


def test_an_estimator_that_is_assigned_can_be_continued(data):
    X, y = cut(*data)
    wrapper = Incremental(SGD, shuffle_blocks=False)
    wrapper.estimator_ = clone(SGD).partial_fit(*data, classes=[0, 1])
    wrapper.partial_fit(X, y)
    assert wrapper.t_ == 201


def test_a_missing_y_in_a_later_call_is_refused(data, no_compute):
    wrapper = Incremental(SGD, classes=[0, 1]).fit(*data)
    with pytest.raises(ValueError, match="requires y to be passed"):
        wrapper.partial_fit(cut(data[0])[0])
    with pytest.raises(ValueError, match="score requires y"):
        wrapper.score(cut(data[0])[0])


def test_a_score_of_no_rows_is_refused(data):
    X, y = cut(*data)
    with pytest.raises(ValueError, match="no rows in any block"):
        Incremental(SGD).fit(X, y).score(X[:0], y[:0])


CLASSES = {
    "da.unique": lambda y: da.unique(y),
    "np.unique": lambda y: np.unique(y),
    "unique of a series": lambda y: y.to_dask_dataframe().unique(),
    "range": lambda y: range(2),
    "set": lambda y: {1, 0},
    "Index": lambda y: pd.Index([0, 1]),
    "Series with labels of its own": lambda y: pd.Series([0, 1], index=[7, 8]),
    "tuple": lambda y: (0, 1),
}


@pytest.mark.parametrize("kind", ["array", "frame", "memory"])
@pytest.mark.parametrize("given", CLASSES)
def test_classes_are_taken_in_the_constructor_and_in_the_fit(given, kind, data):
    classes = CLASSES[given](cut(*data)[1])
    X, y = cut(*data) if kind == "array" else data
    if kind == "frame":
        X, y = (
            dd.from_pandas(pd.DataFrame(X).rename(columns=str), 3),
            dd.from_pandas(pd.Series(y), 3),
        )
    model = Incremental(SGD, random_state=0)
    expected = clone(model).set_params(classes=[0, 1]).fit(X, y)
    for fitted in (
        clone(model.set_params(classes=classes)).fit(X, y),
        clone(model).set_params(classes=None).fit(X, y, classes=classes),
        clone(model).set_params(classes=None).partial_fit(X, y, classes=classes),
    ):
        assert_same_state(fitted.estimator_, expected.estimator_)


def test_lazy_classes_of_several_outputs_are_computed_together(data):
    X, y = data
    Y = np.stack([y, 1 - y], axis=1)
    source = Source(2)
    classes = [da.unique(source.array[:, at]) for at in range(2)]
    model = Incremental(MultiOutputClassifier(SGD), classes=classes)
    model.fit(*cut(X, Y))
    assert [list(one.classes_) for one in model.estimators_] == [[0, 1], [0, 1]]
    assert source.reads == Counter(range(2))


def test_lazy_classes_are_not_computed_where_the_rows_do_not_pair(data, no_compute):
    X, y = cut(*data)
    with pytest.raises(ValueError, match="y has shape"):
        Incremental(SGD, classes=da.unique(y)).fit(X, y[:50])


def test_classes_of_another_kind_are_refused(data, no_compute):
    with pytest.raises(TypeError, match=r"got generator; expected .*da.unique\(y\)"):
        Incremental(SGD).fit(*cut(*data), classes=(one for one in range(2)))


@pytest.mark.parametrize("kind", ["array", "series"])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_lazy_y_and_lazy_weights_beside_an_x_in_memory_are_computed(
    method, kind, data, rng
):
    X, y = data
    weight = rng.random(100)
    lazy = cut(y, weight)
    if kind == "series":
        lazy = [dd.from_pandas(pd.Series(one), npartitions=2) for one in (y, weight)]
    received, expected = (
        getattr(Incremental(SGD), method)(X, given, sample_weight=weights)
        for given, weights in (lazy, (y, weight))
    )
    assert_same_state(received.estimator_, expected.estimator_)
    scores = [received.score(X, *given) for given in (lazy, (y, weight))]
    assert scores[0] == scores[1]


def test_a_lazy_y_of_validation_data_in_memory_is_computed(data):
    X, y = data
    for lazy in (cut(y)[0], dd.from_pandas(pd.Series(y), npartitions=2)):
        model = Incremental(SGD, validation_data=(X, lazy)).fit(*cut(X, y))
        assert model.history_[0]["score"] == model.score(X, y)


class Sum:
    """An object with `partial_fit` that is no scikit-learn estimator."""

    def __init__(self):
        self.total = 0.0

    def partial_fit(self, X, y=None):
        self.total = self.total + np.asarray(X).sum(axis=0)
        return self

    def predict(self, X):
        return np.asarray(X) @ self.total


@pytest.mark.parametrize("kind", ["array", "frame", "memory"])
def test_an_object_with_partial_fit_is_copied_and_fitted(kind, data):
    X, _ = data
    frame = pd.DataFrame(X).rename(columns=str)
    own = {
        "array": cut(X)[0],
        "frame": dd.from_pandas(frame, npartitions=3),
        "memory": X,
    }[kind]
    given = Sum()
    model = clone(Incremental(given, shuffle_blocks=False))
    assert "Sum" in repr(model)
    assert model.get_params()["estimator"] is model.estimator
    for _ in range(2):  # a second fit begins anew
        model.fit(own)
        np.testing.assert_allclose(model.estimator_.total, X.sum(axis=0))
    np.testing.assert_allclose(model.predict(own), X @ X.sum(axis=0))
    np.testing.assert_allclose(
        model.partial_fit(own).estimator_.total, 2 * X.sum(axis=0)
    )
    assert given.total == 0.0


def test_an_object_with_partial_fit_goes_through_passes_scores_and_checkpoints(
    data, tmp_path
):
    X, y = cut(*data)
    model = Incremental(
        Sum(),
        scoring="r2",
        max_iter=2,
        early_stopping=True,
        checkpoint=tmp_path / "checkpoints",
    ).fit(X, y)
    assert len(model.history_) == 2
    assert model.score(X, y) == pytest.approx(model.score(*data), rel=1e-12)


def test_classes_are_found_for_what_hands_them_on(data):
    X, y = cut(*data)
    selector = Incremental(SelectFromModel(SGD)).fit(X, y)
    assert list(selector.estimator_.estimator_.classes_) == [0, 1]


@pytest.mark.parametrize("classes", [None, "given"])
@pytest.mark.parametrize("kind", ["float", "object", "str", "Int64", "category"])
def test_missing_values_of_y_are_named_with_their_block(kind, classes):
    values = ["a", "b"] if kind in ("object", "str") else [0, 1]
    y = pd.Series(values * 20, dtype="float" if kind == "category" else kind)
    y[[11, 13]] = None
    y = y.astype("category") if kind == "category" else y
    frame = pd.DataFrame({"a": np.arange(40.0), "y": y})
    lazy = dd.from_pandas(frame, npartitions=4)
    model = Incremental(SGD, classes=classes and values)
    with pytest.raises(ValueError, match="y holds 2 missing values.*dropna") as caught:
        model.fit(lazy[["a"]], lazy["y"])
    assert any("in block 1 (of 0 to 3)" in note for note in caught.value.__notes__)
    with pytest.raises(ValueError, match="y holds 2 missing values"):
        model.fit(frame[["a"]], frame["y"])


def test_missing_values_of_a_column_of_y_are_named(data):
    Y = np.stack([data[1], data[1]], axis=1).astype(float)
    Y[30, 1] = np.nan
    model = Incremental(MultiOutputClassifier(SGD))
    with pytest.raises(ValueError, match="y holds 1 missing value") as caught:
        model.fit(*cut(data[0], Y))
    assert any("in block 1 (of 0 to 3)" in note for note in caught.value.__notes__)


def test_missing_values_of_a_regressors_y_are_named_with_their_block(data):
    y = np.where(np.arange(100) == 30, np.nan, data[0][:, 0])
    with pytest.raises(ValueError, match="Input y contains NaN") as caught:
        Incremental(SGDRegressor()).fit(*cut(data[0], y))
    assert any("in block 1 (of 0 to 3)" in note for note in caught.value.__notes__)


def unknown(data):
    """Make X and y of unknown lengths, as a frame and as arrays."""
    frame = pd.DataFrame(data[0], columns=list("abcd")).assign(y=data[1])
    lazy = dd.from_pandas(frame, npartitions=4)
    X, y = lazy[list("abcd")], lazy["y"]
    return [(X, y), (X.to_dask_array(), y.to_dask_array())]


@pytest.mark.parametrize("note", [np.arange(100), list(range(100)), [1, 2]])
def test_what_may_have_an_entry_for_each_row_is_refused(note, data, no_compute):
    for X, y in unknown(data):
        with pytest.raises(ValueError, match="note has .* entries .*pass it as a dask"):
            Incremental(Recorder()).fit(X, y, note=note)


def test_what_has_an_entry_for_each_row_of_y_is_cut(data):
    X = unknown(data)[0][0]
    y = da.from_array(data[1], chunks=25)
    model = Incremental(Recorder(), shuffle_blocks=False)
    with pytest.warns(da.PerformanceWarning):
        model.fit(X, y, note=np.arange(100))
    notes = [call[3] for call in model.estimator_.calls_]
    assert np.concatenate(notes).tolist() == list(range(100))


def test_what_has_not_as_many_entries_as_y_passes_as_it_is(data):
    X = unknown(data)[0][0]
    y = da.from_array(data[1], chunks=25)
    model = Incremental(Recorder()).fit(X, y, note=[1, 2])
    assert [call[3] for call in model.estimator_.calls_] == [[1, 2]] * 4


@pytest.mark.parametrize("note", ["text", b"bytes", 3, None, {"a": 1}, {1, 2}])
def test_what_cannot_have_an_entry_for_each_row_passes_as_it_is(note, data):
    for X, y in unknown(data):
        model = Incremental(Recorder()).fit(X, y, note=note)
        assert [call[3] for call in model.estimator_.calls_] == [note] * 4


@pytest.mark.parametrize("name", ["note", "sample_weight"])
def test_lazy_parameters_beside_unknown_lengths_are_cut(name, data):
    values = da.arange(100, chunks=25)
    for X, y in unknown(data):
        model = Incremental(Recorder(), shuffle_blocks=False).fit(
            X, y, **{name: values}
        )
        place = 3 if name == "note" else 2
        seen = [call[place] for call in model.estimator_.calls_]
        np.testing.assert_array_equal(np.concatenate(seen), np.arange(100))


def test_weights_of_a_block_that_are_all_0_reach_the_estimator(data):
    weight = np.where(np.arange(100) < 25, 0.0, 1.0)
    model = Incremental(Recorder(), shuffle_blocks=False)
    calls = model.fit(*cut(*data), sample_weight=weight).estimator_.calls_
    np.testing.assert_array_equal(np.concatenate([call[2] for call in calls]), weight)


@pytest.mark.parametrize("estimator", [SGD, GaussianNB()])
def test_weights_of_a_block_that_are_all_0_are_refused_by_whom_refuses_them(
    estimator, data
):
    X, y = data
    params = {"sample_weight": np.zeros(25), "classes": [0, 1]}
    expected = error_of(plain_loop, estimator, X[:25], y[:25], params, (25,))
    weight = np.where(np.arange(100) < 25, 0.0, 1.0)
    model = Incremental(estimator, shuffle_blocks=False)
    received = error_of(model.fit, *cut(X, y), sample_weight=weight)
    assert repr(received) == repr(expected)
    notes = getattr(received, "__notes__", [])
    assert any("in block 0 (of 0 to 3)" in note for note in notes) or not received


def test_weights_of_a_scalers_block_that_are_all_0_count_nothing_or_are_refused(data):
    X, _ = data
    weight = np.where(np.arange(100) < 25, 0.0, 1.0)
    model = Incremental(StandardScaler())
    refused = error_of(model.fit, cut(X)[0], sample_weight=weight)
    if refused is None:
        np.testing.assert_allclose(model.mean_, X[25:].mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(model.var_, X[25:].var(axis=0), rtol=1e-12)
    else:
        assert "at least one non-zero" in str(refused)
        assert any("in block 0 (of 0 to 3)" in note for note in refused.__notes__)


def error_of(fit, *args, **params):
    """Return what a fit raises, if it does: scikit-learn's versions differ in it."""
    try:
        fit(*args, **params)
    except (ValueError, RuntimeWarning) as error:
        return error
    return None


VALIDATED = {"early_stopping": True, "max_iter": 2}


@pytest.mark.parametrize("lazy", [True, False])
def test_a_validation_target_with_nan_is_refused(lazy, data):
    X, y = data[0], data[0][:, 0]
    bad = np.where(np.arange(100) == 30, np.nan, y)
    other = tuple(cut(X, bad)) if lazy else (X, bad)
    model = Incremental(SGDRegressor(), validation_data=other, **VALIDATED)
    with pytest.raises(ValueError, match="contains NaN") as caught:
        model.fit(*cut(X, y))
    assert any("validation_data" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("scoring", [None, "accuracy"])
@pytest.mark.parametrize("kind", ["lazy", "in memory", "lazy X", "lazy y"])
def test_validation_data_that_does_not_pair_is_refused_before_any_read(
    scoring, kind, data, no_compute
):
    X, y = data
    X_lazy, y_lazy = cut(X, y[:99])
    other = {
        "lazy": (X_lazy, y_lazy),
        "in memory": (X, y[:99]),
        "lazy X": (X_lazy, y[:99]),
        "lazy y": (X, y_lazy),
    }[kind]
    model = Incremental(
        SGD, classes=[0, 1], scoring=scoring, validation_data=other, **VALIDATED
    )
    with pytest.raises((ValueError, TypeError), match="rows|in memory") as caught:
        model.fit(*cut(X, y))
    assert any("validation_data" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("scoring", [None, "accuracy", "roc_auc"])
def test_validation_data_of_another_index_is_refused(scoring, data):
    frame = pd.DataFrame(data[0], columns=list("abcd")).assign(y=data[1])
    X = dd.from_pandas(frame[list("abcd")], npartitions=1)
    y = dd.from_pandas(frame["y"][::-1], npartitions=1, sort=False)
    model = Incremental(SGD, scoring=scoring, validation_data=(X, y), **VALIDATED)
    with pytest.raises(ValueError, match="different index labels"):
        model.fit(X, dd.from_pandas(frame["y"], npartitions=1))


@pytest.mark.parametrize("scoring", [None, "accuracy", "roc_auc"])
@pytest.mark.parametrize("kind", ["lazy", "in memory", "lazy X", "frames"])
def test_validation_data_is_scored_as_scikit_learn_does(scoring, kind, data):
    X, y = data
    frame = pd.DataFrame(X, columns=list("abcd"))
    other = {
        "lazy": tuple(cut(X, y, rows=30)),
        "in memory": (X, y),
        "lazy X": (cut(X)[0], y),
        "frames": tuple(dd.from_pandas(one, 3) for one in (frame, pd.Series(y))),
    }[kind]
    model = Incremental(SGD, scoring=scoring, validation_data=other, random_state=0)
    given = cut(X, y)
    if kind == "frames":
        given = [dd.from_pandas(one, 4) for one in (frame, pd.Series(y))]
    model.fit(*given)
    expected = get_scorer(scoring or "accuracy")(
        model.estimator_, frame if kind == "frames" else X, y
    )
    assert model.history_[0]["score"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_wrapper_is_never_half_new(method, data):
    """Look at it before each instruction of the package, where Ctrl-C may come."""
    X, y = cut(*data, rows=50)
    model = Incremental(SGD, classes=[0, 1]).fit(X, y)
    before = model.estimator_, model.history_
    found = set()

    def look(frame, event, argument):
        frame.f_trace_opcodes = "incremental" in frame.f_code.co_filename
        learned = vars(model)["estimator_"], vars(model)["history_"]
        found.add(tuple(new is old for new, old in zip(learned, before, strict=True)))
        return look

    look_with = sys.settrace
    with dask.config.set(scheduler="synchronous"):
        look_with(look)
        try:
            getattr(model, method)(X, y)
        finally:
            look_with(None)
    assert found == {(True, True), (False, False)}


def test_fits_in_threads_leave_dasks_configuration_as_it_was(rng):
    frame = pd.DataFrame(rng.normal(size=(40, 2)), columns=["a", "b"])
    lazy = dd.from_pandas(frame, npartitions=4)
    y = lazy["a"] > 0
    names = ("optimization.tune.active", "dataframe.shuffle.method")
    before = [dask.config.get(name, None) for name in names]

    def fit(thread):
        for _ in range(10):
            Incremental(SGD, classes=[False, True]).fit(lazy, y).predict(lazy)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(fit, range(4)))
    assert [dask.config.get(name, None) for name in names] == before
