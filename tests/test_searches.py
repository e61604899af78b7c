"""Searches: one stream of blocks for all candidates, and scikit-learn's results."""

import pickle
import time
from contextlib import contextmanager

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import loguniform
from sklearn.base import BaseEstimator, clone
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import LatentDirichletAllocation
from sklearn.exceptions import FitFailedWarning
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.metrics import get_scorer
from sklearn.model_selection import cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import incremental._base_search
from incremental import (
    HyperbandSearchCV,
    Incremental,
    IncrementalSearchCV,
    ParallelPostFit,
    SuccessiveHalvingSearchCV,
)
from incremental._graph.fold import map_blocks
from tests.contracts import as_dask, assert_same_state
from tests.estimators.test_merge import chunkings
from tests.graph.test_fold import Source

SGD = SGDClassifier(random_state=0)
ALPHAS = {"alpha": [1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0, 1000.0]}
CHUNKS = (10,) * 12


@pytest.fixture(scope="module")
def arrays():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 4))
    return X, (X[:, 0] + rng.normal(size=120) > 0).astype(int)


@pytest.fixture(scope="module")
def data(arrays):
    return tuple(as_dask(one, CHUNKS) for one in arrays)


@contextmanager
def watching_searches():
    """Hold the searches that run, with their candidates."""
    ran = []
    run = incremental._base_search.Search.run

    def watched(search, state):
        ran.append((search, state.candidates))
        run(search, state)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(incremental._base_search.Search, "run", watched)
        yield ran


@pytest.fixture
def ended():
    """Hold the searches that ran, with the candidates as they ended."""
    with watching_searches() as ran:
        yield ran


def halving(estimator=SGD, parameters=ALPHAS, **options):
    options = {"n_initial_parameters": "grid", "n_initial_iter": 2, **options}
    return SuccessiveHalvingSearchCV(
        estimator, parameters, **{"random_state": 0, **options}
    )


def plain(estimator=SGD, parameters=ALPHAS, **options):
    options = {"n_initial_parameters": "grid", "max_iter": 4, **options}
    return IncrementalSearchCV(estimator, parameters, **{"random_state": 0, **options})


def assert_each_as_its_own_loop(ran, X, y, chunks, batch_size=None, **params):
    """Compare each candidate with the plain loop over the rows that it took."""
    ((search, candidates),) = ran
    starts = np.split(np.arange(len(y)), np.cumsum(chunks)[:-1])
    taken = [rows for at, rows in enumerate(starts) if at not in search.held_out]
    if batch_size is not None:
        rows = np.concatenate(taken)
        taken = [rows[at : at + batch_size] for at in range(0, len(rows), batch_size)]
    for one in candidates:
        expected = clone(one.learner.session.fresh)
        for at in range(one.calls):
            rows = taken[at % len(taken)]
            if len(rows):
                expected.partial_fit(X[rows], y[rows], **params)
        assert_same_state(one.progress.fitting.estimator, expected)


@pytest.mark.parametrize(
    ("estimator", "name"),
    [
        (SGD, "alpha"),
        (OneVsRestClassifier(SGD), "estimator__alpha"),
        (make_pipeline(StandardScaler(), SGD), "sgdclassifier__alpha"),
    ],
    ids=["plain", "bundle", "pipeline"],
)
def test_each_candidate_is_what_its_own_fit_makes_of_its_blocks(estimator, name, ended):
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(120, 4)), rng.integers(0, 3, 120)
    wrapper = Incremental(estimator, shuffle_blocks=False, classes=[0, 1, 2])
    parameters = {f"estimator__{name}": ALPHAS["alpha"]}
    search = halving(wrapper, parameters, n_initial_iter=1)
    search.fit(as_dask(X, CHUNKS), as_dask(y, CHUNKS))
    ((ran, candidates),) = ended
    assert sorted(one.calls for one in candidates) == [1] * 6 + [3] * 2 + [9]
    left = np.delete(np.arange(12), ran.held_out)
    for one in candidates:
        rows = np.concatenate(
            [np.arange(10 * at, 10 * at + 10) for at in left[: one.calls]]
        )
        chunks = (10,) * one.calls
        own = clone(wrapper).set_params(**one.params)
        own.fit(as_dask(X[rows], chunks), as_dask(y[rows], chunks))
        assert_same_state(one.progress.fitting.estimator, own.estimator_)


@settings(max_examples=4, deadline=None)
@given(
    chunks=chunkings(40).filter(lambda chunks: len(chunks) > 3),
    prefetch=st.integers(0, 3),
    test_size=st.sampled_from([None, 0.3]),
)
def test_candidates_are_those_of_their_own_fits_for_any_cuts(
    chunks, prefetch, test_size
):
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(40, 4)), rng.integers(0, 2, 40)
    wrapper = Incremental(SGD, shuffle_blocks=False, prefetch=prefetch, classes=[0, 1])
    search = halving(
        wrapper,
        {"estimator__alpha": ALPHAS["alpha"]},
        n_initial_iter=1,
        test_size=test_size,
    )
    with watching_searches() as ran:
        search.fit(as_dask(X, chunks), as_dask(y, chunks))
    assert_each_as_its_own_loop(ran, X, y, chunks, classes=[0, 1])


@settings(max_examples=6, deadline=None)
@given(
    chunks=chunkings(40).filter(lambda chunks: sum(map(bool, chunks)) > 3),
    batch_size=st.integers(1, 25),
    first=st.integers(1, 3),
    scheduler=st.sampled_from(["synchronous", "threads"]),
)
def test_a_unit_is_a_batch_that_goes_on_across_blocks(
    chunks, batch_size, first, scheduler
):
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(40, 4)), rng.integers(0, 2, 40)
    wrapper = Incremental(
        SGD, shuffle_blocks=False, batch_size=batch_size, classes=[0, 1]
    )
    parameters = {"estimator__alpha": ALPHAS["alpha"]}
    search = halving(wrapper, parameters, n_initial_iter=first)
    with watching_searches() as ran, dask.config.set(scheduler=scheduler):
        search.fit(as_dask(X, chunks), as_dask(y, chunks))
    calls = sorted(one.calls for one in ran[0][1])
    assert calls == [first] * 6 + [3 * first] * 2 + [9 * first]
    assert_each_as_its_own_loop(ran, X, y, chunks, batch_size, classes=[0, 1])


def test_a_block_is_read_once_also_where_rungs_end_within_it():
    source = Source(4)
    y = da.from_array(np.arange(40) % 2, chunks=10)
    wrapper = Incremental(SGD, batch_size=3)
    plain(wrapper, {"estimator__alpha": [0.1, 1.0]}, max_iter=10).fit(source.array, y)
    assert sorted(source.reads.values()) == [1, 1, 1, 10]


def test_batches_of_blocks_of_unknown_lengths_are_counted_first(arrays):
    frame = pd.DataFrame(arrays[0], columns=list("abcd")).assign(y=arrays[1])
    frame = dd.from_pandas(frame, npartitions=4)
    wrapper = Incremental(SGD, batch_size=7)
    search = plain(wrapper, {"estimator__alpha": [0.1, 1.0]}, max_iter=9)
    with pytest.warns(da.PerformanceWarning, match="batches go on across blocks"):
        search.fit(frame[list("abcd")], frame["y"])
    assert search.best_estimator_.t_ == 1 + 9 * 7


@pytest.mark.parametrize(
    "kind", [np.asarray, pd.DataFrame, sp.csr_matrix, lambda X: X.tolist()]
)
@pytest.mark.parametrize("batch_size", [None, 7])
def test_data_in_memory_are_cut_into_rows_drawn_at_random(kind, batch_size, arrays):
    X, y = arrays
    wrapper = Incremental(SGD, batch_size=batch_size)
    search = plain(wrapper, {"estimator__alpha": [0.01, 1.0]}, max_iter=18)
    with watching_searches() as ran:
        search.fit(kind(X), y, sample_weight=np.arange(120))
    ((ran_search, candidates),) = ran
    blocks = map_blocks(ran_search.stream.blocks, lambda block: block, name="look")
    assert len(blocks) == 10
    assert len(ran_search.held_out) == 1
    rows = np.concatenate([block["sample_weight"] for block in blocks])
    assert sorted(rows) == list(range(120))
    assert list(rows) != list(range(120))
    for one in candidates:
        assert one.calls == 18
    for block in blocks:
        np.testing.assert_array_equal(block["y"], y[block["sample_weight"]])
    again = plain(wrapper, {"estimator__alpha": [0.01, 1.0]}, max_iter=18)
    again.fit(kind(X), y, sample_weight=np.arange(120))
    assert_same_state(
        again.best_estimator_.estimator_, search.best_estimator_.estimator_
    )


def test_documents_in_memory_are_searched():
    documents = [f"{'good' if at % 2 else 'bad'} {at}" for at in range(60)]
    estimator = make_pipeline(HashingVectorizer(n_features=64), SGD)
    search = plain(estimator, {"sgdclassifier__alpha": [1e-3, 1.0]}, max_iter=9)
    search.fit(documents, np.arange(60) % 2)
    assert search.best_score_ == 1.0


def test_mixed_rows_are_all_learned_by_the_time_a_candidate_ends(data, ended):
    wrapper = Incremental(SGD, shuffle_rows=True, prefetch=2)
    halving(wrapper, {"estimator__alpha": ALPHAS["alpha"]}).fit(*data)
    ((_, candidates),) = ended
    for one in candidates:
        assert one.progress.fitting.n_rows == 10 * one.calls


def test_a_seed_gives_the_same_winner_on_each_scheduler(data, scheduler):
    options = {"parameters": {"alpha": [1e-3, 0.1, 1.0]}, "n_initial_iter": 1}
    data = [one[:40] for one in data]
    search = halving(random_state=3, **options).fit(*data)
    with dask.config.set(scheduler="synchronous"):
        expected = halving(random_state=3, **options).fit(*data)
    assert_same_state(search.best_estimator_, expected.best_estimator_)
    np.testing.assert_array_equal(
        search.cv_results_["test_score"], expected.cv_results_["test_score"]
    )


def test_each_block_is_read_once_a_pass_and_once_a_rung():
    source = Source(10)
    y = da.from_array(np.arange(100) % 2, chunks=10)
    search = halving(n_initial_iter=3).fit(source.array, y)
    # Rungs after 3, 9 and 27 blocks, of a stream of 9 blocks.
    held_out = [at for at in source.reads if source.reads[at] == 3]
    assert sorted(source.reads.values()) == [3] * 10
    assert len(held_out) == 10
    assert max(search.cv_results_["partial_fit_calls"]) == 27


def test_held_out_blocks_are_read_once_for_each_score_of_all():
    source = Source(10)
    y = da.from_array(np.arange(100) % 2, chunks=10)
    plain(max_iter=8, fits_per_score=2, test_size=0.2).fit(source.array, y)
    assert sorted(source.reads.values()) == [1] * 8 + [4] * 2


class Slow(SGDClassifier):
    """Takes its time."""

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        time.sleep(0.002)
        return super().partial_fit(X, y, classes)


@pytest.mark.parametrize("batch_size", [None, 4])
def test_no_more_blocks_live_than_the_look_ahead_while_chains_are_slow(batch_size):
    source = Source(15)
    y = da.from_array(np.arange(150) % 2, chunks=10)
    wrapper = Incremental(Slow(random_state=0), prefetch=1, batch_size=batch_size)
    parameters = {"estimator__alpha": ALPHAS["alpha"][:4]}
    options = {"max_iter": 14, "fits_per_score": 7}
    with dask.config.set(scheduler="threads", num_workers=2):
        plain(wrapper, parameters, **options).fit(source.array, y)
    # One more is held while a rung ends within it.
    assert source.most_live <= 2 + (batch_size is not None)


@pytest.mark.parametrize("prefetch", [0, 2])
def test_no_more_blocks_live_than_the_look_ahead_and_one(prefetch):
    source = Source(20)
    y = da.from_array(np.arange(200) % 2, chunks=10)
    wrapper = Incremental(SGD, prefetch=prefetch)
    parameters = {"estimator__alpha": ALPHAS["alpha"]}
    with dask.config.set(scheduler="threads", num_workers=2):
        plain(wrapper, parameters, max_iter=19, fits_per_score=19).fit(source.array, y)
    assert 1 <= source.most_live <= prefetch + 1


@pytest.mark.parametrize("scoring", [None, "accuracy", "neg_log_loss"])
def test_the_score_is_that_of_the_best_on_the_held_out_blocks(
    scoring, arrays, data, ended
):
    estimator = SGDClassifier(loss="log_loss", random_state=0)
    search = plain(estimator, scoring=scoring, test_size=0.3).fit(*data)
    ((ran, _),) = ended
    assert len(ran.held_out) == 4
    rows = np.concatenate([np.arange(10 * at, 10 * at + 10) for at in ran.held_out])
    X, y = arrays
    scorer = get_scorer(scoring or "accuracy")
    expected = scorer(search.best_estimator_, X[rows], y[rows])
    assert search.best_score_ == pytest.approx(expected, rel=1e-12)
    assert search.scorer_(search.best_estimator_, X[rows], y[rows]) == expected


def test_the_results_have_the_keys_of_scikit_learn_and_load_as_a_frame(data):
    search = plain(parameters=[{"alpha": [0.1, 1.0]}, {"eta0": [0.5]}]).fit(*data)
    frame = pd.DataFrame(search.cv_results_)
    assert len(frame) == 3
    assert {
        "model_id",
        "params",
        "param_alpha",
        "param_eta0",
        "partial_fit_calls",
        "test_score",
        "mean_test_score",
        "rank_test_score",
        "mean_partial_fit_time",
        "mean_score_time",
    } <= set(frame)
    assert list(search.cv_results_["param_alpha"].mask) == [False, False, True]
    best = search.best_index_
    assert frame["rank_test_score"][best] == 1
    assert search.best_params_ == frame["params"][best]
    assert search.best_score_ == frame["test_score"].max()
    assert search.n_splits_ == 1


def test_several_scorers_are_computed_in_one_read_and_one_decides(arrays):
    source = Source(12)
    y = as_dask(arrays[1], CHUNKS)
    scoring = {"fraction": "accuracy", "loss": "neg_log_loss"}
    estimator = SGDClassifier(loss="log_loss", random_state=0)
    options = {"max_iter": 4, "fits_per_score": 2, "scoring": scoring}
    search = plain(estimator, refit="loss", **options).fit(source.array, y)
    assert sorted(source.reads.values())[-1] == 2
    results = search.cv_results_
    assert {f"{key}_test_fraction" for key in ("mean", "std", "rank", "split0")} < set(
        results
    )
    assert search.best_index_ == results["mean_test_loss"].argmax()
    assert search.best_score_ == results["mean_test_loss"].max()
    assert set(search.scorer_) == set(scoring)
    single = plain(estimator, **{**options, "scoring": "accuracy"})
    single.fit(source.array, y)
    np.testing.assert_array_equal(
        results["mean_test_fraction"], single.cv_results_["mean_test_score"]
    )
    assert {"score", "fraction", "loss"} < set(search.history_[0])


def test_refit_must_name_one_of_the_scorers(data, no_compute):
    search = plain(scoring=["accuracy", "balanced_accuracy"], refit="f1")
    with pytest.raises(ValueError, match="refit must be the name of the scorer"):
        search.fit(*data)


def test_the_history_has_a_record_of_each_score(data):
    search = halving().fit(*data)
    assert len(search.history_) == 9 + 3 + 1
    calls = [
        at["partial_fit_calls"] for at in search.model_history_[search.best_index_]
    ]
    assert calls in ([2], [2, 6], [2, 6, 18])
    assert search.metadata_["partial_fit_calls"] == 9 * 2 + 3 * 4 + 1 * 12


def test_the_best_of_a_rung_go_on(data):
    search = halving().fit(*data)
    first = [records[0]["score"] for records in search.model_history_.values()]
    went_on = search.cv_results_["partial_fit_calls"] > 2
    expected = np.argsort(-np.array(first), kind="stable")[:3]
    assert sorted(np.flatnonzero(went_on)) == sorted(expected)
    assert len(set(first)) > 1


def test_ties_go_to_the_first(data):
    search = halving(parameters={"alpha": [0.01] * 9}).fit(*data)
    assert list(search.cv_results_["partial_fit_calls"]) == [18, 6, 6] + [2] * 6
    assert plain(parameters={"alpha": [0.01] * 9}).fit(*data).best_index_ == 0


def test_halving_ends_at_max_iter(data):
    search = halving(max_iter=5).fit(*data)
    assert sorted(search.cv_results_["partial_fit_calls"]) == [2] * 6 + [5] * 3


def test_hyperband_knows_its_work_before_the_fit():
    metadata = HyperbandSearchCV(SGD, ALPHAS, max_iter=81).metadata
    assert metadata["n_models"] == 143
    assert metadata["partial_fit_calls"] == 297 + 276 + 279 + 324 + 405
    assert [one["n_models"] for one in metadata["brackets"]] == [81, 34, 15, 8, 5]
    assert metadata["brackets"][0]["decisions"] == [1, 3, 9, 27, 81]


def test_the_work_of_a_schedule_out_of_range_is_refused():
    with pytest.raises(ValueError, match="aggressiveness must be an integer of 2"):
        HyperbandSearchCV(SGD, ALPHAS, aggressiveness=1).metadata  # noqa: B018


def test_the_brackets_of_hyperband_learn_from_one_stream():
    source = Source(10)
    y = da.from_array(np.arange(100) % 2, chunks=10)
    search = HyperbandSearchCV(
        SGD, {"alpha": loguniform(1e-5, 1)}, max_iter=9, random_state=0
    )
    search.fit(source.array, y)
    # 9 blocks to learn from, and scores of all that are due after 1, 3 and 9.
    assert sorted(source.reads.values()) == [1] * 9 + [3]
    assert search.metadata_ == search.metadata
    assert len(search.cv_results_["params"]) == search.metadata["n_models"]


def test_patience_ends_candidates_whose_score_does_not_rise(data):
    search = plain(max_iter=60, patience=6, tol=1.1).fit(*data)
    assert set(search.cv_results_["partial_fit_calls"]) == {7}
    unlimited = plain(max_iter=20).fit(*data)
    assert set(unlimited.cv_results_["partial_fit_calls"]) == {20}


def test_patience_of_a_halving_adds_scores_and_no_cuts(data):
    search = halving(n_initial_iter=12, patience=3, tol=1.0).fit(*data)
    assert set(search.cv_results_["partial_fit_calls"]) == {4}


def test_the_search_applies_the_best_lazily(data):
    search = plain().fit(*data)
    predicted = search.predict(data[0])
    assert isinstance(predicted, da.Array)
    np.testing.assert_array_equal(
        predicted, search.best_estimator_.predict(data[0].compute())
    )
    assert search.score(*data) > 0.5
    assert search.classes_.tolist() == [0, 1]


def test_the_best_of_a_wrapper_is_a_wrapper_that_goes_on(data):
    search = plain(Incremental(SGD), {"estimator__alpha": [0.01, 1.0]}).fit(*data)
    assert isinstance(search.best_estimator_, Incremental)
    assert (
        search.best_estimator_.estimator.alpha
        == search.best_params_["estimator__alpha"]
    )
    search.best_estimator_.partial_fit(*data)


def test_candidates_whose_states_merge_learn_too(arrays):
    X, y = arrays
    search = plain(MultinomialNB(), {"alpha": [0.1, 1.0]}, max_iter=11)
    search.fit(as_dask(np.abs(X), CHUNKS), as_dask(y, CHUNKS))
    assert search.best_estimator_.class_count_.sum() == 110


def test_a_regressor_is_scored_by_r2(arrays):
    X, _ = arrays
    search = plain(SGDRegressor(random_state=0), max_iter=22)
    search.fit(as_dask(X, CHUNKS), as_dask(X @ np.arange(4.0), CHUNKS))
    assert search.best_score_ > 0.7


def test_an_estimator_without_y_is_scored_with_it(data):
    search = plain(
        MiniBatchKMeans(random_state=0, n_init=1),
        {"n_clusters": [2, 3]},
        scoring="adjusted_rand_score",
    )
    assert -1 <= search.fit(*data).best_score_ <= 1


@pytest.mark.parametrize("scoring", [None, "accuracy"])
def test_weights_count_for_what_is_learned_and_not_for_the_score(
    scoring, arrays, data, ended
):
    weight = np.where(arrays[1] == 1, 5.0, 0.1)
    search = plain(scoring=scoring, max_iter=11)
    search.fit(*data, sample_weight=as_dask(weight, CHUNKS))
    assert search.best_estimator_.predict(arrays[0]).mean() > 0.6
    ((ran, _),) = ended
    (at,) = ran.held_out
    rows = slice(10 * at, 10 * at + 10)
    expected = search.best_estimator_.score(arrays[0][rows], arrays[1][rows])
    assert search.best_score_ == pytest.approx(expected, rel=1e-12)


def test_dataframes_keep_their_names(arrays):
    frame = pd.DataFrame(arrays[0], columns=list("abcd")).assign(y=arrays[1])
    frame = dd.from_pandas(frame, npartitions=4)
    search = plain().fit(frame[list("abcd")], frame["y"])
    assert list(search.feature_names_in_) == list("abcd")


def test_verbose_prints_the_cost_of_each_rung(data, capsys):
    halving(verbose=1).fit(*data)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(
        "After 2 blocks: 9 candidates, 3 go on, 3 blocks read, best score "
    )


class Picky(SGDClassifier):
    """Fails at the second block for some parameters, or when it predicts."""

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        if self.alpha == 0.1 and hasattr(self, "coef_"):
            raise ArithmeticError("too picky")
        return super().partial_fit(X, y, classes)

    def predict(self, X):
        if self.alpha == 10.0:
            raise ArithmeticError("too picky to predict")
        return super().predict(X)


def test_a_candidate_that_raises_does_not_end_the_others(data, scheduler):
    search = halving(Picky(random_state=0))
    with pytest.warns(FitFailedWarning, match="2 of 9 candidates failed"):
        search.fit(*data)
    scores = dict(zip(ALPHAS["alpha"], search.cv_results_["test_score"], strict=True))
    assert {alpha for alpha in scores if np.isnan(scores[alpha])} == {0.1, 10.0}
    assert np.isfinite(search.best_score_)
    assert search.cv_results_["rank_test_score"].max() == 8
    failed = ALPHAS["alpha"].index(0.1)
    # How far it came in the blocks that were read together is not known.
    assert search.cv_results_["partial_fit_calls"][failed] == 0


def test_error_score_raises_where_it_is_told_to(data):
    search = halving(Picky(random_state=0), error_score="raise")
    with pytest.raises(ArithmeticError, match="too picky") as caught:
        search.fit(*data)
    assert any("while fitting candidate 4" in note for note in caught.value.__notes__)
    assert not hasattr(search, "cv_results_")


def test_a_search_of_which_all_fail_is_an_error_and_changes_nothing(data):
    search = halving(Picky(random_state=0)).set_params(parameters={"alpha": [0.1]})
    with pytest.raises(ValueError, match="All 1 candidates failed.*too picky"):
        search.fit(*data)
    assert not hasattr(search, "cv_results_")


@pytest.mark.parametrize(
    ("search", "message"),
    [
        (plain(max_iter=0), "max_iter must be an integer of 1"),
        (plain(fits_per_score=0), "fits_per_score must be"),
        (plain(test_size=1.5), "test_size must be None or a number between 0 and 1"),
        (plain(patience=-1), "patience must be"),
        (plain(tol=-1), "tol must be"),
        (plain(error_score="no"), "error_score must be"),
        (plain(n_initial_parameters="all"), "n_initial_parameters must be 'grid' or"),
        (halving(n_initial_iter=None), "n_initial_iter must be"),
        (halving(aggressiveness=1), "aggressiveness must be an integer of 2"),
        (plain(Incremental(SGD, max_iter=2)), "max_iter of the `Incremental`"),
        (plain(Incremental(SGD, early_stopping=True)), "early_stopping"),
        (
            plain(Incremental(SGD), {"batch_size": [5, 6]}),
            "batch_size must be the same",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_parameters_out_of_range_are_refused_before_any_read(
    search, message, data, no_compute
):
    with pytest.raises(ValueError, match=message):
        search.fit(*data)


def test_estimators_that_cannot_be_searched_are_refused(data, no_compute):
    with pytest.raises(TypeError, match="must have `partial_fit` or be"):
        plain(ParallelPostFit(SGD)).fit(*data)
    with pytest.raises(TypeError, match="`score` of its own"):
        plain(LatentDirichletAllocation()).fit(*data)


def test_a_single_block_is_refused(arrays, data):
    with pytest.raises(ValueError, match="X has 1 with rows; expected at least 2"):
        plain().fit(*(one.rechunk(one.shape) for one in data))
    with pytest.raises(ValueError, match="X has 1 with rows; expected at least 2"):
        plain().fit(arrays[0][:1], arrays[1][:1])


def test_clusters_are_searched_by_their_own_score_without_y(data):
    search = IncrementalSearchCV(
        MiniBatchKMeans(random_state=0, n_init=1),
        {"n_clusters": [2, 3]},
        n_initial_parameters="grid",
        max_iter=2,
        random_state=0,
    )
    assert search.fit(data[0]).best_params_ == {"n_clusters": 3}


def test_y_is_needed_for_the_default_score(data):
    with pytest.raises(ValueError, match="y must be given"):
        plain().fit(data[0])


def test_a_search_is_a_step_of_a_pipeline_and_goes_into_a_pickle(data):
    search = halving(SGDClassifier(loss="log_loss", random_state=0))
    pipeline = make_pipeline(Incremental(StandardScaler()), search)
    pipeline.set_params(successivehalvingsearchcv__estimator__eta0=0.5).fit(*data)
    assert pipeline[-1].best_estimator_.eta0 == 0.5
    again = pickle.loads(pickle.dumps(pipeline))
    for method in ("predict", "predict_proba", "decision_function"):
        expected = getattr(pipeline, method)(data[0])
        assert isinstance(expected, da.Array)
        np.testing.assert_array_equal(getattr(again, method)(data[0]), expected)
    assert again.score(*data) == pipeline.score(*data)


def test_a_search_within_scikit_learns_cross_validation(arrays):
    search = plain(parameters={"alpha": [0.01, 1.0]})
    scores = cross_val_score(search, *arrays, cv=3)
    assert scores.shape == (3,)
    assert scores.mean() > 0.6


def test_searches_are_cloned_and_are_what_they_search():
    search = clone(halving(GaussianNB(), {"var_smoothing": [1e-9]}))
    assert search.get_params()["n_initial_iter"] == 2
    assert search.__sklearn_tags__().estimator_type == "classifier"
    with pytest.raises(AttributeError):
        search.best_score_  # noqa: B018


@pytest.mark.slow
@pytest.mark.parametrize("lazy", [True, False])
def test_batches_within_blocks_on_each_scheduler(lazy, arrays, data, scheduler):
    def searched():
        wrapper = Incremental(SGD, batch_size=4, shuffle_blocks=False)
        parameters = {"estimator__alpha": [0.01, 0.1, 1.0]}
        search = halving(wrapper, parameters, n_initial_iter=1)
        return search.fit(*(data if lazy else arrays))

    search = searched()
    with dask.config.set(scheduler="synchronous"):
        expected = searched()
    assert list(search.cv_results_["partial_fit_calls"]) == list(
        expected.cv_results_["partial_fit_calls"]
    )
    assert_same_state(
        search.best_estimator_.estimator_, expected.best_estimator_.estimator_
    )


class Counting(BaseEstimator):
    def __init__(self, a=1):
        self.a = a

    def partial_fit(self, X, y):
        self.sizes_ = [*getattr(self, "sizes_", []), len(X)]
        return self

    def predict(self, X):
        return np.zeros(len(X))

    def score(self, X, y):
        return 0.0


@pytest.mark.parametrize("every", [None, 1, 3])
@pytest.mark.parametrize("seed", range(6))
def test_batches_are_counted_once_where_a_pass_ends_with_an_empty_block(
    seed, every, tmp_path
):
    chunks = (100, 150, 50, 200, 0, 60, 40)
    X = da.arange(600, chunks=(chunks,))[:, None]
    saving = (
        {} if every is None else {"checkpoint": tmp_path, "checkpoint_every": every}
    )
    search = IncrementalSearchCV(
        Incremental(Counting(), batch_size=64),
        {"estimator__a": [1, 2]},
        n_initial_parameters="grid",
        max_iter=27,
        fits_per_score=9,
        scoring="neg_mean_squared_error",
        random_state=seed,
        **saving,
    ).fit(X, X[:, 0])
    assert len(search.best_estimator_.estimator_.sizes_) == 27
    assert search.cv_results_["partial_fit_calls"].tolist() == [27, 27]


class FailingAt1(SGDClassifier):
    def partial_fit(self, X, y, classes=None):
        if self.alpha == 1:
            raise ValueError("not with 1")
        return super().partial_fit(X, y, classes)


@pytest.mark.filterwarnings("ignore:1 of 2 candidates failed")
def test_a_candidate_that_failed_is_never_the_best():
    X = da.random.default_rng(0).normal(size=(100, 3), chunks=(10, 3))
    search = IncrementalSearchCV(
        FailingAt1(random_state=0),
        {"alpha": [1, 1e-3]},
        n_initial_parameters="grid",
        max_iter=6,
        error_score=5.0,
        random_state=0,
    ).fit(X, (X[:, 0] > 0).astype(int))
    assert search.best_params_ == {"alpha": 1e-3}
    assert search.best_score_ < 5


def test_an_empty_block_is_not_held_out():
    X = da.arange(60, chunks=((0, 30, 0, 30, 0),))[:, None] / 60
    y = (X[:, 0] * 60).astype(int) % 2
    for seed in range(4):
        search = IncrementalSearchCV(
            SGDClassifier(),
            {"alpha": [1e-3]},
            n_initial_parameters="grid",
            max_iter=5,
            random_state=seed,
        )
        assert np.isfinite(search.fit(X, y).best_score_)


def test_an_estimator_may_have_no_fit():
    class Alone:
        def __init__(self, a=1):
            self.a = a

        def get_params(self, deep=True):
            return {"a": self.a}

        def set_params(self, a):
            self.a = a
            return self

        partial_fit = Counting.partial_fit
        predict = Counting.predict

    X = da.ones((30, 2), chunks=(10, 2))
    search = IncrementalSearchCV(
        Alone(), {"a": [1, 2]}, scoring="r2", n_initial_parameters="grid", max_iter=2
    )
    assert search.fit(X, X[:, 0]).best_params_ == {"a": 1}
