"""scikit-learn's callbacks of a search."""

import numpy as np
import pytest
from sklearn.linear_model import SGDClassifier

from incremental import HyperbandSearchCV, Incremental, IncrementalSearchCV
from tests.contracts import as_dask, assert_same_state
from tests.fit.test_callbacks import Keeping, callbacks

CHUNKS = (10,) * 10


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 4))
    y = (X[:, 0] > 0).astype(int)
    return as_dask(X, CHUNKS), as_dask(y, CHUNKS)


def make(estimator=None, **options):
    estimator = SGDClassifier(random_state=0) if estimator is None else estimator
    name = "alpha" if isinstance(estimator, SGDClassifier) else "estimator__alpha"
    return IncrementalSearchCV(
        estimator,
        {name: [1e-4, 1e-2, 1.0, 10.0]},
        n_initial_parameters="grid",
        random_state=0,
        **{"max_iter": 6, "fits_per_score": 2, **options},
    )


@pytest.mark.parametrize(
    "estimator", [None, Incremental(SGDClassifier(random_state=0))]
)
def test_a_search_has_rungs_and_the_best_so_far_can_be_looked_at(estimator, data):
    callback = Keeping()
    search = make(estimator).set_callbacks(callback).fit(*data)
    rungs = [f"{at} rung {n}" for n in range(3) for at in ("begin", "end")]
    expected = ["setup", "begin fit 0", *rungs, "end fit 0", "teardown"]
    assert callback.told == expected
    best = search.best_estimator_
    best = best.estimator_ if estimator is not None else best
    for at in (2, 3):
        assert_same_state(callback.fitted[at][1].estimator_, best)


def test_callbacks_change_nothing(data):
    watched = make().set_callbacks(Keeping()).fit(*data)
    alone = make().fit(*data)
    assert_same_state(watched.best_estimator_, alone.best_estimator_)
    assert watched.best_params_ == alone.best_params_


def test_a_callback_can_stop_a_search_at_a_rung(data):
    callback = Keeping(lambda context: context.task_name == "rung")
    search = make().set_callbacks(callback).fit(*data)
    shorter = make(max_iter=2).fit(*data)
    assert callback.told.count("end rung 0") == 1
    assert "begin rung 1" not in callback.told
    assert search.cv_results_["partial_fit_calls"].tolist() == [2] * 4
    assert_same_state(search.best_estimator_, shorter.best_estimator_)


def test_all_candidates_are_scored_when_a_callback_stops_hyperband(data):
    callback = Keeping(lambda context: context.task_name == "rung")
    space = {"alpha": np.logspace(-5, 1, 20)}
    search = HyperbandSearchCV(SGDClassifier(), space, max_iter=9, random_state=0)
    search.set_callbacks(callback).fit(*data)
    assert np.isfinite(search.cv_results_["test_score"]).all()
    assert search.cv_results_["partial_fit_calls"].max() == 1


def test_a_failed_search_tears_down_and_changes_nothing(data):
    callback = Keeping()
    search = make(error_score="raise").set_callbacks(callback)
    before = set(vars(search))
    with pytest.raises(ValueError, match="NaN"):
        search.fit(data[0] * np.nan, data[1])
    assert callback.told[-1] == "teardown"
    assert set(vars(search)) == before


@pytest.mark.parametrize(
    "estimator", [None, Incremental(SGDClassifier(random_state=0))]
)
def test_the_scoring_monitor_scores_the_best_at_each_rung(estimator, data):
    monitor = callbacks.ScoringMonitor(scoring="accuracy")
    search = make(estimator).set_callbacks(monitor).fit(*data)
    log = monitor.get_logs().data
    scores = [row["accuracy"] for row in log if row["task_name"] == "rung"]
    assert len(scores) == 3
    assert scores[-1] == search.score(*data)


def test_callbacks_of_a_search_that_goes_on_hear_its_numbers(data, tmp_path):
    class Killing(Keeping):
        def on_fit_task_end(self, estimator, context, **others):
            if context.task_id == 1:
                raise KeyboardInterrupt

    options = {"checkpoint": tmp_path, "checkpoint_every": 1}
    with pytest.raises(KeyboardInterrupt):
        make(**options).set_callbacks(Killing()).fit(*data)
    callback = Keeping()
    search = make(**options).set_callbacks(callback).fit(*data)
    told = [one for one in callback.told if one.startswith("end")]
    assert told == ["end rung 1", "end rung 2", "end fit 0"]
    assert_same_state(search.best_estimator_, make().fit(*data).best_estimator_)
