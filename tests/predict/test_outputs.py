"""What methods return for a block is what the collection declares, or an error."""

import dask.array as da
import dask.bag as db
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from incremental import ParallelPostFit

X = np.arange(12.0).reshape(6, 2)
LAZY = da.from_array(X, chunks=(3, 2))
FRAME = pd.DataFrame(X, columns=["a", "b"], index=[f"r{n}" for n in range(6)])
LAZY_FRAME = dd.from_pandas(FRAME, npartitions=2)
REGRESSOR = LinearRegression().fit(X, X[:, 0] + 0.5)
NAMED_REGRESSOR = LinearRegression().fit(FRAME, X[:, 0] + 0.5)


class Says(BaseEstimator):
    """Returns what a function makes of X."""

    def __init__(self, function):
        self.function = function

    def fit(self, X, y=None):
        return self

    def __sklearn_is_fitted__(self):
        return True

    def predict(self, X):
        return self.function(X)

    transform = decision_function = predict_proba = predict


def says(function, **metas):
    return ParallelPostFit(Says(function), **metas)


def sizes(X):
    return np.where(np.asarray(X)[:, 0] > 5, "enormous", "no")


def by_label(X):
    values = np.asarray(X)
    return values[:, 0].astype(int) if len(values) == 1 else values[:, 0] + 0.5


def in_block(caught, number):
    return any(f"of block {number}" in note for note in caught.value.__notes__)


# Text


@pytest.mark.parametrize("meta", [None, np.array(["no"]), np.array([0])])
@pytest.mark.parametrize("data", [LAZY, LAZY_FRAME])
def test_text_longer_than_that_of_the_invented_row_is_kept(meta, data):
    predicted = says(sizes, predict_meta=meta).predict(data)
    assert predicted.dtype == object
    assert list(predicted.compute()) == ["no"] * 3 + ["enormous"] * 3
    assert predicted.compute().dtype == predicted.dtype


@pytest.mark.parametrize("meta", [None, np.array(["a"]), np.array([0])])
def test_predicted_classes_have_the_type_of_all_classes(meta):
    labels = np.array(["no", "yes", "perhaps"] * 2)
    model = LogisticRegression().fit(X, labels)
    predicted = ParallelPostFit(model, predict_meta=meta).predict(LAZY)
    assert predicted.dtype == labels.dtype
    np.testing.assert_array_equal(predicted.compute(), model.predict(X))


def test_text_goes_to_parquet(tmp_path):
    says(sizes).predict(LAZY).to_dask_dataframe(columns=["size"]).to_parquet(
        tmp_path / "p"
    )
    read = dd.read_parquet(tmp_path / "p").compute()
    assert list(read["size"]) == ["no"] * 3 + ["enormous"] * 3


@pytest.mark.parametrize("dtype", ["object", "str"])
def test_text_fits_a_series(dtype):
    meta = pd.Series(dtype=dtype, name="size")
    predicted = says(sizes, predict_meta=meta).predict(LAZY_FRAME)
    computed = predicted.compute()
    assert list(computed) == ["no"] * 3 + ["enormous"] * 3
    assert computed.dtype == predicted.dtype


def test_a_value_that_is_no_category_is_an_error():
    meta = pd.Series(dtype=pd.CategoricalDtype(["no", "yes"]))
    predicted = says(sizes, predict_meta=meta).predict(LAZY_FRAME)
    with pytest.raises(ValueError, match="`predict_meta`") as caught:
        predicted.compute()
    assert in_block(caught, 1)


def test_categories_are_kept():
    meta = pd.Series(dtype=pd.CategoricalDtype(["no", "enormous"]))
    predicted = says(sizes, predict_meta=meta).predict(LAZY_FRAME).compute()
    assert predicted.dtype == meta.dtype
    assert list(predicted) == ["no"] * 3 + ["enormous"] * 3


# Numbers


def test_an_example_of_an_integer_keeps_the_floats_of_a_regressor(tmp_path):
    predicted = ParallelPostFit(REGRESSOR, predict_meta=np.array([0])).predict(LAZY)
    assert predicted.dtype == float
    np.testing.assert_allclose(predicted.compute(), X[:, 0] + 0.5)
    predicted.to_dask_dataframe(columns=["p"]).to_parquet(tmp_path / "p")
    read = dd.read_parquet(tmp_path / "p").compute()
    np.testing.assert_allclose(read["p"], X[:, 0] + 0.5)


def test_an_example_of_one_dimension_is_widened_to_several_outputs():
    model = LinearRegression().fit(X, X + 0.5)
    predicted = ParallelPostFit(model, predict_meta=np.array([0])).predict(LAZY)
    assert (predicted.shape, predicted.dtype) == ((6, 2), float)
    np.testing.assert_allclose(predicted.compute(), X + 0.5)


def test_a_series_of_integers_keeps_the_floats_of_a_regressor():
    meta = pd.Series(dtype="int64", name="p")
    model = ParallelPostFit(NAMED_REGRESSOR, predict_meta=meta)
    predicted = model.predict(LAZY_FRAME)
    computed = predicted.compute()
    assert (predicted.dtype, predicted.name, computed.dtype) == (float, "p", float)
    np.testing.assert_allclose(computed, X[:, 0] + 0.5)
    assert list(computed.index) == list(FRAME.index)


def test_an_example_of_a_wider_type_rules():
    for dtype in ("float64", "object"):
        meta = np.empty(0, dtype)
        labels = says(lambda X: np.ones(len(X), int), predict_meta=meta).predict(LAZY)
        assert labels.dtype == labels.compute().dtype == dtype


@pytest.mark.parametrize(
    ("function", "dtype"),
    [
        (lambda X: np.where(X[:, 0] > 5, np.nan, 1.0), "int64"),
        (lambda X: np.where(X[:, 0] > 5, 0.5, 1.0), "int64"),
        (lambda X: np.where(X[:, 0] > 5, 2.0**63, 1.0), "int64"),
        (lambda X: np.where(X[:, 0] > 5, 300, 1), "int8"),
        (lambda X: np.where(X[:, 0] > 5, 2**53 + 1, 1), "float64"),
        (lambda X: np.where(X[:, 0] > 5, 2, 1), "bool"),
        (lambda X: np.where(X[:, 0] > 5, None, 1.0), "float64"),
        (lambda X: np.where(X[:, 0] > 5, 1e300, 1.0), "float32"),
    ],
    ids=["nan", "half", "2**63", "300", "2**53+1", "2", "None", "1e300"],
)
@pytest.mark.parametrize("kind", ["array", "series"])
def test_a_value_that_does_not_fit_the_example_is_an_error(function, dtype, kind):
    def fussy(X):
        if len(X) == 1:
            raise ValueError("One row is too few.")
        return function(np.asarray(X))

    meta = np.empty(0, dtype) if kind == "array" else pd.Series(dtype=dtype)
    data = LAZY if kind == "array" else LAZY_FRAME
    predicted = says(fussy, predict_meta=meta).predict(data)
    assert predicted.dtype == dtype
    with pytest.raises(ValueError, match=f"type {dtype} cannot.*`predict_meta`") as e:
        predicted.compute()
    assert in_block(e, 1)


@pytest.mark.parametrize("method", ["transform", "decision_function"])
def test_floats_of_a_block_are_not_cut_to_the_integers_of_the_invented_row(method):
    output = getattr(says(by_label), method)(LAZY)
    way_out = "`transform_meta`" if method == "transform" else "Give X one type"
    with pytest.raises(ValueError, match=f"float64 values.*int64.*{way_out}"):
        output.compute()


def test_an_example_mends_an_invented_row_of_another_type():
    output = says(by_label, transform_meta=np.empty(0)).transform(LAZY).compute()
    np.testing.assert_array_equal(output, X[:, 0] + 0.5)


def test_floats_are_not_rounded_to_the_type_of_the_invented_row():
    def drifting(X):
        return X[:, 0] / 3 if len(X) > 1 else X[:, 0].astype("f4")

    with pytest.raises(ValueError, match="float64 values.*float32"):
        says(drifting).predict(LAZY).compute()


def test_sparse_output_of_another_type_is_widened_or_an_error():
    def counts(X, factor=1.0):
        wide = len(X) > 1 and X.max() > 6
        return sp.csr_matrix((X * factor).astype("f8" if wide else "f4"))

    blocks = says(counts).transform(LAZY)
    assert blocks.compute().dtype == blocks.dtype == "f4"
    with pytest.raises(ValueError, match="float64 values.*float32"):
        says(lambda X: counts(X, 0.1)).transform(LAZY).compute()


def test_each_output_of_several_is_widened_or_an_error():
    def outputs(X):
        return [X[:, 0].astype("f4"), X[:, 0] if len(X) > 1 else X[:, 0].astype(int)]

    _, second = says(outputs).predict_proba(LAZY)
    assert second.compute().dtype == second.dtype == int
    half = says(lambda X: [part / 1.5 if len(X) > 1 else part for part in outputs(X)])
    _, second = half.predict_proba(LAZY)
    with pytest.raises(ValueError, match="`predict_proba_meta`"):
        second.compute()


def test_examples_of_several_outputs_are_several():
    y = np.array([[0, 1], [1, 0]] * 3)
    model = MultiOutputClassifier(LogisticRegression()).fit(X, y)
    wrapper = ParallelPostFit(model, predict_proba_meta=np.empty((0, 2)))
    with pytest.raises(ValueError, match="is for one output, but.* a list of 2"):
        wrapper.predict_proba(LAZY)
    wrapper.predict_proba_meta = [np.empty((0, 2), int)] * 2
    received = wrapper.predict_proba(LAZY)
    assert [part.dtype for part in received] == [float] * 2
    np.testing.assert_array_equal(received[1], model.predict_proba(X)[1])


@pytest.mark.parametrize("dtype", ["Int64", "Float64", "boolean"])
def test_a_series_of_a_nullable_type_is_filled(dtype):
    meta = pd.Series(dtype=dtype)
    ones = says(lambda X: np.ones(len(X)), predict_meta=meta).predict(LAZY_FRAME)
    assert ones.compute().dtype == meta.dtype
    assert ones.compute().eq(1).all()


def test_a_float_is_not_cut_to_a_nullable_integer():
    model = ParallelPostFit(NAMED_REGRESSOR, predict_meta=pd.Series(dtype="Int64"))
    with pytest.raises(ValueError, match="Int64.*`predict_meta`"):
        model.predict(LAZY_FRAME).compute()


# Pandas


def test_each_column_of_pandas_has_the_declared_type():
    def mixed(frame):
        frame = frame.assign(a=frame["a"].astype(int), b=frame["b"].astype("f4"))
        return frame if len(frame) == 1 else frame.astype({"a": "f8"})

    blocks = says(mixed).transform(LAZY_FRAME)
    computed = blocks.compute()
    assert dict(computed.dtypes) == dict(blocks.dtypes) == {"a": int, "b": "f4"}
    np.testing.assert_array_equal(computed, X)
    missing = says(lambda frame: mixed(frame).replace({"a": {8.0: np.nan}}))
    with pytest.raises(ValueError, match="int64 cannot hold.*`transform_meta`") as e:
        missing.transform(LAZY_FRAME).compute()
    assert in_block(e, 1)


def test_columns_of_other_names_than_the_example_are_refused():
    scaler = StandardScaler().set_output(transform="pandas").fit(FRAME)
    meta = pd.DataFrame({"b": [0.0], "a": [0.0]})
    with pytest.raises(ValueError, match=r"has the columns \['b', 'a'\]"):
        ParallelPostFit(scaler, transform_meta=meta).transform(LAZY_FRAME)


def test_columns_of_a_block_that_differ_are_an_error():
    with pytest.raises(ValueError, match="returned the columns"):
        says(
            lambda frame: frame.rename(columns={"a": f"c{frame['a'].max()}"})
        ).transform(LAZY_FRAME).compute()


def test_an_example_of_an_array_makes_arrays_of_pandas():
    scaler = StandardScaler().set_output(transform="pandas").fit(FRAME)
    wrapper = ParallelPostFit(scaler, transform_meta=np.empty((0, 2)))
    scaled = wrapper.transform(LAZY_FRAME)
    assert isinstance(scaled, da.Array)
    assert type(scaled.compute()) is np.ndarray


def test_unknown_categories_pass_through():
    frame = FRAME.assign(color=pd.Categorical(["red", "blue", "red"] * 2))
    lazy = dd.from_pandas(frame, npartitions=2)
    lazy["color"] = lazy["color"].cat.as_unknown()
    same = FunctionTransformer().set_output(transform="pandas")
    received = ParallelPostFit(same).fit(lazy).transform(lazy).compute()
    pd.testing.assert_frame_equal(received, frame, check_index_type=False)


# Rows


def dropped(X):
    return X[1:] if len(X) > 1 else X


DATA = {
    "array": LAZY,
    "uncounted": LAZY[LAZY[:, 0] >= 0],
    "frame": LAZY_FRAME,
    "series": LAZY_FRAME["a"],
    "bag": db.from_sequence("abcdef", npartitions=2),
}


@pytest.mark.parametrize("method", ["predict", "transform", "decision_function"])
@pytest.mark.parametrize("kind", DATA)
def test_another_number_of_rows_is_an_error(kind, method):
    def drop(X):
        return np.zeros((len(X) - (len(X) > 1), 2))

    with pytest.raises(ValueError, match="2 rows for a block of 3") as caught:
        getattr(says(drop), method)(DATA[kind]).compute()
    assert f"Says.{method} returned" in str(caught.value)
    assert in_block(caught, 0) or in_block(caught, 1)


@pytest.mark.parametrize("meta", [None, pd.Series(dtype=float)])
def test_another_number_of_rows_of_pandas_is_an_error(meta):
    wrapper = says(lambda frame: dropped(frame["a"]), predict_meta=meta)
    with pytest.raises(ValueError, match="2 rows for a block of 3"):
        wrapper.predict(LAZY_FRAME).compute()


def test_more_rows_of_sparse_output_are_an_error():
    twice = says(lambda X: sp.csr_matrix(np.vstack([X, X]) if len(X) > 1 else X))
    with pytest.raises(ValueError, match="6 rows for a block of 3"):
        twice.transform(LAZY).compute()


def test_another_number_of_rows_in_one_of_several_outputs_is_an_error():
    several = says(lambda X: [X, dropped(X)])
    first, _ = several.predict_proba(LAZY)
    with pytest.raises(ValueError, match="2 rows for a block of 3"):
        first.compute()


def test_a_list_of_labels_is_an_array_if_the_example_is():
    labels = says(lambda X: [0] * len(X), predict_meta=np.array([0])).predict(LAZY)
    np.testing.assert_array_equal(labels.compute(), np.zeros(6))


# Index


def reverse(frame):
    return frame[::-1]


def number(frame):
    return frame.reset_index(drop=True)


def rename(frame):
    return frame.set_axis([f"s{n}" for n in range(len(frame))])


@pytest.mark.parametrize("column", [slice(None), "a"])
@pytest.mark.parametrize("change", [reverse, number, rename])
def test_pandas_of_another_index_is_an_error(change, column):
    output = says(lambda X: change(X).loc[:, column]).transform(LAZY_FRAME)
    expected = r"Says.transform returned.*'r[03]'; expected.*Keep the index of X"
    with pytest.raises(ValueError, match=expected) as caught:
        output.compute()
    assert in_block(caught, 0) or in_block(caught, 1)


def test_pandas_of_another_index_is_an_error_in_the_block_that_has_it():
    numbered = dd.from_pandas(FRAME.reset_index(drop=True), npartitions=2)
    with pytest.raises(ValueError, match="has 0 where that of X has 3") as caught:
        says(number).transform(numbered).compute()
    assert in_block(caught, 1)


@pytest.mark.parametrize("change", [reverse, rename])
@pytest.mark.parametrize("kind", ["frame", "array"])
def test_rows_in_another_order_do_not_become_an_array(kind, change):
    data = LAZY_FRAME if kind == "frame" else LAZY
    wrapper = says(lambda X: change(pd.DataFrame(X)), transform_meta=np.empty((0, 2)))
    with pytest.raises(ValueError, match="Keep the index of X"):
        wrapper.transform(data).compute()


@pytest.mark.parametrize("data", [LAZY, LAZY_FRAME])
def test_an_array_is_made_of_numbered_rows(data):
    wrapper = says(
        lambda X: pd.DataFrame(np.asarray(X)), transform_meta=np.empty((0, 2))
    )
    np.testing.assert_array_equal(wrapper.transform(data).compute(), X)
