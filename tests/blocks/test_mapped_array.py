"""Partitions as the blocks of an array, and columns of them side by side."""

import os
from collections import Counter
from uuid import uuid4

import cloudpickle
import dask
import dask.array as da
import dask.bag as db
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LinearRegression, SGDClassifier
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler, StandardScaler

from incremental import Incremental, ParallelPostFit, iter_blocks
from tests.contracts import assert_same_state
from tests.graph.test_fold import Source

SGD = SGDClassifier(random_state=0)


@pytest.fixture
def frame(rng):
    return pd.DataFrame(rng.normal(3, 2, size=(60, 3)), columns=["a", "b", "c"])


@pytest.fixture
def target(frame):
    return (frame["a"] > 3).astype(int)


class Reads:
    """A dask dataframe of three partitions that counts the reads of each."""

    def __init__(self, frame):
        self.counts = Counter()
        self.frame = frame
        # dask takes readers that are alike for one.
        self.own = uuid4()
        self.lazy = dd.from_map(self.read, range(3), meta=frame.iloc[:0])
        self.counts.clear()

    def read(self, number):
        self.counts[number] += 1
        return self.frame.iloc[20 * number : 20 * number + 20]

    @property
    def of_each(self):
        """The reads of each partition, where they are equally many."""
        (count,) = set(self.counts.values()) or {0}
        return count


@pytest.fixture
def reads(frame):
    return Reads(frame)


def lazy(pandas):
    return dd.from_pandas(pandas, npartitions=3)


def fit_by_hand(features, target):
    """Fit the classifier on what the first steps, fitted, make of each partition."""
    model = clone(SGD)
    for rows in (slice(0, 20), slice(20, 40), slice(40, 60)):
        model.partial_fit(features[rows], target[rows], classes=[0, 1])
    return model


@pytest.mark.parametrize("kind", ["frame", "values"])
def test_a_union_of_wrappers_on_uncounted_rows_is_exact_and_reads_once_per_stage(
    kind, reads, frame, target
):
    union = make_union(Incremental(StandardScaler()), Incremental(MaxAbsScaler()))
    model = Incremental(SGD, classes=[0, 1], shuffle_blocks=False)
    pipe = make_pipeline(union, model)
    X, y = reads.lazy, lazy(target)
    if kind == "values":
        X, y = X.values, y.values
    pipe.fit(X, y)
    assert reads.of_each == 3
    fitted = [step.estimator_ for _, step in pipe[0].transformer_list]
    rows = frame if kind == "frame" else frame.to_numpy()
    features = np.hstack([step.transform(rows) for step in fitted])
    assert_same_state(pipe[-1].estimator_, fit_by_hand(features, target))
    reads.counts.clear()
    predicted = pipe.predict(X)
    assert reads.of_each == 0
    expected = pipe[-1].estimator_.predict(features)
    np.testing.assert_array_equal(predicted, expected)
    assert reads.of_each == 1


def test_a_union_of_unions_reads_once(reads, frame):
    scalers = [
        ParallelPostFit(s.fit(frame)) for s in (StandardScaler(), MaxAbsScaler())
    ]
    union = make_union(make_union(*scalers), scalers[0])
    received = union.transform(reads.lazy)
    expected = [scaler.transform(frame) for scaler in (*scalers, scalers[0])]
    np.testing.assert_array_equal(received, np.hstack(expected))
    assert reads.of_each == 1


def test_unions_of_many_frames_are_computed_together(frame):
    scalers = [
        ParallelPostFit(s.fit(frame)) for s in (StandardScaler(), MaxAbsScaler())
    ]
    union = make_union(*scalers)
    frames = [frame + n for n in range(60)]
    received = np.concatenate([union.transform(lazy(shifted)) for shifted in frames])
    expected = np.concatenate([union.transform(shifted) for shifted in frames])
    np.testing.assert_array_equal(received, expected)


def test_what_was_assigned_to_is_put_beside_as_it_is(frame):
    scaler = ParallelPostFit(MaxAbsScaler().fit(frame))
    one, other = scaler.transform(lazy(frame)), scaler.transform(lazy(frame))
    one[one < 0.5] = 5.0
    expected = scaler.transform(frame)
    changed = np.where(expected < 0.5, 5.0, expected)
    np.testing.assert_array_equal(
        np.hstack([one, other]), np.hstack([changed, expected])
    )


def test_branches_of_several_frames_are_put_beside(frame):
    scaler = ParallelPostFit(MaxAbsScaler().fit(frame))
    received = np.hstack([scaler.transform(lazy(frame + n)) for n in range(2)])
    expected = [scaler.transform(frame + n) for n in range(2)]
    np.testing.assert_array_equal(received, np.hstack(expected))


@pytest.mark.slow
def test_branches_may_be_fitted_in_other_processes(frame):
    scalers = StandardScaler(), MaxAbsScaler()
    union = make_union(*(Incremental(s, shuffle_blocks=False) for s in scalers))
    expected = union.fit_transform(lazy(frame)).compute()
    received = union.set_params(n_jobs=2).fit_transform(lazy(frame))
    np.testing.assert_array_equal(received, expected)


def test_a_column_transformer_takes_columns_of_a_frame_by_mask_and_slice(frame, target):
    X, y = lazy(frame), lazy(target)
    columns = ColumnTransformer(
        [
            ("standard", Incremental(StandardScaler()), X.columns.isin(["c", "a"])),
            ("largest", Incremental(MaxAbsScaler()), slice(1, 2)),
            (
                "same",
                ParallelPostFit(FunctionTransformer(np.asarray)),
                [False, True, False],
            ),
        ]
    )
    model = Incremental(SGD, classes=[0, 1], shuffle_blocks=False)
    pipe = make_pipeline(columns, model).fit(X, y)
    standard, largest = (step.estimator_ for _, step, _ in pipe[0].transformers_[:2])
    features = np.hstack(
        [
            standard.transform(frame[["a", "c"]]),
            largest.transform(frame[["b"]]),
            frame[["b"]],
        ]
    )
    assert_same_state(pipe[-1].estimator_, fit_by_hand(features, target))
    expected = pipe[-1].estimator_.predict(features)
    np.testing.assert_array_equal(pipe.predict(X), expected)
    assert pipe.score(X, y) == np.mean(expected == target)


def test_a_union_of_vectorisers_takes_a_bag():
    documents = ["a b", "b c", "d e", "f"] * 3
    bag = db.from_sequence(documents, npartitions=3)
    vectorisers = [HashingVectorizer(n_features=n) for n in (8, 16)]
    received = make_union(*map(ParallelPostFit, vectorisers)).transform(bag)
    expected = make_union(*vectorisers).transform(documents)
    np.testing.assert_array_equal(received.compute().toarray(), expected.toarray())


def test_other_functions_of_numpy_are_as_for_dask_arrays(frame):
    X = lazy(frame)
    mapped = ParallelPostFit(MaxAbsScaler().fit(frame)).transform(X)
    plain, expected = X.values, MaxAbsScaler().fit_transform(frame)
    results = [
        (np.vstack([mapped, mapped]), np.vstack([expected, expected])),
        (np.concatenate([mapped, mapped]), np.vstack([expected, expected])),
        (np.hstack([plain, mapped]), np.hstack([frame, expected])),
        (np.concatenate([mapped, plain], axis=1), np.hstack([expected, frame])),
        (np.exp(mapped), np.exp(expected)),
        (plain + mapped, frame + expected),
        (mapped == plain, expected == frame),
        (mapped[:, 1:], expected[:, 1:]),
        (cloudpickle.loads(cloudpickle.dumps(mapped)), expected),
    ]
    for received, wanted in results:
        assert isinstance(received, da.Array)
        np.testing.assert_array_equal(received, wanted)


def test_rows_of_other_partitions_are_not_put_beside(frame):
    scaler = ParallelPostFit(MaxAbsScaler().fit(frame))
    three = scaler.transform(lazy(frame))
    two = scaler.transform(dd.from_pandas(frame, npartitions=2))
    with pytest.raises(ValueError, match=r"same partitions, got \[3, 2\] blocks"):
        np.hstack([three, two])
    with pytest.raises(TypeError, match="Expected dask arrays .* got DataFrame"):
        np.hstack([three, lazy(frame)])


def test_arrays_of_counted_rows_stand_beside_what_dask_puts_there(frame):
    scaler = ParallelPostFit(MaxAbsScaler().fit(frame.to_numpy()))
    scaled = scaler.transform(da.from_array(frame.to_numpy(), chunks=(4, 3)))
    values = scaled.compute()
    received = np.hstack([scaled, values.tolist()])
    np.testing.assert_array_equal(received, np.hstack([values, values]))


def noisy(values):
    calls.append(len(values))
    return np.asarray(values) + np.random.normal(size=values.shape)


calls = []


@pytest.mark.parametrize("kind", ["array", "frame"])
def test_what_inputs_have_in_common_is_drawn_once_for_a_block(kind, frame):
    values = frame.to_numpy()
    X = lazy(frame) if kind == "frame" else da.from_array(values, chunks=(4, 3))
    drawn = ParallelPostFit(FunctionTransformer(noisy)).transform(X)
    model = ParallelPostFit(LinearRegression().fit(values, values[:, 0]))
    calls.clear()
    assert model.score(drawn, model.predict(drawn)) == 1.0
    assert sum(calls) == len(frame)


def test_a_column_of_what_was_drawn_is_of_the_same_draw(frame):
    X = da.from_array(frame.to_numpy(), chunks=(4, 3))
    drawn = ParallelPostFit(FunctionTransformer(noisy)).transform(X)
    calls.clear()
    for block, column in iter_blocks(drawn, drawn[:, 0]):
        np.testing.assert_array_equal(block[:, 0], column)
    assert sum(calls) == len(frame)


def test_mapped_dataframes_are_cut_at_the_divisions_of_the_first(frame):
    scaler = ParallelPostFit(MaxAbsScaler().fit(frame))
    one, other = (dd.from_pandas(frame, npartitions=n) for n in (2, 3))
    blocks = list(iter_blocks(one, scaler.transform(other)))
    assert len(blocks) == one.npartitions
    for block, scaled in blocks:
        np.testing.assert_array_equal(scaled, scaler.transform(block))


def test_iter_blocks_runs_stages_where_blocks_are_read(frame, process_pool):
    X = da.from_array(frame.to_numpy(), chunks=(4, 3))
    places_of = ParallelPostFit(FunctionTransformer(process_of)).transform(X)
    with dask.config.set(scheduler="processes", pool=process_pool):
        places = {int(block[0, 0]) for (block,) in iter_blocks(places_of)}
    assert os.getpid() not in places


def process_of(values):
    return np.full(values.shape, float(os.getpid()))


def test_predictions_are_computed_once_for_numpy():
    source = Source(4)
    model = LinearRegression().fit([[0.0], [1.0]], [0.0, 2.0])
    lazy = ParallelPostFit(model).predict(source.array[:, :1])
    first = np.asarray(lazy)
    kept = first.copy()
    first[:] = 0
    np.testing.assert_array_equal(np.asarray(lazy, dtype="f4"), kept.astype("f4"))
    assert set(source.reads.values()) == {1}


def test_predictions_that_were_changed_in_place_are_computed_again(frame):
    X = frame.to_numpy()
    model = LinearRegression().fit(X, X[:, 0])
    lazy = ParallelPostFit(model).predict(da.from_array(X, chunks=(20, 3)))
    before = np.asarray(lazy)
    lazy[:5] = 7.0
    np.testing.assert_array_equal(np.asarray(lazy), [*[7.0] * 5, *before[5:]])
