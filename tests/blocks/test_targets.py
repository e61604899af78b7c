"""y of nullable and Arrow types, as columns and as arrays of objects."""

import warnings

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.multioutput import MultiOutputClassifier

from incremental import Incremental, ParallelPostFit
from incremental._blocks.targets import as_target

rng = np.random.default_rng(0)
VALUES = rng.normal(size=(40, 3))
X = da.from_array(VALUES, chunks=(10, 3))
ONES = (VALUES[:, 0] > 0).astype(int)
NUMBERS = ["Int64", "Float64", "int64[pyarrow]", "double[pyarrow]"]
CLASSES = [*NUMBERS, "boolean", "bool[pyarrow]", "string", "string[pyarrow]"]


def column(dtype):
    series = pd.Series(ONES)
    if "string" in dtype:
        series = series.map({0: "n", 1: "p"})
    return (series.astype(bool) if "bool" in dtype else series).astype(dtype)


def array_of(series):
    """Return the array of objects that dask makes of a column."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        array = dd.from_pandas(series, npartitions=4).to_dask_array(lengths=True)
    assert array.dtype == object
    return array


def with_missing(series):
    series = series.copy()
    series.iloc[3] = pd.NA
    return series


def classifier(**params):
    return Incremental(SGDClassifier(random_state=0), random_state=0, **params)


@pytest.mark.parametrize("dtype", CLASSES)
def test_arrays_of_objects_are_fitted_as_the_column_itself(dtype):
    y = array_of(column(dtype))
    fitted, plain = classifier().fit(X, y), classifier().fit(X, column(dtype))
    assert fitted.classes_.dtype.kind == plain.classes_.dtype.kind != "O"
    np.testing.assert_array_equal(fitted.coef_, plain.coef_)
    assert fitted.score(X, y) == plain.score(X, column(dtype)) > 0.8


def test_an_array_of_a_categorical_column_has_the_type_of_its_categories():
    fitted = classifier().fit(X, array_of(pd.Series(ONES).astype("category")))
    assert fitted.classes_.dtype.kind == "i"


@pytest.mark.parametrize("dtype", NUMBERS)
def test_missing_numbers_in_an_array_of_objects_are_refused_by_a_regressor(dtype):
    y = array_of(with_missing(column(dtype)))
    with pytest.raises(ValueError, match="Input y contains NaN"):
        Incremental(SGDRegressor()).fit(X, y)


@pytest.mark.parametrize("dtype", ["string", "string[pyarrow]"])
@pytest.mark.parametrize("form", ["array", "in memory"])
def test_scores_refuse_missing_text_and_say_how_much(dtype, form):
    y = with_missing(column(dtype))
    fitted = ParallelPostFit(SGDClassifier()).fit(VALUES, column(dtype))
    rows = (X, array_of(y)) if form == "array" else (VALUES, y)
    with pytest.raises(ValueError, match="y holds 1 missing values"):
        fitted.score(*rows)


def test_several_nullable_columns_are_fitted_as_numbers():
    frame = pd.DataFrame(VALUES, columns=[*"abc"])
    y = pd.DataFrame({"u": ONES, "v": 1 - ONES})
    several = Incremental(MultiOutputClassifier(SGDClassifier(random_state=0)))
    several.set_params(shuffle_blocks=False)
    fitted = several.fit(
        dd.from_pandas(frame, npartitions=2),
        dd.from_pandas(y.astype("Int64"), npartitions=2),
    )
    assert [one.classes_.dtype.kind for one in fitted.estimators_] == ["i", "i"]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1, 2], int),
        ([1, 2.5], float),
        ([True, False], bool),
        ([1, None], float),
        ([1, pd.NA], float),
        ([1, "a"], object),
        ([1, True], object),
        ([2**70, 1], object),
        ([2**53 + 1, 0.5], object),
        ([None, None], object),
        (["a", None], object),
    ],
)
def test_objects_become_numbers_where_no_value_changes(values, dtype):
    target = as_target(np.array(values, dtype=object))
    assert target.dtype == dtype
    known = [value for value in values if not pd.isna(value)]
    assert target[: len(known)].tolist() == known or dtype is float


def test_other_targets_are_the_object_that_was_given():
    for y in (ONES, [1, 0], pd.Series(ONES), pd.DataFrame({"a": ONES})):
        assert as_target(y) is y
