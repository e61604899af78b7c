"""A block: the same rows of several inputs."""

import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from incremental._blocks.block import Block

X = np.arange(12.0).reshape(6, 2)


def test_pieces_are_found_by_name_in_their_order():
    block = Block({"y": [1, 2], "X": X[:2]})
    assert list(block) == ["y", "X"]
    assert block["y"] == [1, 2]
    assert block.get("weight") is None


def test_pieces_of_other_lengths_are_told_when_they_are_counted():
    with pytest.raises(ValueError, match="X has 6, y has 5"):
        Block({"X": X, "y": np.arange(5)}).count_rows()


@pytest.mark.parametrize(
    "kind", [np.asarray, pd.DataFrame, sp.csr_matrix, sp.csc_matrix]
)
def test_batches_hold_the_same_rows_of_all_pieces(kind):
    block = Block({"X": kind(X), "y": list(range(6))})
    batches = list(block.batches(4))
    assert [batch["y"] for batch in batches] == [[0, 1, 2, 3], [4, 5]]
    assert [batch["X"].shape for batch in batches] == [(4, 2), (2, 2)]


def test_without_a_size_the_block_is_the_batch():
    block = Block({"X": X})
    assert list(block.batches(None)) == [block]


def test_a_replaced_piece_leaves_the_columns_and_the_digest():
    block = Block({"X": pd.DataFrame(X, columns=["a", "b"])}).recognised_by(b"1")
    other = block.replace(X=X[:, :1])
    assert list(other.columns["X"]) == ["a", "b"]
    assert other.digest == b"1"
    assert Block({"X": X[:, :1]}).columns == {"X": 1}


def test_a_block_pickles():
    block = Block({"X": X}, {"X": 5}, b"1")
    copied = pickle.loads(pickle.dumps(block))
    np.testing.assert_array_equal(copied["X"], X)
    assert (copied.columns, copied.digest) == ({"X": 5}, b"1")


def test_only_some_pieces_of_a_block_keep_its_columns():
    block = Block({"X": np.ones((2, 3)), "y": np.arange(2)})
    taken = block.only(("X",))
    assert list(taken) == ["X"]
    assert taken["X"] is block["X"]
    assert taken.columns == {"X": block.columns["X"]}
