"""Learning what a method returns without a read."""

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import CategoricalNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    StandardScaler,
)

from incremental import ParallelPostFit

COLORS = pd.DataFrame({"color": ["red", "blue"] * 5, "size": np.arange(10.0)})


@pytest.mark.parametrize("dtype", ["Int64", "Float64", "boolean", "float32", "int8"])
def test_columns_of_any_numbers(dtype):
    frame = pd.DataFrame({"a": np.arange(10) % 2, "b": np.arange(10) % 2}, dtype=dtype)
    model = LinearRegression().fit(frame, np.arange(10))
    predicted = ParallelPostFit(model).predict(dd.from_pandas(frame, npartitions=2))
    np.testing.assert_allclose(predicted, model.predict(frame))


@pytest.mark.parametrize("encoder", [OneHotEncoder(), OrdinalEncoder()])
@pytest.mark.parametrize("dtype", ["str", "object", "category"])
def test_encoders_get_categories_that_they_know(encoder, dtype):
    frame = COLORS[["color"]].astype(dtype)
    encoder.fit(frame)
    received = ParallelPostFit(encoder).transform(dd.from_pandas(frame, 2)).compute()
    expected = encoder.transform(frame)
    assert type(received) is type(expected)
    assert (received != expected).sum() == 0


def test_encoders_in_a_column_transformer_of_a_pipeline():
    columns = ColumnTransformer(
        [("c", OneHotEncoder(), ["color"]), ("n", StandardScaler(), ["size"])]
    )
    model = make_pipeline(columns, LogisticRegression()).fit(COLORS, [0, 1] * 5)
    predicted = ParallelPostFit(model).predict(dd.from_pandas(COLORS, npartitions=3))
    np.testing.assert_array_equal(predicted, model.predict(COLORS))


def test_encoders_of_arrays():
    X = np.array([["x", "p"], ["y", "q"]] * 4, dtype=object)
    encoder = OneHotEncoder(sparse_output=False).fit(X)
    lazy = da.from_array(X, chunks=(3, 2))
    np.testing.assert_array_equal(
        ParallelPostFit(encoder).transform(lazy), encoder.transform(X)
    )


def test_numbers_of_object_dtype():
    X = np.arange(8).reshape(4, 2)
    model = LinearRegression().fit(X, [0, 1, 2, 3])
    lazy = da.from_array(X.astype(object), chunks=(2, 2))
    np.testing.assert_allclose(ParallelPostFit(model).predict(lazy), model.predict(X))


def test_estimators_that_take_only_some_values():
    zeros = CategoricalNB().fit(np.zeros((4, 1), int), [0, 1, 0, 1])
    lazy = da.zeros((4, 1), chunks=2, dtype=int)
    assert ParallelPostFit(zeros).predict(lazy).shape == (4,)
    positive = PowerTransformer("box-cox").fit(np.arange(1.0, 9).reshape(4, 2))
    assert ParallelPostFit(positive).transform(da.ones((4, 2), chunks=2)).ndim == 2


def test_a_list_with_an_entry_for_each_row_is_refused():
    counter = CountVectorizer().fit(["a word", "another word"])
    with pytest.raises(TypeError, match="returns a list of rows"):
        ParallelPostFit(counter).inverse_transform(da.ones((4, 2), chunks=2))


def test_the_index_of_the_input_is_declared(tmp_path):
    index = pd.date_range("2026-01-01", periods=10, name="when")
    frame = COLORS[["size"]].set_index(index)
    model = ParallelPostFit(
        LinearRegression().fit(frame, np.arange(10)),
        predict_meta=pd.Series(dtype=float, name="p"),
    )
    predicted = model.predict(dd.from_pandas(frame, npartitions=3))
    assert predicted._meta.index.name == "when"
    assert predicted._meta.index.dtype == index.dtype
    predicted.to_frame().to_parquet(tmp_path / "p")
    read = dd.read_parquet(tmp_path / "p").compute()
    np.testing.assert_allclose(read["p"], np.arange(10), atol=1e-9)


@pytest.mark.parametrize("meta", [("p", "int"), int, "f8"])
def test_an_example_that_is_no_array_is_refused(meta):
    model = LinearRegression().fit(np.eye(2), [0, 1])
    with pytest.raises(TypeError, match="example of the output must be an array"):
        ParallelPostFit(model, predict_meta=meta).predict(da.ones((4, 2), chunks=2))


def test_the_type_of_the_example_is_that_of_the_result():
    model = LinearRegression().fit(np.eye(2), [0, 1])
    wrapper = ParallelPostFit(model, predict_meta=np.empty(0, "f4"))
    assert wrapper.predict(da.ones((4, 2), chunks=2)).compute().dtype == "f4"


@pytest.mark.parametrize("meta", [None, np.empty((0, 2))])
def test_outputs_of_polars_are_refused_before_anything_is_read(meta, no_compute):
    pytest.importorskip("polars")
    scaler = StandardScaler().fit(np.ones((3, 2))).set_output(transform="polars")
    wrapper = ParallelPostFit(scaler, transform_meta=meta)
    with pytest.raises(TypeError, match=r"set_output\(transform='pandas'\)"):
        wrapper.transform(da.ones((4, 2), chunks=(2, 2)))
