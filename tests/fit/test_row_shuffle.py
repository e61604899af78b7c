"""Rows are mixed within a window of blocks."""

from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import SGDClassifier
from sklearn.multiclass import OneVsRestClassifier

from incremental import Incremental
from incremental._blocks.block import Block
from incremental._fit.row_shuffle import Mixing, RowShuffle
from tests.contracts import SGD, Recorder, as_dask, assert_same_state
from tests.fit.test_checkpoints import interrupted

X = np.arange(120.0).reshape(60, 2)
ROWS = np.arange(60)


def mixed(chunks, window, seed=0):
    """Return for each call which rows come out, and how many are held after it."""
    shuffle, mixing = RowShuffle(window), Mixing(seed)
    out, held, at = [], [], 0
    for size in chunks:
        rows = np.arange(at, at + size)
        block, mixing = shuffle.take(mixing, Block({"X": rows[:, None], "y": rows}))
        assert (block["X"].ravel() == block["y"]).all()
        out.append(block["y"].tolist())
        held.append(sum(len(one["y"]) for each in mixing.shares for one in each))
        at += size
    return [*out, *(block["y"].tolist() for block in shuffle.rest(mixing))], held


@given(
    chunks=st.lists(st.integers(0, 9), min_size=1, max_size=9),
    window=st.integers(1, 5),
)
def test_each_row_comes_out_once(chunks, window):
    out, _ = mixed(chunks, window)
    assert sorted(chain.from_iterable(out)) == list(range(sum(chunks)))


def test_a_row_moves_by_the_window_at_most():
    out, _ = mixed([10] * 20, 3)
    for call, rows in enumerate(out[:20]):
        assert all(0 <= call - row // 10 <= 3 for row in rows)


def test_about_half_a_window_of_rows_is_held():
    _, held = mixed([100] * 50, 8)
    assert max(held) <= 4.5 * 100


def test_the_end_of_a_pass_comes_in_blocks():
    out, _ = mixed([20] * 10, 4)
    assert max(map(len, out)) <= 20 + 4


def test_the_seed_decides_the_order():
    assert mixed([10] * 4, 2, seed=1) == mixed([10] * 4, 2, seed=1)
    assert mixed([10] * 4, 2, seed=1) != mixed([10] * 4, 2, seed=2)


@pytest.mark.parametrize("batch_size", [None, 7])
def test_all_rows_are_learned_from_with_their_own_targets(batch_size):
    model = Incremental(Recorder(), shuffle_rows=True, prefetch=2, random_state=0)
    model.set_params(batch_size=batch_size, max_iter=2)
    model.fit(as_dask(X, (10,) * 6), ROWS, sample_weight=ROWS / 2)
    calls = model.estimator_.calls_
    for rows, y, weight, _ in calls:
        np.testing.assert_array_equal(rows, X[y])
        np.testing.assert_array_equal(weight, y / 2)
    seen = np.concatenate([call[1] for call in calls])
    assert sorted(seen[:60]) == sorted(seen[60:]) == ROWS.tolist()
    assert seen[:60].tolist() != seen[60:].tolist()


def test_schedulers_and_other_chunks_of_y_make_no_difference(scheduler):
    y = ROWS % 2
    options = {"shuffle_rows": True, "prefetch": 3, "random_state": 0}
    model = Incremental(SGD, classes=[0, 1], **options)
    model.fit(as_dask(X, (10,) * 6), as_dask(y, (30, 30)))
    expected = Incremental(Recorder(), **options).fit(as_dask(X, (10,) * 6), y)
    loop = SGDClassifier(random_state=0)
    for rows, target, *_ in expected.estimator_.calls_:
        loop.partial_fit(rows, target, classes=[0, 1])
    assert_same_state(model.estimator_, loop)


@pytest.mark.parametrize("batch_size", [None, 7])
def test_parts_of_a_bundle_learn_from_the_same_rows(batch_size):
    y = ROWS % 3
    bundle = OneVsRestClassifier(SGD)
    options = {"shuffle_rows": True, "random_state": 0, "batch_size": batch_size}
    model = Incremental(bundle, classes=[0, 1, 2], **options)
    model.fit(as_dask(X, (10,) * 6), as_dask(y, (10,) * 6))
    recorded = Incremental(Recorder(), **options).fit(as_dask(X, (10,) * 6), y)
    for rows, target, *_ in recorded.estimator_.calls_:
        bundle.partial_fit(rows, target, classes=[0, 1, 2])
    assert_same_state(model.estimator_, bundle)


def test_rows_that_are_held_are_in_the_checkpoint(tmp_path):
    data = as_dask(X, (6,) * 10), as_dask(ROWS % 3, (6,) * 10)
    options = {"classes": [0, 1, 2], "shuffle_rows": True, "random_state": 0}
    options |= {"batch_size": 5, "max_iter": 2}
    bundle = OneVsRestClassifier(SGD)
    expected = Incremental(bundle, **options).fit(*data)
    path = tmp_path / "a"
    model = Incremental(bundle, **options, checkpoint=path, checkpoint_every=1)
    interrupted(model, 8, *data)
    model.fit(*data)
    assert_same_state(model.estimator_, expected.estimator_)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 100))
def test_data_sorted_by_their_labels_are_learned_as_well_as_shuffled_ones(seed):
    rng = np.random.default_rng(seed)
    n = 50_000
    y = np.sort(rng.integers(0, 2, n))
    given_rows = rng.normal(size=(n, 10)) + y[:, None]
    estimator = SGDClassifier(random_state=0, average=True)

    def accuracy(order, **options):
        model = Incremental(estimator, classes=[0, 1], random_state=0, **options)
        data = given_rows[order], y[order]
        model.fit(*(as_dask(one, (1000,) * 50) for one in data))
        return model.estimator_.score(given_rows, y)

    in_order = np.arange(n)
    shuffled = accuracy(rng.permutation(n))
    assert accuracy(in_order, shuffle_rows=True) > shuffled - 0.01
