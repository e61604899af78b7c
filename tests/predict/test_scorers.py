"""What `scoring` may be."""

import dask.array as da
import pytest
from sklearn.metrics import accuracy_score, get_scorer, make_scorer

from incremental import Incremental, ParallelPostFit
from incremental._predict.scorers import as_scorers
from tests.predict.test_scoring import First


def test_one_scorer_is_named_score():
    mine = make_scorer(accuracy_score)
    assert as_scorers(mine).by_name == {"score": mine}
    assert as_scorers(None).by_name == {"score": None}
    assert not as_scorers("f1").several


@pytest.mark.parametrize("scoring", [["f1", "accuracy"], ("f1", "accuracy")])
def test_the_first_of_several_decides(scoring):
    scorers = as_scorers(scoring)
    assert list(scorers.by_name) == ["f1", "accuracy"]
    assert scorers.main == "f1"


def test_a_set_is_in_the_order_of_its_names():
    scorers = as_scorers({"roc_auc", "f1", "accuracy"})
    assert list(scorers.by_name) == ["accuracy", "f1", "roc_auc"]


def test_a_dict_names_scorers_as_it_likes():
    mine = make_scorer(accuracy_score)
    scorers = as_scorers({"own": None, "mine": mine, "other": "f1"}, refit="mine")
    assert list(scorers.by_name) == ["own", "mine", "other"]
    assert scorers.by_name["own"] is None
    assert scorers.by_name["mine"] is mine
    assert repr(scorers.by_name["other"]) == repr(get_scorer("f1"))
    assert scorers.main == "mine"


@pytest.mark.parametrize(
    ("scoring", "error", "match"),
    [
        ("f2", ValueError, "'f2' is not a valid scoring"),
        (["f1", "f2"], ValueError, "'f2' is not a valid scoring"),
        ([], ValueError, "at least one scorer"),
        ({}, ValueError, "at least one scorer"),
        (["f1", "f1"], ValueError, "once.*'f1' more than once"),
        ([len], ValueError, "a dict such as"),
        ([1], TypeError, "names of scorers, got 1"),
        ({1: "f1"}, TypeError, "names of scorers, got 1"),
        ({"a": 1}, TypeError, "scoring of 'a' must be the name"),
        (1, TypeError, "scoring must be the name"),
        (accuracy_score, ValueError, "looks like it is a metric"),
        ({"a": accuracy_score}, ValueError, "looks like it is a metric"),
    ],
)
def test_a_wrong_scoring_is_refused_before_anything_is_read(
    scoring, error, match, no_compute
):
    X, y = da.zeros((8, 1), chunks=(2, 1)), da.zeros(8, chunks=2)
    with pytest.raises(error, match=match):
        ParallelPostFit(First(), scoring=scoring).score(X, y)
    with pytest.raises(error, match=match):
        Incremental(First(), scoring=scoring).fit(X, y)


@pytest.mark.parametrize(
    ("scoring", "refit", "expected"),
    [
        (["f1", "accuracy"], "recall", "one of 'f1', 'accuracy'"),
        ("f1", "f1", "here None"),
    ],
)
def test_a_refit_that_names_no_scorer_is_refused(scoring, refit, expected):
    with pytest.raises(ValueError, match=f"refit must be.*{expected}"):
        as_scorers(scoring, refit)
