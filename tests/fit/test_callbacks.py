"""scikit-learn's callbacks."""

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import get_scorer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from incremental import Incremental
from incremental._estimators.moments import fit_moments
from incremental._estimators.traits import has_callbacks
from tests.contracts import as_dask, assert_same_state, plain_loop
from tests.fit.test_checkpoints import interrupted

callbacks = pytest.importorskip("sklearn.callback", reason="new in scikit-learn 1.9")
SGD = SGDClassifier(random_state=0)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    return X, (X[:, 0] > 0).astype(int)


class Keeping:
    """A callback that writes down what it is told, and may stop the fit."""

    def __init__(self, stop=lambda context: False):
        self.told = []
        self.fitted = []
        self.stop = stop

    def setup(self, estimator, context):
        self.told.append("setup")

    def teardown(self, estimator, context):
        self.told.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.told.append(f"begin {context.task_name} {context.task_id}")

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self.told.append(f"end {context.task_name} {context.task_id}")
        self.fitted.append((context.task_name, fitted_estimator))
        return self.stop(context)


def make(**options):
    return Incremental(clone(SGD), classes=[0, 1], shuffle_blocks=False, **options)


def lazy(data, chunks=(20, 20, 20)):
    return as_dask(data[0], chunks), as_dask(data[1], chunks)


def test_a_fit_has_passes_and_they_have_blocks(scheduler, data):
    callback = Keeping()
    model = make(max_iter=2).set_callbacks(callback)
    model.fit(*lazy(data, (30, 30)))
    passes = [
        [
            f"begin pass {number}",
            *("begin block 0", "end block 0", "begin block 1", "end block 1"),
            f"end pass {number}",
        ]
        for number in (0, 1)
    ]
    expected = ["setup", "begin fit 0", *passes[0], *passes[1], "end fit 0", "teardown"]
    assert callback.told == expected
    fitted = [one for name, one in callback.fitted if name == "pass"]
    assert fitted[0].coef_.shape == (1, 4)
    assert_same_state(fitted[1].estimator_, model.estimator_)
    assert fitted[0].estimator_.t_ < fitted[1].estimator_.t_


def test_what_a_block_leaves_can_be_looked_at(scheduler, data):
    callback = Keeping()
    make().set_callbacks(callback).fit(*lazy(data))
    fitted = [one for name, one in callback.fitted if name == "block"]
    for count, one in enumerate(fitted, 1):
        rows = slice(0, 20 * count)
        params = {"classes": [0, 1]}
        expected = plain_loop(SGD, data[0][rows], data[1][rows], params, (20,) * count)
        assert_same_state(one.estimator_, expected)


def test_a_callback_can_stop_the_fit_at_a_pass(scheduler, data):
    callback = Keeping(lambda context: context.task_name == "pass")
    model = make(max_iter=9).set_callbacks(callback).fit(*lazy(data))
    assert model.n_iter_ == 1
    assert_same_state(model.estimator_, make().fit(*lazy(data)).estimator_)


def test_a_callback_can_stop_a_pass_at_a_block(scheduler, data):
    callback = Keeping(lambda context: (context.task_name, context.task_id)[1] == 1)
    model = make().set_callbacks(callback).fit(*lazy(data, (12,) * 5))
    assert model.history_[0]["blocks"] == 2
    params = {"classes": [0, 1]}
    expected = plain_loop(SGD, data[0][:24], data[1][:24], params, (12, 12))
    assert_same_state(model.estimator_, expected)


def test_data_in_memory_has_tasks_too(data):
    callback = Keeping()
    make(max_iter=2).set_callbacks(callback).fit(*data)
    assert callback.told.count("end block 0") == 2


def test_a_failed_fit_tears_down_and_changes_nothing(data):
    X, y = data
    callback = Keeping()
    model = make().set_callbacks(callback)
    bad = np.where(np.arange(60)[:, None] < 40, X, np.nan)
    before = set(vars(model))
    with pytest.raises(ValueError, match="NaN"):
        model.fit(as_dask(bad, (20,) * 3), as_dask(y, (20,) * 3))
    assert callback.told[-1] == "teardown"
    assert set(vars(model)) == before


@pytest.mark.parametrize("scoring", ["accuracy", ["accuracy", "f1"]])
def test_the_scoring_monitor_scores_each_pass(scoring, scheduler, data):
    monitor = callbacks.ScoringMonitor(scoring=scoring)
    model = make(max_iter=2).set_callbacks(monitor).fit(*lazy(data))
    log = monitor.get_logs().data
    scores = [row["accuracy"] for row in log if row["task_name"] == "pass"]
    assert len(scores) == 2
    assert scores[-1] == model.estimator_.score(*data)


@pytest.mark.parametrize("kind", ["frame", "unknown lengths"])
@pytest.mark.parametrize("scoring", ["accuracy", "roc_auc"])
def test_the_scoring_monitor_takes_any_collection(kind, scoring, data):
    frame = pd.DataFrame(data[0], columns=list("abcd")).assign(y=data[1])
    given = dd.from_pandas(frame, npartitions=3)
    given = given[list("abcd")], given["y"]
    if kind != "frame":
        given = tuple(one.to_dask_array() for one in given)
    monitor = callbacks.ScoringMonitor(scoring=scoring)
    model = make(max_iter=2).set_callbacks(monitor).fit(*given)
    log = [row for row in monitor.get_logs().data if row["task_name"] == "pass"]
    model.estimator_.feature_names_in_ = np.array(list("abcd"))
    expected = get_scorer(scoring)(model.estimator_, frame[list("abcd")], data[1])
    assert log[-1][scoring] == pytest.approx(expected, rel=1e-12)


def test_the_progress_bar_shows_passes(scheduler, data, capsys):
    pytest.importorskip("rich")
    make(max_iter=2).set_callbacks(callbacks.ProgressBar()).fit(*lazy(data))
    printed = capsys.readouterr().out
    assert "Incremental - fit" in printed
    assert "pass #1" in printed


def test_a_pipeline_hands_its_callbacks_on(data):
    pytest.importorskip("rich")
    pipe = make_pipeline(Incremental(StandardScaler()), make(max_iter=2))
    monitor = callbacks.ScoringMonitor(scoring="accuracy")
    pipe[-1].set_callbacks(monitor)
    pipe.set_callbacks(callbacks.ProgressBar()).fit(*lazy(data))
    assert len(monitor.get_logs().data) >= 2


def test_fits_without_callbacks_are_told_from_others(data):
    """scikit-learn's list of callbacks is where this package looks for it."""
    assert not has_callbacks(make())
    assert has_callbacks(make().set_callbacks(Keeping()))
    assert not has_callbacks(make().set_callbacks(Keeping()).set_callbacks())


def test_the_moments_of_a_scaler_with_callbacks_are_left_to_it():
    scaler = StandardScaler().set_callbacks(callbacks.ProgressBar())
    assert not fit_moments(scaler, np.ones((4, 2)))
    assert not hasattr(scaler, "n_samples_seen_")


def test_callbacks_of_a_fit_that_goes_on_hear_its_numbers(data, tmp_path):
    options = {"max_iter": 2, "checkpoint": tmp_path, "checkpoint_every": 2}
    given = lazy(data, (10,) * 6)
    interrupted(make(**options), 9, *given)
    callback = Keeping()
    make(**options).set_callbacks(callback).fit(*given)
    ends = [f"end block {number}" for number in range(2, 6)]
    told = [one for one in callback.told if one.startswith("end")]
    assert told == [*ends, "end pass 1", "end fit 0"]


def test_merging_fits_have_tasks_too(data):
    callback = Keeping()
    model = Incremental(StandardScaler(), max_iter=2).set_callbacks(callback)
    model.fit(da.from_array(data[0], chunks=(20, 4)))
    assert callback.told.count("end block 2") == 2
    assert model.n_samples_seen_ == 120


def test_blocks_that_are_not_fitted_do_not_end(scheduler, data):
    X, y = data
    bad = np.where((np.arange(60)[:, None] // 10) == 2, np.nan, X)
    callback = Keeping()
    model = make().set_callbacks(callback)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(as_dask(bad, (10,) * 6), as_dask(y, (10,) * 6))
    ends = [name for name in callback.told if name.startswith("end block")]
    assert ends == ["end block 0", "end block 1"]


def test_a_block_that_stops_its_pass_is_the_last_to_begin(data):
    callback = Keeping(lambda context: context.task_name == "block")
    make().set_callbacks(callback).fit(*lazy(data))
    assert "begin block 1" not in callback.told


@pytest.mark.parametrize("scoring", ["accuracy", "roc_auc"])
def test_the_scoring_monitor_pairs_rows_that_are_shuffled_as_they_are_read(
    scoring, scheduler
):
    y = np.random.default_rng(0).integers(0, 2, size=200)
    frame = pd.DataFrame({"a": y - 0.5, "y": y})
    lazy = dd.from_pandas(frame, npartitions=4).map_partitions(
        lambda part: part.sample(frac=1)
    )
    monitor = callbacks.ScoringMonitor(scoring=scoring)
    make().set_callbacks(monitor).fit(lazy[["a"]], lazy["y"])
    assert {row[scoring] for row in monitor.get_logs().data if scoring in row} == {1.0}


def test_a_fitted_estimator_that_a_callback_gets_scores_x_itself(data):
    scores = []

    class Scoring:
        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            pass

        def on_fit_task_end(self, estimator, context, *, X, y, fitted_estimator):
            if context.task_name == "pass":
                received = fitted_estimator.score(X, y)
                assert received == fitted_estimator.score(*data)
                scores.append(received)

    frame = pd.DataFrame(data[0]).rename(columns=str)
    X = dd.from_pandas(frame, npartitions=3).to_dask_array()
    y = dd.from_pandas(pd.Series(data[1]), npartitions=3)
    for scoring in (None, "accuracy"):
        make(scoring=scoring).set_callbacks(Scoring()).fit(X, y.to_dask_array())
    assert len(scores) == 2
