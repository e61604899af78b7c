"""Folds of blocks."""

import numpy as np
import pytest
from sklearn.model_selection import KFold, StratifiedKFold

from incremental import BlockKFold
from incremental._search.folds import as_folds


def test_folds_of_a_number_are_those_of_scikit_learn():
    expected = [(tuple(a), tuple(b)) for a, b in KFold(3).split(np.empty(7))]
    assert as_folds(3, 7) == expected


@pytest.mark.parametrize(
    "cv",
    [KFold(3), BlockKFold(3), [*KFold(3).split(np.empty(7))], KFold(3).split(range(7))],
    ids=["splitter", "blocks", "list", "generator"],
)
def test_splitters_and_iterables_make_folds(cv):
    assert as_folds(cv, 7) == as_folds(3, 7)


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        ([], "at least one fold"),
        ([([], [1])], "Fold 0 of cv has no block to learn from"),
        ([([0], [1]), ([0], [])], "Fold 1 of cv has no block to score on"),
        ([([0], [7])], "from 0 to 6"),
        ([([0, 0], [1])], "different integers"),
        ([([0, 1], [1, 2])], r"learns from: \[1\]"),
        ([([0.5], [1])], "lists of integers"),
        ([([True, False], [1])], "lists of integers"),
        ([3], "pair of lists"),
        (1, "n_splits=2 or more"),
        (8, "expected at least 8"),
        (StratifiedKFold(2), "."),
    ],
    ids=str,
)
def test_what_makes_no_folds_is_refused(cv, message):
    with pytest.raises((ValueError, TypeError), match=message):
        as_folds(cv, 7)


@pytest.mark.parametrize("cv", [2.0, "5", None, True])
def test_what_is_no_splitter_is_refused(cv):
    with pytest.raises(TypeError, match="cv must be a number of folds"):
        as_folds(cv, 7)


@pytest.mark.parametrize("options", [{"shuffle": True}, {"random_state": 0}], ids=str)
def test_options_of_a_number_are_refused_beside_a_splitter(options):
    with pytest.raises(ValueError, match="shuffle and random_state"):
        as_folds(BlockKFold(3), 7, **options)
