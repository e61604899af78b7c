"""The classes of a classifier."""

import logging

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neural_network import MLPClassifier

from incremental import Incremental
from incremental._estimators.composition import needs_classes
from incremental._fit.classes import check_classes, find_classes

SGD = SGDClassifier()


def test_estimators_that_need_classes_are_told_by_their_partial_fit():
    assert needs_classes(SGD)
    assert not needs_classes(SGDRegressor())


@pytest.mark.parametrize(
    "y",
    [
        da.from_array(np.array([2, 0, 2, 5, 0]), chunks=2),
        dd.from_pandas(pd.Series([2, 0, 2, 5, 0]), npartitions=2),
        np.array([2, 0, 2, 5, 0]),
        [2, 0, 2, 5, 0],
    ],
    ids=["array", "series", "ndarray", "list"],
)
def test_classes_are_found_in_one_pass_over_y(y, scheduler):
    np.testing.assert_array_equal(find_classes(SGD, y), [0, 2, 5])


def test_the_pass_is_logged(caplog):
    with caplog.at_level(logging.INFO, logger="incremental"):
        find_classes(SGD, da.ones(4, chunks=2))
    assert "pass `classes` to save it" in caplog.text


@pytest.mark.parametrize("dtype", ["str", "object", "category"])
def test_classes_of_strings_are_found(dtype):
    y = dd.from_pandas(pd.Series(["b", "a", "c", "a"], dtype=dtype), npartitions=2)
    assert list(find_classes(SGD, y)) == ["a", "b", "c"]


def test_categories_dask_knows_are_taken_without_a_pass(no_compute):
    y = pd.Series(["b", "a"], dtype=pd.CategoricalDtype(["c", "b", "a"]))
    assert list(find_classes(SGD, dd.from_pandas(y, npartitions=1))) == ["a", "b", "c"]


def test_unknown_categories_are_found():
    y = dd.from_pandas(pd.Series(["b", "a"], dtype="category"), npartitions=1)
    assert list(find_classes(SGD, y.cat.as_unknown())) == ["a", "b"]


def test_several_outputs_have_classes_each():
    y = da.from_array(np.array([[0, 5], [1, 6], [0, 5]]), chunks=(2, 2))
    first, second = find_classes(MultiOutputClassifier(SGD), y)
    assert (list(first), list(second)) == ([0, 1], [5, 6])


def test_several_labels_are_numbered(no_compute):
    y = da.ones((4, 3), chunks=2)
    assert list(find_classes(MLPClassifier(), y)) == [0, 1, 2]


def test_unknown_classes_are_named():
    with pytest.raises(ValueError, match=r"classes \[7, 9\].*classes=\[0, 1\]"):
        check_classes(np.array([0, 9, 1, 7, 9]), [0, 1])


def test_ten_unknown_classes_are_listed_and_their_number_is_told():
    y = np.arange(1000)
    model = Incremental(SGD, classes=range(40, 51))
    with pytest.raises(ValueError, match="y holds the classes") as caught:
        model.fit(da.ones((1000, 2), chunks=1000), da.from_array(y, chunks=1000))
    message = str(caught.value)
    assert "classes [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …] (989 in all)" in message
    assert "classes=[40, 41, 42, 43, 44, 45, 46, 47, 48, 49, …] (11 in all)" in message


def test_unknown_classes_of_an_output_are_named():
    with pytest.raises(ValueError, match=r"classes \[3\]"):
        check_classes(np.array([[0, 1], [1, 3]]), [[0, 1], [0, 1]])


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        (np.array([0, 1]), [0, 1]),
        (pd.Series(["a", "b"], dtype="category"), ["a", "b", "c"]),
        (pd.Series(["a", "b"]), np.array(["a", "b"])),
        (np.array([[0, 1], [1, 1]]), [0, 1]),
        (np.array([[0], [1]]), [0, 1]),
    ],
)
def test_classes_that_are_given_pass(y, classes):
    check_classes(y, classes)
