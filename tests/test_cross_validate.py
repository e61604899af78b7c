"""Cross-validation: one read for the models of all folds, one more for their scores."""

import dask
import dask.array as da
import dask.bag as db
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import LatentDirichletAllocation
from sklearn.exceptions import FitFailedWarning
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.metrics import accuracy_score
from sklearn.model_selection import TimeSeriesSplit
from sklearn.model_selection import cross_validate as scikit_learns
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from incremental import BlockKFold, Incremental, ParallelPostFit, cross_validate
from tests.contracts import (
    SGD,
    as_dask,
    assert_like_the_loop,
    assert_same_state,
    make_data,
    plain_loop,
)
from tests.estimators.test_merge import chunkings
from tests.graph.test_fold import Source
from tests.rows import Ledger, make_frame

CHUNKS = (10, 20, 5, 10, 15)


@pytest.fixture(scope="module")
def data():
    X, y, _ = make_data(SGD)
    return X, y


@pytest.fixture(scope="module")
def collections(data):
    return tuple(as_dask(one, CHUNKS) for one in data)


def in_order(estimator, **options):
    return Incremental(estimator, shuffle_blocks=False, **options)


def rows_of(chunks, positions):
    blocks = np.split(np.arange(sum(chunks)), np.cumsum(chunks)[:-1])
    return np.concatenate([blocks[at] for at in positions])


def assert_each_as_its_own_fit(wrapper, X, y, chunks, **options):
    """Compare the model of each fold with a fit on the blocks that it learns from."""
    lazy = as_dask(X, chunks), as_dask(y, chunks)
    results = cross_validate(
        wrapper, *lazy, return_estimator=True, return_indices=True, **options
    )
    pairs = zip(results["estimator"], results["indices"]["train"], strict=True)
    for model, train in pairs:
        rows = rows_of(chunks, train)
        own = [chunks[at] for at in train]
        alone = Incremental(**wrapper.get_params(deep=False))
        alone.fit(as_dask(X[rows], own), as_dask(y[rows], own))
        assert_like_the_loop(model.estimator_, alone.estimator_, X)


@pytest.mark.parametrize(
    "estimator",
    [
        SGD,
        GaussianNB(),
        MultinomialNB(),
        OneVsRestClassifier(SGD),
        make_pipeline(StandardScaler(), SGD),
        make_pipeline(FunctionTransformer(np.sqrt), SGD),
    ],
    ids=["linear", "bayes", "merged", "bundle", "scaled", "transformed"],
)
@settings(max_examples=2, deadline=None)
@given(
    chunks=chunkings(60).filter(lambda chunks: len(chunks) > 3),
    prefetch=st.integers(0, 3),
    batch_size=st.sampled_from([None, 7]),
    n_splits=st.integers(2, 4),
    max_iter=st.integers(1, 2),
)
def test_each_model_is_what_a_fit_makes_of_its_blocks(
    estimator, chunks, prefetch, batch_size, n_splits, max_iter
):
    X, y, _ = make_data(SGD)
    options = {"prefetch": prefetch, "batch_size": batch_size, "max_iter": max_iter}
    wrapper = in_order(estimator, classes=[0, 1, 2], **options)
    with dask.config.set(scheduler="threads", num_workers=2):
        assert_each_as_its_own_fit(wrapper, X, y, chunks, cv=n_splits)


def test_each_model_is_its_own_fit_on_each_scheduler(data, scheduler):
    wrapper = in_order(SGD, batch_size=7, classes=[0, 1, 2])
    assert_each_as_its_own_fit(wrapper, *data, CHUNKS, cv=2)


def test_rows_are_mixed_with_those_of_the_same_fold(data):
    wrapper = in_order(SGD, shuffle_rows=True, prefetch=2, random_state=0)
    assert_each_as_its_own_fit(wrapper, *data, CHUNKS, cv=3)


def test_models_take_their_blocks_in_the_order_that_is_drawn_for_all(data, collections):
    wrapper = Incremental(SGD, random_state=3)
    results = cross_validate(wrapper, *collections, cv=5, return_estimator=True)
    order = np.random.RandomState(3).permutation(5)
    params = {"classes": [0, 1, 2]}
    for fold, model in enumerate(results["estimator"]):
        own = [at for at in order if at != fold]
        assert_same_state(model.estimator_, plain_loop(SGD, *data, params, CHUNKS, own))


@pytest.mark.parametrize("max_iter", [1, 3])
def test_each_block_is_read_once_for_each_pass_and_once_for_the_scores(max_iter):
    source = Source(12)
    y = da.from_array(np.arange(120) % 2, chunks=10)
    wrapper = Incremental(SGD, max_iter=max_iter)
    scoring = ["accuracy", "roc_auc"]
    cross_validate(wrapper, source.array, y, scoring=scoring, return_train_score=True)
    assert source.reads == dict.fromkeys(range(12), max_iter + 1)


def test_blocks_of_no_fold_are_not_read():
    source = Source(4)
    y = da.from_array(np.arange(40) % 2, chunks=10)
    cross_validate(SGD, source.array, y, cv=[([0, 1], [3])], params={"classes": [0, 1]})
    assert source.reads == {0: 1, 1: 1, 3: 1}


@pytest.mark.parametrize("prefetch", [0, 2])
def test_no_more_blocks_live_than_the_look_ahead_and_one(prefetch):
    source = Source(20)
    y = da.from_array(np.arange(200) % 2, chunks=10)
    with dask.config.set(scheduler="threads", num_workers=1):
        cross_validate(Incremental(SGD, prefetch=prefetch), source.array, y)
    assert 1 <= source.most_live <= prefetch + 1


def test_scores_are_those_of_scikit_learn_on_the_same_rows(data, collections):
    X, y = data
    wrapper = in_order(SGD, classes=[0, 1, 2])
    options = {
        "scoring": {"a": "accuracy", "loss": "neg_mean_absolute_error"},
        "return_train_score": True,
    }
    results = cross_validate(
        wrapper, *collections, cv=5, return_estimator=True, **options
    )
    pairs = [
        (rows_of(CHUNKS, np.delete(np.arange(5), at)), rows_of(CHUNKS, [at]))
        for at in range(5)
    ]
    models = iter(results.pop("estimator"))

    class Ready(SGDClassifier):
        """The models that are fitted already."""

        def fit(self, X, y):
            self.__dict__.update(vars(next(models).estimator_))
            return self

    expected = scikit_learns(Ready(), X, y, cv=pairs, **options)
    assert list(results) == list(expected)
    for name in ("test_a", "train_a", "test_loss", "train_loss"):
        np.testing.assert_allclose(results[name], expected[name], rtol=1e-12)


def test_the_default_score_is_that_of_the_estimator_or_the_wrapper(collections):
    X, y = collections
    plain = cross_validate(in_order(SGD), X, y, scoring="accuracy")["test_score"]
    assert np.array_equal(cross_validate(in_order(SGD), X, y)["test_score"], plain)
    wrapper = in_order(SGD, scoring="matthews_corrcoef")
    own = cross_validate(wrapper, X, y)["test_score"]
    named = cross_validate(wrapper, X, y, scoring="matthews_corrcoef")["test_score"]
    assert np.array_equal(own, named)
    assert not np.array_equal(own, plain)


def test_models_are_of_the_kind_that_was_given(collections):
    X, y = collections
    options = {"return_estimator": True, "cv": 2}
    (plain, _) = cross_validate(SGD, X, y, **options)["estimator"]
    (wrapper, _) = cross_validate(Incremental(SGD), X, y, **options)["estimator"]
    assert type(plain) is SGDClassifier
    assert type(wrapper) is Incremental
    assert wrapper.predict(X).shape == (60,)
    assert wrapper.history_[0]["rows"] < 60
    assert not hasattr(SGD, "coef_")


def test_weights_are_cut_like_the_blocks(data, collections):
    w = np.arange(60.0)
    results = cross_validate(
        in_order(SGD), *collections, cv=2, params={"sample_weight": w},
        return_estimator=True,
    )  # fmt: skip
    rows = rows_of(CHUNKS, [3, 4])
    X, y = data
    expected = SGDClassifier(random_state=0)
    for part in (rows[:10], rows[10:]):
        expected.partial_fit(X[part], y[part], [0, 1, 2], w[part])
    assert_same_state(results["estimator"][0].estimator_, expected)


def test_frames_arrays_and_weights_of_unknown_lengths_pair():
    frame = make_frame(6).shuffle("k")
    ledger = in_order(Ledger(), classes=[0, 1])
    results = cross_validate(
        ledger, frame[["id", "k"]], frame["y"], cv=3,
        params={"sample_weight": frame["w"]}, return_estimator=True,
    )  # fmt: skip
    assert results["test_score"].tolist() == [1.0] * 3
    rows = [row for model in results["estimator"] for row in model.rows_]
    assert all(y == number % 2 and w == number + 1 for number, y, w in rows)
    # Each row is learned from by all models but one.
    assert sorted(number for number, *_ in rows) == sorted([*range(120)] * 2)


def test_empty_blocks_are_passed_over(data):
    lazy = [as_dask(one, (0, 20, 0, 10, 30)) for one in data]
    with pytest.warns(UserWarning, match="2 of 5 scores failed.*no rows"):
        scores = cross_validate(in_order(SGD), *lazy)["test_score"]
    assert np.isnan(scores).tolist() == [True, False, True, False, False]


def test_sparse_blocks_learn_and_are_scored(data, collections):
    X, y = collections
    sparse = X.map_blocks(sp.csr_matrix)
    model = in_order(MultinomialNB())
    dense = cross_validate(model, X, y)["test_score"]
    assert np.array_equal(cross_validate(model, sparse, y)["test_score"], dense)


def test_text_in_a_bag_is_scored():
    bag = db.from_sequence(["good", "bad", None, "good"] * 6, npartitions=6)
    y = da.from_array(np.array([1, 0, 0, 1] * 6), chunks=4)
    pipe = make_pipeline(HashingVectorizer(n_features=16), SGD)
    assert (
        cross_validate(in_order(pipe), bag, y, cv=3)["test_score"].tolist() == [1] * 3
    )


def test_an_estimator_without_y_is_scored_by_a_scorer(collections):
    X, _ = collections
    model = MiniBatchKMeans(2, random_state=0, n_init=1)

    def inertia(model, X, y=None):
        return float(len(model.predict(X)))

    scores = cross_validate(model, X, cv=5, scoring=inertia)["test_score"]
    assert scores.tolist() == list(CHUNKS)


def test_splitters_of_scikit_learn_split_the_blocks(collections):
    results = cross_validate(
        SGD, *collections, cv=TimeSeriesSplit(2), return_indices=True,
        params={"classes": [0, 1, 2]},
    )  # fmt: skip
    found = {
        name: [one.tolist() for one in at] for name, at in results["indices"].items()
    }
    assert found == {"train": [[0, 1, 2], [0, 1, 2, 3]], "test": [[3], [4]]}


def test_block_k_fold_and_a_number_make_the_same_folds(collections):
    options = {"return_indices": True}
    splitter = BlockKFold(3, shuffle=True, random_state=1)
    one = cross_validate(SGD, *collections, cv=splitter, **options)["indices"]
    other = cross_validate(
        SGD, *collections, cv=3, shuffle=True, random_state=1, **options
    )["indices"]
    assert str(one) == str(other)


class Picky(SGDClassifier):
    """Fails on rows whose first value is that of the first block."""

    def partial_fit(self, X, y, classes=None):
        if X[0, 0] == 0:
            raise ArithmeticError("no zeros")
        return super().partial_fit(X, y, classes)

    def predict(self, X):
        if X[0, 0] == 1:
            raise ArithmeticError("no ones")
        return super().predict(X)


@pytest.fixture
def numbered():
    return Source(4).array, da.from_array(np.arange(40) % 2, chunks=10)


def test_a_model_that_fails_gets_the_error_score(numbered):
    X, y = numbered
    with pytest.warns(FitFailedWarning, match="3 of 4 models failed.*no zeros"):
        results = cross_validate(
            Picky(), X, y, cv=4, error_score=-1, return_estimator=True
        )
    assert results["test_score"].tolist() == [0.5, -1, -1, -1]
    assert [hasattr(one, "coef_") for one in results["estimator"]] == [1, 0, 0, 0]


def test_a_score_that_fails_is_the_error_score(numbered):
    X, y = numbered
    with pytest.warns(UserWarning, match="1 of 2 scores failed.*no ones"):
        results = cross_validate(
            Picky(), X, y, cv=[([2], [1]), ([2], [3])], params={"classes": [0, 1]}
        )
    assert np.isnan(results["test_score"]).tolist() == [True, False]


@pytest.mark.parametrize("cv", [4, [([2], [1])]], ids=["fit", "score"])
def test_errors_are_raised_if_that_is_asked_for(cv, numbered):
    with pytest.raises(ArithmeticError, match="no (zeros|ones)"):
        cross_validate(
            Picky(), *numbered, cv=cv, error_score="raise", params={"classes": [0, 1]}
        )


def test_an_error_names_the_fold(numbered):
    with pytest.raises(ArithmeticError) as caught:
        cross_validate(Picky(), *numbered, cv=4, error_score="raise")
    assert any("the model of fold" in note for note in caught.value.__notes__)


def test_all_models_that_fail_are_an_error(numbered):
    with pytest.raises(ValueError, match="All 2 models failed.*no zeros"):
        cross_validate(Picky(), *numbered, cv=[([0, 1], [2]), ([0], [1])])


def test_other_columns_in_one_block_are_an_error_of_the_models_that_read_it():
    def rename(part, partition_info=None):
        odd = partition_info is not None and partition_info["number"] == 1
        return part.rename(columns={"k": "q"}) if odd else part

    frame = make_frame(4)
    X = frame[["id", "k"]].map_partitions(
        rename, meta=frame[["id", "k"]]._meta, enforce_metadata=False
    )
    with pytest.warns() as caught:
        scores = cross_validate(in_order(SGD), X, frame["y"], cv=4)["test_score"]
    assert {one.category for one in caught} == {FitFailedWarning, UserWarning}
    assert np.isnan(scores).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cv": 6}, "cv=6 makes 6 folds .* X has 5; expected at least 6"),
        ({"cv": BlockKFold(6)}, "6 folds .* X has 5"),
        ({"scoring": "nonsense"}, "nonsense"),
        ({"error_score": "nan"}, "error_score must be 'raise' or a number"),
        ({"params": {"nonsense": 1}}, "nonsense"),
    ],
    ids=str,
)
def test_wrong_calls_fail_before_anything_is_read(
    options, message, collections, no_compute
):
    with pytest.raises((ValueError, TypeError), match=message):
        cross_validate(SGD, *collections, **options)


def test_data_in_memory_are_too_few_blocks(data):
    with pytest.raises(ValueError, match=r"X has 1.*scikit-learn's own tools"):
        cross_validate(SGD, *data)


def test_a_score_that_does_not_reduce_by_block_is_refused(collections, no_compute):
    with pytest.raises(TypeError, match="Allocation has a `score` of its own"):
        cross_validate(LatentDirichletAllocation(), *collections)


def test_y_is_needed_for_the_own_score(collections, no_compute):
    with pytest.raises(ValueError, match="y must be given"):
        cross_validate(SGDRegressor(), collections[0])


@pytest.mark.parametrize(
    ("estimator", "error", "message"),
    [
        (ParallelPostFit(SGD), TypeError, "cannot be fitted beside others"),
        (Incremental(SGD, early_stopping=True), ValueError, "early_stopping=True"),
    ],
    ids=["without partial_fit", "early stopping"],
)
def test_wrappers_that_need_a_fit_of_their_own_are_refused(
    estimator, error, message, collections, no_compute
):
    with pytest.raises(error, match=message):
        cross_validate(estimator, *collections)


def test_verbose_prints_a_line_for_each_fold(collections, capsys):
    cross_validate(SGD, *collections, verbose=1)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        f"Fold {n} of 5" for n in range(5)
    ]


def test_a_scorer_may_predict_for_rows_of_its_own(data, collections):
    X, y = data

    def score(model, X_given, y_given):
        return accuracy_score(y[:12], model.predict(X[:12]))

    found = cross_validate(
        in_order(SGD), *collections, scoring=score, return_estimator=True
    )
    expected = [one.estimator_.score(X[:12], y[:12]) for one in found["estimator"]]
    assert found["test_score"].tolist() == expected


def test_a_scorer_may_ask_for_the_score_of_the_model(collections):
    found = cross_validate(
        in_order(SGD),
        *collections,
        scoring={"own": lambda model, X, y: model.score(X, y), "accuracy": "accuracy"},
    )
    assert found["test_own"].tolist() == found["test_accuracy"].tolist()


def test_a_scorer_that_fails_leaves_the_scores_of_others():
    X = da.arange(50, chunks=10)[:, None] / 50
    y = da.arange(50, chunks=10) // 10 % 2
    with pytest.warns(UserWarning, match="5 of 10 scores failed.*one class"):
        found = cross_validate(
            Incremental(SGDClassifier(random_state=0), classes=[0, 1]),
            X,
            y,
            scoring={"accuracy": "accuracy", "broken": _fails_with_one_class},
            error_score=-1.0,
        )
    assert found["test_broken"].tolist() == [-1.0] * 5
    assert (found["test_accuracy"] >= 0).all()


def _fails_with_one_class(model, X, y):
    if len(set(y)) == 1:
        raise ValueError("one class")
    return 1.0
