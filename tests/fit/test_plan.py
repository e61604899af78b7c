"""What of a fit is done in parallel, and the reason in the log."""

import logging

import dask
import dask.array as da
import numpy as np
import pytest
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA
from sklearn.linear_model import SGDClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler

from incremental import Incremental, ParallelPostFit
from incremental._fit.plan import Options, plan_fit
from incremental._graph.blocks import read_blocks

VALUES = np.random.default_rng(0).normal(size=(40, 3))
SGD = SGDClassifier()
CLASSES = {"classes": [0, 1]}


def plan(estimator, X, later=False, **options):
    blocks = read_blocks({"X": X, "y": da.zeros(40, chunks=10)})
    return plan_fit(estimator, blocks, Options(CLASSES, **options), later=later)


@pytest.fixture
def X():  # noqa: N802
    return da.from_array(VALUES, chunks=(10, 3))


@pytest.fixture
def scaled(X):
    return ParallelPostFit(MinMaxScaler().fit(VALUES)).transform(X)


def names(stages):
    return [stage.name for stage in stages]


def test_planning_computes_nothing(scaled, no_compute):
    plan(SGD, scaled)
    plan(SGD, scaled - scaled.mean(axis=0))


@pytest.mark.parametrize(
    ("batch_size", "cached_rows", "within"),
    [(5, 100, True), (5, 4, False), (None, 100, False)],
)
def test_batches_that_fit_in_the_cache_are_scaled_in_the_step(
    batch_size, cached_rows, within, scaled
):
    received = plan(SGD, scaled, batch_size=batch_size, cached_rows=cached_rows)
    expected = ([], ["transform"]) if within else (["transform"], [])
    assert (names(received.before), names(received.step.within)) == expected
    assert received.in_parts == (not within)


def test_what_depends_on_the_layout_of_x_gets_it_transformed_whole(scaled):
    received = plan(MiniBatchKMeans(), scaled, batch_size=5, cached_rows=100)
    assert names(received.before) == ["transform"]
    assert not received.in_parts
    assert "may make a difference" in received.reason


def test_a_stage_whose_rows_depend_on_each_other_stays_with_the_blocks(X):
    reduced = ParallelPostFit(PCA(2).fit(VALUES)).transform(X)
    received = plan(SGD, reduced, batch_size=5, cached_rows=100)
    assert received.before == ()
    assert received.blocks.assembly.has_stages


def test_a_judged_estimator_gets_x_transformed_whole(scaled):
    received = plan(SGD, scaled, judged=True, batch_size=5, cached_rows=100)
    assert names(received.before) == ["transform"]
    assert "to the score" in received.reason


def test_states_that_merge_are_learned_in_parallel(X):
    assert plan(StandardScaler(), X).merged
    assert not plan(StandardScaler(), X, judged=True).merged


@pytest.mark.parametrize(("later", "passed"), [(False, 1), (True, 2)])
def test_steps_that_learn_no_more_are_stages(later, passed, X):
    steps = FunctionTransformer(), StandardScaler(), SGD
    received = plan(make_pipeline(*steps), X, later=later)
    assert received.learn.passed == passed
    assert names(received.before) == ["transform"]


def test_a_bundle_has_parts_unless_it_is_judged(X):
    bundle = OneVsRestClassifier(SGD)
    assert plan(bundle, X).parts is not None
    assert plan(bundle, X, judged=True).parts is None


def test_the_reason_is_logged(scaled, caplog):
    model = Incremental(SGD, classes=[0, 1], batch_size=5)
    y = da.from_array(np.arange(40) % 2, chunks=10)
    caplog.set_level(logging.DEBUG, logger="incremental")
    with dask.config.set(scheduler="threads"):
        model.fit(scaled, y)
    assert "SGDClassifier: X is transformed batch by batch" in caplog.text
