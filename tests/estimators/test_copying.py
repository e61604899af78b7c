"""Copies that go on as the original would."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import BaseEstimator
from sklearn.cluster import Birch
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from incremental._estimators.copying import Travelling, aligned, copy_estimator
from tests.contracts import assert_same_state


@pytest.fixture
def blocks(rng):
    return [rng.integers(0, 3, (40, 4)) + rng.random((40, 4)) for _ in range(3)]


def fit(birch, blocks):
    for block in blocks:
        birch.partial_fit(block)
    return birch


@pytest.mark.parametrize(
    "travel", [lambda e: e, lambda e: pickle.loads(pickle.dumps(e))]
)
def test_a_copy_of_birch_learns_on_as_what_it_copies(blocks, travel):
    original = fit(Birch(n_clusters=None), blocks)
    copied = copy_estimator(travel(original))
    assert_same_state(fit(copied, blocks), fit(original, blocks))


def test_scikit_learn_still_needs_that(blocks):
    """If this fails, Birch has been mended and its nodes need no care."""
    original = fit(Birch(n_clusters=None), blocks)
    copied = copy.deepcopy(original)
    with pytest.raises(AssertionError):
        assert_same_state(fit(copied, blocks), fit(original, blocks))


def test_a_pipeline_with_birch_at_its_end_is_found(blocks):
    pipe = make_pipeline("passthrough", Birch(n_clusters=None).partial_fit(blocks[0]))
    node = copy_estimator(pipe)[-1].root_
    assert node.centroids_.base is node.init_centroids_


def shifted(values):
    room = np.empty(values.nbytes + 1, dtype="u1")
    view = room[1:].view(values.dtype).reshape(values.shape)
    view[...] = values
    return view


def test_arrays_at_odd_addresses_are_copied():
    odd = shifted(np.arange(4.0))
    assert not odd.flags.aligned
    assert aligned(odd).flags.aligned
    np.testing.assert_array_equal(aligned(odd), odd)


def test_sparse_matrices_at_odd_addresses_are_copied():
    matrix = sp.csr_matrix(np.eye(3))
    matrix.data = shifted(matrix.data)
    assert aligned(matrix).data.flags.aligned


def test_frames_at_odd_addresses_are_copied():
    frame = pd.DataFrame(shifted(np.ones((3, 2))), copy=False)
    assert not frame.to_numpy().flags.aligned
    assert aligned(frame).to_numpy().flags.aligned
    assert aligned(frame[0]).to_numpy().flags.aligned


@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize("kind", [np.asarray, pd.DataFrame])
def test_what_is_copied_lies_in_memory_in_the_order_that_it_had(kind, order):
    odd = shifted(np.arange(12.0).reshape(4, 3))
    odd = odd if order == "C" else odd.T
    options = {} if kind is np.asarray else {"copy": False}
    copied = np.asarray(aligned(kind(odd, **options)))
    assert copied.flags.aligned
    assert copied.strides == odd.strides
    np.testing.assert_array_equal(copied, odd)


@pytest.mark.parametrize(
    "piece",
    [np.ones(3), sp.csr_matrix(np.eye(2)), pd.DataFrame({"a": ["x"]}), ["text"]],
    ids=["array", "sparse", "frame", "list"],
)
def test_other_data_is_not_copied(piece):
    assert aligned(piece) is piece


class Forgetful(BaseEstimator):
    """Leaves an array out of its copies."""

    def __init__(self):
        self.cache = np.zeros((10, 3))
        self.gaps = np.arange(40.0).reshape(10, 4)[:, ::2]
        self.table = np.arange(20.0).reshape(5, 4)

    def __getstate__(self):
        return {k: v for k, v in vars(self).items() if k != "cache"}

    def __setstate__(self, state):
        vars(self).update(state)


def test_an_estimator_that_leaves_arrays_out_of_its_copies_keeps_the_others():
    copied = copy_estimator(Forgetful())
    np.testing.assert_array_equal(copied.gaps, Forgetful().gaps)
    np.testing.assert_array_equal(copied.table, Forgetful().table)


@pytest.mark.parametrize("how", ["copy", "pickle"])
def test_gaps_between_the_rows_of_an_array_stay(how):
    estimator = make_pipeline(MaxAbsScaler())
    estimator[0].scale_ = np.asfortranarray(np.arange(16.0).reshape(4, 4))[:2]
    travelled = (
        copy_estimator(estimator)
        if how == "copy"
        else pickle.loads(pickle.dumps(Travelling(estimator))).value
    )
    assert travelled[0].scale_.strides == estimator[0].scale_.strides
    np.testing.assert_array_equal(travelled[0].scale_, estimator[0].scale_)
