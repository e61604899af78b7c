"""What is checked of every estimator, and the estimators."""

import warnings
from types import FunctionType

import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import BaseEstimator, clone
from sklearn.cluster import Birch, MiniBatchKMeans
from sklearn.decomposition import (
    IncrementalPCA,
    LatentDirichletAllocation,
    MiniBatchDictionaryLearning,
    MiniBatchNMF,
)
from sklearn.ensemble import VotingClassifier, VotingRegressor
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import (
    PassiveAggressiveClassifier,
    PassiveAggressiveRegressor,
    Perceptron,
    SGDClassifier,
    SGDOneClassSVM,
    SGDRegressor,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.naive_bayes import (
    BernoulliNB,
    CategoricalNB,
    ComplementNB,
    GaussianNB,
    MultinomialNB,
)
from sklearn.neural_network import BernoulliRBM, MLPClassifier, MLPRegressor
from sklearn.preprocessing import (
    LabelEncoder,
    MaxAbsScaler,
    MinMaxScaler,
    StandardScaler,
)
from sklearn.utils import Bunch, gen_batches
from sklearn.utils.estimator_checks import estimator_checks_generator

from incremental._blocks.rows import n_rows
from incremental._estimators.composition import least_rows

SGD = SGDClassifier(random_state=0)
N_ROWS = 60

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)
    PASSIVE = [
        PassiveAggressiveClassifier(random_state=0),
        PassiveAggressiveRegressor(random_state=0),
    ]

ESTIMATORS = [
    BernoulliNB(),
    CategoricalNB(),
    ComplementNB(),
    GaussianNB(),
    MultinomialNB(),
    Perceptron(random_state=0),
    SGD,
    SGDClassifier(random_state=np.random.RandomState(0), average=True),
    MLPClassifier(hidden_layer_sizes=(4,), random_state=0),
    SGDRegressor(random_state=0),
    MLPRegressor(hidden_layer_sizes=(4,), random_state=0),
    SGDOneClassSVM(random_state=0),
    StandardScaler(),
    MiniBatchKMeans(n_clusters=2, random_state=0, n_init=1),
    MinMaxScaler(),
    MaxAbsScaler(),
    BernoulliRBM(n_components=2, random_state=0),
    LatentDirichletAllocation(n_components=2, random_state=0),
    MiniBatchDictionaryLearning(n_components=2, random_state=0),
    HashingVectorizer(n_features=16),
    Birch(n_clusters=None),
    IncrementalPCA(n_components=2),
    MiniBatchNMF(n_components=2, random_state=0),
    MultiOutputClassifier(SGD),
    MultiOutputRegressor(SGDRegressor(random_state=0)),
    OneVsOneClassifier(SGD),
    OneVsRestClassifier(SGD),
    SelectFromModel(SGD),
    *PASSIVE,
]
# They have no `partial_fit`, and learn all the same.
VOTING = [
    VotingClassifier(
        [("sgd", SGD), ("left out", "drop"), ("bayes", GaussianNB())],
        voting="hard",
        weights=[2, 5, 1],
    ),
    VotingClassifier(
        [("bayes", GaussianNB()), ("counts", MultinomialNB())],
        voting="soft",
    ),
    VotingRegressor(
        [
            ("sgd", SGDRegressor(random_state=0)),
            ("net", MLPRegressor(hidden_layer_sizes=(4,), random_state=0)),
        ]
    ),
]
CLASSIFIERS = (
    BernoulliNB,
    CategoricalNB,
    ComplementNB,
    GaussianNB,
    MultinomialNB,
    Perceptron,
    SGDClassifier,
    MLPClassifier,
    MultiOutputClassifier,
    OneVsOneClassifier,
    OneVsRestClassifier,
    SelectFromModel,
    PassiveAggressiveClassifier,
    VotingClassifier,
)


def name_of(estimator):
    return type(estimator).__name__


def make_data(estimator, seed=0):
    """Make X, y and the parameters of the fit that suit an estimator."""
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 3, size=(N_ROWS, 4)).astype(float) + 0.0
    if not isinstance(estimator, CategoricalNB):
        X += rng.random(X.shape)
    if isinstance(estimator, HashingVectorizer):
        return np.array([f"word{n} and" for n in range(N_ROWS)], dtype=object), None, {}
    y = rng.integers(0, 3, size=N_ROWS)
    if isinstance(estimator, MultiOutputClassifier):
        return X, np.stack([y, y % 2], axis=1), {"classes": [[0, 1, 2], [0, 1]]}
    if isinstance(estimator, MultiOutputRegressor):
        return X, np.stack([y, -y], axis=1) + 0.5, {}
    if isinstance(estimator, CLASSIFIERS):
        return X, y, {"classes": [0, 1, 2]}
    return X, y + 0.25, {}


def plain_loop(estimator, X, y, params, chunks, order=None, batch_size=None):
    """Fit a clone by the loop that everything is compared to."""
    estimator = clone(estimator)
    blocks = np.split(np.arange(n_rows(X)), np.cumsum(chunks)[:-1])
    parts = [blocks[at] for at in (range(len(chunks)) if order is None else order)]
    if batch_size is not None:
        rows = np.concatenate(parts)
        least = least_rows(estimator)
        spare = least if least > 1 else 0
        batches = gen_batches(len(rows), batch_size, min_batch_size=spare)
        parts = [rows[batch] for batch in batches]
    for rows in filter(len, parts):
        data = (X[rows],) if y is None else (X[rows], y[rows])
        if isinstance(estimator, VotingClassifier | VotingRegressor):
            vote(estimator, *data, **params)
        else:
            estimator.partial_fit(*data, **params)
    return estimator


def vote(voting, X, y, classes=None, **weights):
    """Let each estimator of a voting one learn, as its own `fit` does it."""
    if isinstance(voting, VotingClassifier):
        if not hasattr(voting, "le_"):
            voting.le_ = LabelEncoder().fit(classes)
            voting.classes_ = voting.le_.classes_
        weights["classes"] = np.arange(len(voting.classes_))
        y = voting.le_.transform(y)
    kept = [one for _, one in voting.estimators if one != "drop"]
    if not hasattr(voting, "estimators_"):
        voting.estimators_ = [clone(one) for one in kept]
    for one in voting.estimators_:
        one.partial_fit(X, y, **weights)
    fitted = iter(voting.estimators_)
    voting.named_estimators_ = Bunch(
        **{n: "drop" if one == "drop" else next(fitted) for n, one in voting.estimators}
    )


def as_dask(values, chunks):
    if values is None:
        return None
    return da.from_array(values, chunks=(tuple(chunks), *values.shape[1:]), name=False)


def assert_same_state(one, other, path="estimator", seen=None):
    """Compare two objects through and through, every array bit by bit."""
    seen = set() if seen is None else seen
    if id(one) in seen:
        return
    seen.add(id(one))
    assert type(one) is type(other), path
    if isinstance(one, np.random.RandomState):
        assert_same_state(one.get_state(), other.get_state(), path, seen)
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype, path
        if one.dtype == object:
            assert_same_state(list(one), list(other), path, seen)
        else:
            assert one.shape == other.shape, path
            assert one.tobytes() == other.tobytes(), path
    elif isinstance(one, dict):
        assert list(one) == list(other), path
        for key in one:
            assert_same_state(one[key], other[key], f"{path}[{key!r}]", seen)
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), path
        for place, (left, right) in enumerate(zip(one, other, strict=True)):
            assert_same_state(left, right, f"{path}[{place}]", seen)
    elif isinstance(one, float):
        assert np.float64(one).tobytes() == np.float64(other).tobytes(), path
    elif hasattr(one, "__dict__") and not isinstance(one, type | FunctionType):
        assert_same_state(vars(one), vars(other), path, seen)
    elif isinstance(one, int | str | bytes | bool | type(None) | np.generic):
        assert one == other, path


def assert_close(received, expected, X):
    """Compare the attributes of scalers within 1e-12 of the size of the data."""
    assert set(vars(received)) == set(vars(expected))
    size = np.nanmax(np.abs(X.data if sp.issparse(X) else X), initial=1.0)
    for name, wanted in vars(expected).items():
        got = getattr(received, name)
        if isinstance(wanted, np.ndarray | np.number):
            assert (np.shape(got), got.dtype) == (np.shape(wanted), wanted.dtype), name
            atol = 1e-12 * (size**2 if name == "var_" else size)
            np.testing.assert_allclose(got, wanted, 1e-12, atol, err_msg=name)
        else:
            assert got == wanted


def assert_like_the_loop(received, expected, X):
    """Compare bit by bit, but for moments that are merged."""
    if type(expected) is StandardScaler:
        assert_close(received, expected, X)
    else:
        assert_same_state(received, expected)


def scikit_learns_checks(estimators, expected_failures):
    """List scikit-learn's checks of estimators, as parameters of a test."""
    cases = []
    for estimator in estimators:
        for case in estimator_checks_generator(
            estimator,
            expected_failed_checks=expected_failures(estimator),
            mark="xfail",
        ):
            given, check = getattr(case, "values", case)
            name = f"{name_of(estimator.estimator)}-{check.func.__name__}"
            marks = getattr(case, "marks", ())
            cases.append(pytest.param(given, check, id=name, marks=marks))
    return cases


class Recorder(BaseEstimator):
    """Keeps what `partial_fit` is called with."""

    def partial_fit(self, X, y=None, sample_weight=None, note=None):
        self.calls_ = [*getattr(self, "calls_", []), (X, y, sample_weight, note)]
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X):
        return np.asarray(X).sum(axis=1)

    def score(self, X, y=None):
        return 0.0
