"""Which rows of a block are drawn."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from incremental._blocks.block import Block
from incremental._blocks.row_split import RowSplit

SHARES = st.floats(0.01, 0.99)
SEEDS = st.integers(0, 2**32 - 1)


def numbered(n_rows, **pieces):
    return Block({"X": np.arange(n_rows), **pieces})


@given(n_rows=st.integers(0, 50), share=SHARES, seed=SEEDS)
def test_each_row_is_in_one_part_and_rows_keep_their_order(n_rows, share, seed):
    split = RowSplit(share, seed)
    left, drawn = (part["X"] for part in split(numbered(n_rows)))
    assert sorted([*left, *drawn]) == list(range(n_rows))
    assert list(left) == sorted(left)
    assert list(drawn) == sorted(drawn)
    assert len(drawn) == split.count(n_rows)
    assert abs(len(drawn) - share * n_rows) < 1


def test_the_same_rows_are_drawn_again_and_others_with_another_seed():
    block = numbered(100)
    first, again, other = (RowSplit(0.5, seed)(block)[1]["X"] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_share_holds_on_average_for_blocks_of_one_row():
    drawn = sum(RowSplit(0.25, seed).count(1) for seed in range(2000))
    assert 440 < drawn < 560


@given(
    y=st.lists(st.integers(0, 3), max_size=60), share=SHARES, seed=SEEDS
)  # fmt: skip
def test_each_value_has_its_share_in_a_stratified_split(y, share, seed):
    y = np.array(y, dtype=int)
    split = RowSplit(share, seed, "y")
    _, drawn = split(numbered(len(y), y=y))
    assert drawn.count_rows() == split.count(len(y))
    for value in range(4):
        expected = np.sum(y == value) * split.count(len(y)) / max(len(y), 1)
        assert abs(np.sum(drawn["y"] == value) - expected) < 1


def test_rows_of_one_value_are_drawn_at_random():
    y = np.repeat([0, 1], 50)
    drawn = [RowSplit(0.2, seed, "y")(numbered(100, y=y))[1]["X"] for seed in (1, 2)]
    assert not np.array_equal(*drawn)
    assert all(np.sum(one < 50) == 10 for one in drawn)


@pytest.mark.parametrize(
    "y",
    [
        pd.Series(["a", None, "b", None] * 5),
        pd.Series([0, np.nan, 1.5, np.nan] * 5),
        pd.Series(["a", "c", "b", "c"] * 5, dtype="category"),
        ["a", "c", "b", "c"] * 5,
    ],
    ids=["text", "numbers", "categories", "list"],
)
def test_values_of_all_kinds_and_missing_ones_are_groups(y):
    _, drawn = RowSplit(0.4, 0, "y")(numbered(20, y=y))
    odd = pd.Series(list(drawn["y"])).isin([None, np.nan, "c"])
    assert (len(odd), odd.sum()) == (8, 4)


def test_several_values_for_each_row_are_refused():
    with pytest.raises(ValueError, match=r"y must have one value.*\(4, 2\)"):
        RowSplit(0.5, 0, "y")(numbered(4, y=np.ones((4, 2))))
