"""Applying fitted estimators to collections."""

import copy
import pickle

import cloudpickle
import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    clone,
    is_classifier,
    is_clusterer,
    is_regressor,
)
from sklearn.cluster import KMeans
from sklearn.datasets import make_classification
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import NotFittedError
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler, TargetEncoder
from sklearn.utils import get_tags

from incremental import Incremental, ParallelPostFit
from tests.contracts import assert_same_state, scikit_learns_checks

METHODS = [
    "predict",
    "predict_proba",
    "predict_log_proba",
    "decision_function",
    "transform",
    "inverse_transform",
    "score_samples",
    "predict_joint_log_proba",
    "kneighbors",
    "apply",
    "fit_transform",
    "get_feature_names_out",
    "set_output",
    "score",
]


@pytest.fixture(scope="module")
def data():
    return make_classification(
        n_samples=90, n_features=6, n_classes=3, n_informative=4, random_state=0
    )


@pytest.fixture
def frame(data):
    X, _ = data
    index = pd.Index(np.arange(90) * 10, name="when")
    return pd.DataFrame(X, columns=list("abcdef"), index=index)


def lazy(X):
    return da.from_array(X, chunks=(40, 2))


@pytest.mark.parametrize("method", METHODS)
def test_a_method_is_there_if_the_estimator_has_it(method):
    class Only(BaseEstimator):
        pass

    assert not hasattr(ParallelPostFit(Only()), method)
    names = {"fit_transform": "transform"}
    setattr(Only, names.get(method, method), lambda self, X=None: X)
    assert hasattr(ParallelPostFit(Only()), method)


@pytest.mark.parametrize("wrap", [ParallelPostFit, Incremental])
@pytest.mark.parametrize("fitted", [False, True])
def test_a_missing_method_gives_the_reason_of_the_estimator(wrap, fitted, data):
    model = wrap(SGDClassifier(loss="hinge"))
    model = model.fit(*data) if fitted else model
    assert not hasattr(model, "predict_proba")
    with pytest.raises(AttributeError, match="has no attribute 'predict_proba'") as c:
        model.predict_proba(lazy(data[0]))
    reason = c.value.__cause__.__cause__
    assert str(reason) == "probability estimates are not available for loss='hinge'"


@pytest.mark.parametrize("method", ["fit_predict", "fit_transform", "score"])
def test_a_missing_method_says_what_the_estimator_lacks(method):
    with pytest.raises(AttributeError, match="This 'ParallelPostFit' has no") as caught:
        getattr(ParallelPostFit(BaseEstimator()), method)
    assert "'BaseEstimator' object has no attribute" in str(caught.value.__cause__)


def test_a_method_that_depends_on_the_parameters_agrees_with_the_estimator():
    assert not hasattr(ParallelPostFit(SGDClassifier(loss="hinge")), "predict_proba")
    assert hasattr(ParallelPostFit(SGDClassifier(loss="log_loss")), "predict_proba")


@pytest.mark.parametrize(
    ("estimator", "method"),
    [
        (LogisticRegression(), "predict"),
        (LogisticRegression(), "predict_proba"),
        (LogisticRegression(), "predict_log_proba"),
        (LogisticRegression(), "decision_function"),
        (StandardScaler(), "transform"),
        (StandardScaler(), "inverse_transform"),
        (PCA(2), "score_samples"),
        (KMeans(2, n_init=1), "transform"),
        (RandomForestClassifier(3), "predict_proba"),
    ],
)
def test_arrays_and_frames_in_give_lazy_arrays_of_the_true_kind(
    estimator, method, data, frame
):
    X, y = data
    for fitted_on, collection, given in [
        (X, lazy(X), X),
        (frame, dd.from_pandas(frame, npartitions=3), frame),
    ]:
        wrapper = ParallelPostFit(estimator).fit(fitted_on, y)
        expected = getattr(wrapper.estimator_, method)(given)

        def refuse(dsk, keys, **kwargs):
            raise AssertionError("dask computes")

        with dask.config.set(scheduler=refuse):
            received = getattr(wrapper, method)(collection)
        assert isinstance(received, da.Array)
        assert received.dtype == expected.dtype
        assert received.ndim == expected.ndim
        assert received.shape[1:] == expected.shape[1:]
        np.testing.assert_allclose(received.compute(), expected, rtol=1e-9)


def test_data_in_memory_gives_what_the_estimator_gives(data):
    X, y = data
    wrapper = ParallelPostFit(LogisticRegression()).fit(X, y)
    assert type(wrapper.predict(X)) is np.ndarray
    assert type(wrapper.predict_proba(X)) is np.ndarray


def test_an_estimator_that_is_fitted_already_works_at_once(data):
    X, y = data
    fitted = LogisticRegression().fit(X, y)
    wrapper = ParallelPostFit(fitted)
    np.testing.assert_array_equal(wrapper.predict(lazy(X)), fitted.predict(X))
    assert wrapper.coef_ is fitted.coef_
    assert wrapper.score(lazy(X), y) == fitted.score(X, y)


def test_an_estimator_that_is_not_fitted_says_so(data):
    with pytest.raises(NotFittedError, match="LogisticRegression"):
        ParallelPostFit(LogisticRegression()).predict(lazy(data[0]))


def test_multi_output_probabilities_are_a_list_of_lazy_arrays(data):
    X, y = data
    Y = np.stack([y, y % 2], axis=1)
    wrapper = ParallelPostFit(MultiOutputClassifier(LogisticRegression())).fit(X, Y)
    received = wrapper.predict_proba(lazy(X))
    expected = wrapper.estimator_.predict_proba(X)
    assert [one.shape for one in received] == [(90, 3), (90, 2)]
    for one, wanted in zip(received, expected, strict=True):
        np.testing.assert_allclose(one.compute(), wanted)
    assert wrapper.predict(lazy(X)).shape == (90, 2)


def test_multi_output_probabilities_of_a_frame_are_a_list_of_lazy_arrays(data, frame):
    Y = np.stack([data[1], data[1] % 2], axis=1)
    wrapper = ParallelPostFit(RandomForestClassifier(2, random_state=0)).fit(frame, Y)
    received = wrapper.predict_proba(dd.from_pandas(frame, npartitions=2))
    expected = wrapper.estimator_.predict_proba(frame)
    for one, wanted in zip(received, expected, strict=True):
        np.testing.assert_allclose(one.compute(), wanted)


def test_a_tuple_of_outputs_is_a_list_of_lazy_arrays(data):
    X, y = data
    wrapper = ParallelPostFit(GaussianProcessRegressor(random_state=0)).fit(X, y)
    mean, deviation = wrapper.predict(lazy(X), return_std=True)
    np.testing.assert_allclose(mean.compute(), wrapper.predict(X), rtol=1e-6)
    assert deviation.shape == (90,)


def test_sparse_output_stays_sparse(data):
    X = (data[0] > 0).astype(float)
    wrapper = ParallelPostFit(OneHotEncoder(handle_unknown="ignore")).fit(X)
    received = wrapper.transform(lazy(X))
    assert received.shape == (90, 12)
    computed = received.compute()
    assert sp.issparse(computed)
    assert (computed != wrapper.transform(X)).nnz == 0


def test_sparse_blocks_are_accepted(data):
    X, y = data
    wrapper = ParallelPostFit(LogisticRegression()).fit(sp.csr_matrix(X), y)
    blocks = lazy(X).rechunk((40, 6)).map_blocks(sp.csr_matrix)
    np.testing.assert_array_equal(wrapper.predict(blocks), wrapper.predict(X))


def test_frames_keep_their_feature_names(data, frame):
    wrapper = ParallelPostFit(LogisticRegression()).fit(frame, data[1])
    assert list(wrapper.feature_names_in_) == list("abcdef")
    wrapper.predict(dd.from_pandas(frame, npartitions=2)).compute()
    swapped = dd.from_pandas(frame[list("fedcba")], npartitions=2)
    with pytest.raises(ValueError, match="feature names"):
        wrapper.predict(swapped)


def test_a_series_as_meta_gives_a_series_with_the_index_of_the_input(data, frame):
    wrapper = ParallelPostFit(
        LogisticRegression(), predict_meta=pd.Series(dtype="int64", name="label")
    ).fit(frame, data[1])
    collection = dd.from_pandas(frame, npartitions=3)
    received = wrapper.predict(collection)
    assert isinstance(received, dd.Series)
    assert received.divisions == collection.divisions
    joined = collection.assign(label=received).compute()
    np.testing.assert_array_equal(joined["label"], wrapper.predict(frame))
    assert joined.index.name == "when"


def test_a_dataframe_as_meta_gives_a_dataframe_with_the_index_of_the_input(data, frame):
    meta = pd.DataFrame({f"p{n}": pd.Series(dtype=float) for n in range(3)})
    wrapper = ParallelPostFit(LogisticRegression(), predict_proba_meta=meta)
    wrapper.fit(frame, data[1])
    received = wrapper.predict_proba(dd.from_pandas(frame, npartitions=3)).compute()
    pd.testing.assert_index_equal(received.index, frame.index)
    assert list(received.columns) == ["p0", "p1", "p2"]
    np.testing.assert_allclose(received, wrapper.predict_proba(frame))


def test_set_output_pandas_gives_dataframes_for_dataframes(frame):
    wrapper = (
        ParallelPostFit(StandardScaler()).set_output(transform="pandas").fit(frame)
    )
    received = wrapper.transform(dd.from_pandas(frame, npartitions=3))
    assert isinstance(received, dd.DataFrame)
    assert list(received.columns) == list("abcdef")
    pd.testing.assert_frame_equal(received.compute(), wrapper.transform(frame))


def test_set_output_after_the_fit_leaves_earlier_results_alone(frame):
    wrapper = ParallelPostFit(StandardScaler()).fit(frame)
    early = wrapper.transform(dd.from_pandas(frame, npartitions=3))
    wrapper.set_output(transform="pandas")
    assert isinstance(early.compute(), np.ndarray)
    assert isinstance(wrapper.transform(frame), pd.DataFrame)


def test_pandas_for_a_dask_array_is_refused(data, frame):
    wrapper = ParallelPostFit(LogisticRegression(), predict_meta=pd.Series(dtype=int))
    with pytest.raises(TypeError, match="Pass a dask dataframe"):
        wrapper.fit(*data).predict(lazy(data[0]))


def test_an_array_as_meta_saves_the_invented_row(data):
    class Fussy(LogisticRegression):
        def predict(self, X):
            if len(X) == 1:
                raise ValueError("too few rows")
            return super().predict(X)

    X, y = data
    with pytest.raises(ValueError, match="too few rows") as caught:
        ParallelPostFit(Fussy()).fit(X, y).predict(lazy(X))
    assert any("predict_meta" in note for note in caught.value.__notes__)
    wrapper = ParallelPostFit(Fussy(), predict_meta=np.array([0])).fit(X, y)
    np.testing.assert_array_equal(wrapper.predict(lazy(X)), wrapper.predict(X))


def test_empty_blocks_give_typed_empty_output(data, frame):
    X, y = data
    wrapper = ParallelPostFit(LogisticRegression()).fit(X, y)
    none = lazy(X)[lazy(X)[:, 0] > 1e9]
    assert wrapper.predict(none).compute().dtype == y.dtype
    assert wrapper.predict_proba(none).compute().shape == (0, 3)
    wrapper = ParallelPostFit(StandardScaler()).fit(frame)
    collection = dd.from_pandas(frame, npartitions=3)
    few = wrapper.transform(collection[collection["a"] > 1e9])
    assert few.compute().shape == (0, 6)


def test_the_blocks_of_a_frames_result_are_its_partitions(tmp_path, frame):
    for number in range(20):
        frame[f"more{number}"] = 1.0
    dd.from_pandas(frame, npartitions=10).to_parquet(tmp_path / "data")
    few = dd.read_parquet(tmp_path / "data")[["a"]]
    wrapper = ParallelPostFit(StandardScaler()).fit(frame[["a"]])
    assert wrapper.transform(few).npartitions == 10


def test_a_wrong_number_of_columns_is_refused_before_any_read(data, no_compute):
    wrapper = ParallelPostFit(LogisticRegression()).fit(*data)
    with pytest.raises(ValueError, match="expecting 6 features"):
        wrapper.predict(da.ones((10, 5), chunks=5))


def test_an_unknown_number_of_columns_is_refused(data, no_compute):
    wrapper = ParallelPostFit(LogisticRegression()).fit(*data)
    X = lazy(data[0])
    for chunks in ((40, 2), (40, 6)):
        unknown = X.rechunk(chunks)
        unknown = unknown[:, unknown[0] > 0]
        with pytest.raises(ValueError, match="number of columns of X is unknown"):
            wrapper.predict(unknown)


def test_an_error_in_a_block_says_so(data):
    X, y = data
    wrapper = ParallelPostFit(LogisticRegression()).fit(X, y)
    broken = lazy(np.where(np.arange(90)[:, None] == 50, np.nan, X))
    with pytest.raises(ValueError, match="NaN") as caught:
        wrapper.predict(broken).compute()
    assert any("predict of block 1" in note for note in caught.value.__notes__)


def test_an_error_in_a_partition_says_so(data, frame):
    wrapper = ParallelPostFit(LogisticRegression()).fit(frame, data[1])
    bad = frame.copy()
    bad.iloc[50] = np.nan
    with pytest.raises(ValueError, match="NaN") as caught:
        wrapper.predict(dd.from_pandas(bad, npartitions=3)).compute()
    assert any("predict of block 1" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("as_frame", [False, True])
def test_the_model_is_in_the_graph_once(as_frame):
    model = LogisticRegression().fit(np.eye(2), [0, 1])
    model.ballast_ = np.random.default_rng(0).random(200_000)
    X = da.ones((20, 2), chunks=(2, 2))
    X = X.to_dask_dataframe(columns=["a", "b"]) if as_frame else X
    (predicted,) = dask.optimize(ParallelPostFit(model).predict(X))
    sizes = [len(cloudpickle.dumps(task)) for task in predicted.dask.values()]
    assert sum(sizes) < 2 * 1_600_000
    assert sum(size > 1_000_000 for size in sizes) == 1


def test_a_lazy_result_keeps_the_model_it_was_made_with(data):
    X, y = data
    model = LogisticRegression().fit(X, y)
    expected = model.predict(X)
    received = ParallelPostFit(model).predict(lazy(X))
    model.fit(X, (y + 1) % 3)
    np.testing.assert_array_equal(received, expected)


def test_a_lazy_result_survives_partial_fit(data):
    X, y = data
    wrapper = Incremental(SGDClassifier(random_state=0)).fit(lazy(X), y)
    expected = wrapper.decision_function(X)
    received = wrapper.decision_function(lazy(X))
    wrapper.partial_fit(lazy(X), y)
    np.testing.assert_array_equal(received, expected)
    assert (wrapper.decision_function(X) != expected).any()


def test_fit_clones_and_leaves_the_estimator_alone(data):
    estimator = LogisticRegression()
    wrapper = ParallelPostFit(estimator).fit(*data)
    assert not hasattr(estimator, "coef_")
    assert wrapper.coef_.shape == (3, 6)


def test_fit_on_a_collection_is_refused_before_any_read(data, no_compute):
    with pytest.raises(TypeError, match="X is a dask collection .*Incremental"):
        ParallelPostFit(LogisticRegression()).fit(lazy(data[0]), data[1])


def test_fit_passes_its_parameters_on(data):
    X, y = data
    weights = np.where(y == 0, 5.0, 1.0)
    wrapper = ParallelPostFit(LogisticRegression()).fit(X, y, sample_weight=weights)
    expected = LogisticRegression().fit(X, y, sample_weight=weights)
    np.testing.assert_array_equal(wrapper.coef_, expected.coef_)


def test_fit_transform_and_fit_predict(data):
    X, _ = data
    scaled = ParallelPostFit(StandardScaler()).fit_transform(X)
    np.testing.assert_array_equal(scaled, StandardScaler().fit_transform(X))
    labels = ParallelPostFit(KMeans(2, n_init=1, random_state=0)).fit_predict(X)
    assert set(labels) == {0, 1}


@pytest.mark.filterwarnings("ignore:.*TargetEncoder.random_state:FutureWarning")
def test_fit_transform_is_the_estimators_own(data):
    X, y = data[0], data[1] % 2
    encoder = TargetEncoder(random_state=0)
    received = ParallelPostFit(encoder).fit_transform(X.round(), y)
    expected = clone(encoder).fit_transform(X.round(), y)
    np.testing.assert_array_equal(received, expected)


def test_pipelines_and_searches_can_be_wrapped(data):
    X, y = data
    search = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression()),
        {"logisticregression__C": [0.1, 1]},
    )
    wrapper = ParallelPostFit(search).fit(X, y)
    np.testing.assert_array_equal(wrapper.predict(lazy(X)), wrapper.predict(X))
    assert set(wrapper.best_params_) == {"logisticregression__C"}


def test_learned_attributes_are_those_of_the_estimator(data):
    wrapper = ParallelPostFit(LogisticRegression())
    with pytest.raises(AttributeError, match="classes_"):
        wrapper.classes_  # noqa: B018
    wrapper.fit(*data)
    assert wrapper.classes_ is wrapper.estimator_.classes_
    assert wrapper.n_features_in_ == 6
    assert not hasattr(wrapper, "nonsense_")
    assert not hasattr(wrapper, "C")


def test_tags_are_those_of_the_estimator():
    assert is_classifier(ParallelPostFit(LogisticRegression()))
    assert is_regressor(ParallelPostFit(LinearRegression()))
    assert is_clusterer(ParallelPostFit(KMeans()))
    assert get_tags(ParallelPostFit(StandardScaler())).input_tags.allow_nan


def test_a_fitted_wrapper_pickles(data):
    X, y = data
    wrapper = ParallelPostFit(LogisticRegression()).fit(X, y)
    again = pickle.loads(pickle.dumps(wrapper))
    np.testing.assert_array_equal(again.predict(X), wrapper.predict(X))


def test_feature_names_out_are_those_of_the_estimator(frame):
    wrapper = ParallelPostFit(StandardScaler()).fit(frame)
    assert list(wrapper.get_feature_names_out()) == list("abcdef")


@pytest.mark.parametrize("on", ["array", "frame"])
def test_predictions_are_the_same_on_each_scheduler(scheduler, on, data, frame):
    wrapper = ParallelPostFit(RandomForestRegressor(3, random_state=0))
    wrapper.fit(frame if on == "frame" else data[0], data[1])
    collection = lazy(data[0]) if on == "array" else dd.from_pandas(frame, 3)
    known = frame if on == "frame" else data[0]
    np.testing.assert_array_equal(wrapper.predict(collection), wrapper.predict(known))


EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": "SGD fails it itself",
    "check_sample_weight_equivalence_on_sparse_data": "SGD fails it itself",
}


def expected_failures(wrapper):
    return EXPECTED_FAILURES if isinstance(wrapper.estimator, SGDClassifier) else {}


CHECKED = [
    ParallelPostFit(LogisticRegression()),
    ParallelPostFit(SGDClassifier(random_state=0)),
    ParallelPostFit(StandardScaler()),
]


@pytest.mark.parametrize(
    ("estimator", "check"), scikit_learns_checks(CHECKED, expected_failures)
)
@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_checks_pass(estimator, check):
    check(estimator)


def as_kind(kind, X, y):
    """Return an array, or a dataframe and series, of the same rows."""
    if kind == "array":
        return lazy(X), da.from_array(y, chunks=40)
    frame = pd.DataFrame(X).rename(columns=str)
    return dd.from_pandas(frame, 3), dd.from_pandas(pd.Series(y), 3)


on_each_kind = pytest.mark.parametrize("kind", ["array", "frame"])
IN_ORDER = Incremental(SGDClassifier(random_state=0), shuffle_blocks=False)


@on_each_kind
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_an_incremental_inside_is_fitted_block_by_block(method, kind, data):
    X, y = as_kind(kind, *data)
    expected = getattr(clone(IN_ORDER), method)(X, y)
    model = getattr(ParallelPostFit(IN_ORDER), method)(X, y)
    assert_same_state(model.estimator_.estimator_, expected.estimator_)
    assert model.n_iter_ == 1
    np.testing.assert_array_equal(model.predict(X), expected.predict(X))
    assert model.score(X, y) == expected.score(X, y)
    model.partial_fit(X, y)
    assert_same_state(
        model.estimator_.estimator_, expected.partial_fit(X, y).estimator_
    )
    assert not hasattr(IN_ORDER, "estimator_")


@on_each_kind
def test_scoring_and_meta_of_an_incremental_inside_are_used(kind, data):
    meta = pd.Series(dtype="int64")
    inside = Incremental(SGDClassifier(), scoring="f1_macro", predict_meta=meta)
    X, y = as_kind(kind, *data)
    model = ParallelPostFit(inside).fit(X, y)
    assert model.score(X, y) == model.estimator_.score(X, y)
    frame, _ = as_kind("frame", *data)
    assert isinstance(
        ParallelPostFit(inside).fit(*as_kind("frame", *data)).predict(frame), dd.Series
    )


@on_each_kind
def test_an_incremental_inside_fits_and_transforms(kind, data):
    X, _ = as_kind(kind, *data)
    received = ParallelPostFit(Incremental(StandardScaler())).fit_transform(X)
    expected = StandardScaler().fit_transform(data[0])
    np.testing.assert_allclose(received.compute(), expected, atol=1e-12)


def test_partial_fit_goes_on_from_what_was_learned_and_leaves_the_estimator(data):
    X, y = data
    begun = SGDClassifier(random_state=0).partial_fit(X[:40], y[:40], classes=range(3))
    expected = copy.deepcopy(begun).partial_fit(X[40:], y[40:])
    coef = begun.coef_.copy()
    model = ParallelPostFit(begun).partial_fit(X[40:], y[40:])
    assert_same_state(model.estimator_, expected)
    np.testing.assert_array_equal(begun.coef_, coef)
    assert_same_state(model.partial_fit(X, y).estimator_, expected.partial_fit(X, y))


def test_partial_fit_is_there_if_the_estimator_has_it():
    assert hasattr(ParallelPostFit(SGDClassifier()), "partial_fit")
    assert not hasattr(ParallelPostFit(LogisticRegression()), "partial_fit")


@on_each_kind
def test_partial_fit_of_a_plain_estimator_refuses_collections(kind, data, no_compute):
    X, y = as_kind(kind, *data)
    with pytest.raises(TypeError, match="X is a dask collection .*Incremental"):
        ParallelPostFit(SGDClassifier()).partial_fit(X, y, classes=[0, 1, 2])


@on_each_kind
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_lazy_y_and_lazy_weights_beside_an_x_in_memory_are_computed(
    method, kind, data
):
    X, y = data
    weight = np.random.default_rng(0).random(90)
    _, lazy_y = as_kind(kind, X, y)
    _, lazy_weight = as_kind(kind, X, weight)
    classes = {"classes": [0, 1, 2]} if method == "partial_fit" else {}
    received, expected = (
        getattr(ParallelPostFit(SGDClassifier(random_state=0)), method)(
            X, given, sample_weight=weights, **classes
        )
        for given, weights in ((lazy_y, lazy_weight), (y, weight))
    )
    assert_same_state(received.estimator_, expected.estimator_)
    score = received.score(X, lazy_y, lazy_weight)
    assert score == received.estimator_.score(X, y, weight)


class Sign:
    """An object that only predicts."""

    def predict(self, X):
        return (np.asarray(X)[:, 0] > 0).astype(int)


class Shares:
    """An object that only predicts probabilities."""

    def predict_proba(self, X):
        return np.abs(np.asarray(X)[:, :2])


class Double:
    """An object that only transforms."""

    def transform(self, X):
        return np.asarray(X) * 2


ONLY = [(Sign(), "predict"), (Shares(), "predict_proba"), (Double(), "transform")]


@on_each_kind
@pytest.mark.parametrize(("inside", "method"), ONLY)
def test_an_object_with_one_method_is_applied(inside, method, kind, data):
    X, y = as_kind(kind, *data)
    expected = getattr(inside, method)(data[0])
    model = ParallelPostFit(inside)
    for one in (model, clone(model), model.fit(data[0], data[1]), model.fit(X, y)):
        np.testing.assert_array_equal(getattr(one, method)(X).compute(), expected)
        np.testing.assert_array_equal(getattr(one, method)(data[0]), expected)
    there = {name for name in METHODS if hasattr(model, name)}
    assert there == {method} | ({"fit_transform"} if method == "transform" else set())


def test_a_wrapper_of_an_object_with_one_method_shows_itself():
    model = ParallelPostFit(Sign())
    assert "Sign" in repr(model)
    assert "Sign" in model._repr_html_()
    assert model.get_params() == {
        "estimator": model.estimator,
        "scoring": None,
        "predict_meta": None,
        "predict_proba_meta": None,
        "transform_meta": None,
    }
    assert not is_classifier(model)
    assert not get_tags(model).requires_fit


@on_each_kind
def test_an_object_without_tags_is_scored_by_scoring(kind, data):
    X, y = data
    model = ParallelPostFit(Sign(), scoring="accuracy")
    expected = np.mean(Sign().predict(X) == y)
    assert model.score(X, y) == expected
    assert model.score(*as_kind(kind, X, y)) == expected
    assert model.score(*as_kind(kind, X, y), compute=False).compute() == expected


class Unconventional(ClassifierMixin, BaseEstimator):
    """A classifier that keeps what it learned under a name without underscore."""

    def fit(self, X, y):
        self.model = LogisticRegression().fit(X, y)
        return self

    def predict(self, X):
        return self.model.predict(X)


@on_each_kind
def test_a_fitted_estimator_without_attributes_in_underscores_is_applied(kind, data):
    fitted = Unconventional().fit(*data)
    X, y = as_kind(kind, *data)
    model = ParallelPostFit(fitted)
    if kind == "frame":
        model = model.set_params(estimator=Unconventional().fit(X.compute(), data[1]))
    np.testing.assert_array_equal(model.predict(X), fitted.predict(data[0]))
    assert model.score(X, y) == fitted.score(*data)
    with pytest.raises(NotFittedError, match="Unconventional"):
        ParallelPostFit(Unconventional()).predict(X)


def test_a_wrapper_has_no_attributes_of_its_class_alone():
    wrapper = ParallelPostFit(LogisticRegression())
    assert getattr(wrapper, "__name__", None) is None
    assert not hasattr(wrapper, "mro")
