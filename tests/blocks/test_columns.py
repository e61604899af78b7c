"""All blocks of a fit have the same columns."""

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import BaseEstimator
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LinearRegression, SGDClassifier, SGDRegressor
from sklearn.multioutput import MultiOutputRegressor
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler, StandardScaler

from incremental import Incremental, ParallelPostFit, merge
from tests.contracts import Recorder, plain_loop

PARTS = [
    pd.DataFrame(np.arange(9.0).reshape(3, 3) + 10 * n, columns=list("abc"))
    for n in range(3)
]
WAYS = {
    "order": lambda part: part[["c", "a", "b"]],
    "names": lambda part: part.rename(columns={"a": "z"}),
    "fewer": lambda part: part[["a"]],
    "more": lambda part: part.assign(d=1.0),
}


class Lenient(BaseEstimator):
    """Learns from any columns."""

    def partial_fit(self, X, y=None):
        self.n_ = getattr(self, "n_", 0) + len(X)
        return self


class Summing(Lenient):
    """Merges."""


@merge.register
def _(first: Summing, *others: Summing) -> Summing:
    merged = Summing()
    merged.n_ = first.n_ + sum(other.n_ for other in others)
    return merged


ESTIMATORS = {
    "merged": StandardScaler(),
    "merged counts": MultinomialNB(),
    "merged, of a type of one's own": Summing(),
    "serial": SGDClassifier(),
    "serial, unchecked": Recorder(),
    "pipeline": make_pipeline(StandardScaler(), SGDClassifier()),
    "mapped ahead": make_pipeline(
        FunctionTransformer(lambda X: np.asarray(X)[:, :1]), SGDClassifier()
    ),
    "mapped ahead, no learning": make_pipeline(
        FunctionTransformer(lambda X: np.asarray(X)[:, :1]), Lenient()
    ),
}


def as_frame(parts):
    return dd.from_map(
        lambda part: part, parts, meta=parts[0].iloc[:0], enforce_metadata=False
    )


def as_array(parts):
    blocks = [
        da.from_delayed(dask.delayed(part), (part.shape[0], 3), dtype=float)
        for part in parts
    ]
    return da.concatenate(blocks)


def params_of(estimator, kind):
    if "Classifier" not in str(estimator) and "NB" not in str(estimator):
        return {}
    y = np.array([0, 1, 0] * 3)
    if kind == "array":
        return {"y": da.from_array(y, chunks=3), "classes": [0, 1]}
    return {"y": as_frame([pd.Series(y[:3])] * 3), "classes": [0, 1]}


def says_where(caught, block):
    return any(f"in block {block} (of 0 to 2)" in n for n in caught.value.__notes__)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("batch_size", [None, 2])
def test_a_partition_of_other_columns_is_refused(name, way, batch_size):
    estimator = ESTIMATORS[name]
    X = as_frame([*PARTS[:2], WAYS[way](PARTS[2])])
    model = Incremental(estimator, shuffle_blocks=False, batch_size=batch_size)
    expected = "X has the columns .* in this block, but the columns"
    with pytest.raises(ValueError, match=expected) as caught:
        model.fit(X, **params_of(estimator, "frame"))
    assert "['a', 'b', 'c'] in the first that was fitted" in str(caught.value)
    assert says_where(caught, 2)


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix])
def test_a_chunk_of_another_number_of_columns_is_refused(name, kind):
    estimator = ESTIMATORS[name]
    if kind is sp.csr_matrix:
        if name not in ("merged", "merged counts", "serial"):
            pytest.skip("It does not take sparse data.")
        if name == "merged":
            estimator = MaxAbsScaler()
    X = as_array([kind(p.to_numpy()) for p in PARTS[:2]] + [kind(PARTS[2][["a"]])])
    model = Incremental(estimator, shuffle_blocks=False)
    with pytest.raises(ValueError, match="X has 1 columns in .* but 3 columns") as e:
        model.fit(X, **params_of(estimator, "array"))
    assert says_where(e, 2)


@pytest.mark.parametrize(
    "name",
    [
        "merged",
        pytest.param("serial, unchecked", marks=pytest.mark.slow),
        pytest.param("mapped ahead", marks=pytest.mark.slow),
    ],
)
def test_it_is_found_on_each_scheduler(name, scheduler):
    estimator = {
        **ESTIMATORS,
        "mapped ahead": make_pipeline(FunctionTransformer(np.asarray), SGDClassifier()),
    }[name]
    X = as_frame([*PARTS[:2], WAYS["order"](PARTS[2])])
    with pytest.raises(ValueError, match="X has the columns"):
        Incremental(estimator).fit(X, **params_of(estimator, "frame"))


@pytest.mark.parametrize("name", ["merged", "serial, unchecked"])
def test_an_empty_first_partition_does_not_rule(name):
    X = as_frame([PARTS[0].iloc[:0], PARTS[1], WAYS["order"](PARTS[2])])
    model = Incremental(ESTIMATORS[name], shuffle_blocks=False)
    with pytest.raises(ValueError, match="X has the columns") as caught:
        model.fit(X)
    assert says_where(caught, 2)
    model.fit(as_frame([PARTS[0][["b"]].iloc[:0], *PARTS[1:]]))


@pytest.mark.parametrize("name", ["merged", "serial, unchecked"])
def test_it_is_found_in_a_later_pass(name, tmp_path):
    path = tmp_path / "later"

    def swap(part):
        if path.exists():
            return part[["c", "b", "a"]]
        path.touch()
        return part

    read = dask.delayed(swap)(dask.delayed(PARTS[0]))
    X = dd.from_delayed([read], meta=PARTS[0].iloc[:0], verify_meta=False)
    with pytest.raises(ValueError, match="X has the columns"):
        Incremental(ESTIMATORS[name], max_iter=2).fit(X)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("estimator", [StandardScaler(), MaxAbsScaler()])
def test_a_later_call_of_other_columns_is_refused_as_by_the_estimator(way, estimator):
    model = Incremental(estimator).fit(as_frame(PARTS))
    with pytest.raises(ValueError, match="eature"):
        estimator.fit(PARTS[0]).partial_fit(WAYS[way](PARTS[0]))
    with pytest.raises(ValueError, match="X has the columns"):
        model.partial_fit(as_frame([WAYS[way](part) for part in PARTS]))
    assert model.n_samples_seen_ == 9


def test_a_later_call_may_bring_an_array():
    model = Incremental(StandardScaler()).fit(as_frame(PARTS))
    model.partial_fit(as_array([part.to_numpy() for part in PARTS]))
    assert model.n_samples_seen_ == 18
    with pytest.raises(ValueError, match="X has 2 columns"):
        model.partial_fit(da.ones((4, 2), chunks=2))


def test_columns_with_numbers_for_names_are_compared():
    parts = [part.set_axis([0, 1, 2], axis=1) for part in PARTS]
    with pytest.raises(ValueError, match=r"columns \[2, 1, 0\]"):
        Incremental(StandardScaler(), shuffle_blocks=False).fit(
            as_frame([parts[0], parts[1][[2, 1, 0]]])
        )


def test_ten_of_many_columns_are_listed():
    parts = [pd.DataFrame(np.ones((2, 50))).add_prefix("c") for _ in range(2)]
    parts[1] = parts[1].iloc[:, ::-1]
    with pytest.raises(ValueError, match=r"'c9', … \(50 in all\)\]"):
        Incremental(StandardScaler(), shuffle_blocks=False).fit(as_frame(parts))


def test_outputs_of_another_order_are_refused():
    y = [part[["a", "b"]] for part in PARTS]
    model = Incremental(MultiOutputRegressor(SGDRegressor()), shuffle_blocks=False)
    with pytest.raises(ValueError, match="y has the columns") as caught:
        model.fit(as_frame(PARTS), as_frame([*y[:2], y[2][["b", "a"]]]))
    assert says_where(caught, 2)


def test_the_names_of_series_and_of_documents_do_not_matter():
    texts = [pd.Series(["a b", "b", "c"], name=name) for name in ("t", "u", None)]
    y = [pd.Series([0, 1, 0], name=name) for name in ("y", "z", None)]
    model = Incremental(make_pipeline(HashingVectorizer(), SGDClassifier()))
    model.fit(as_frame(texts), as_frame(y), classes=[0, 1])
    assert model.n_iter_ == 1


def test_blocks_of_the_same_columns_are_fitted_as_ever():
    model = Incremental(StandardScaler(), shuffle_blocks=False).fit(as_frame(PARTS))
    table = pd.concat(PARTS)
    expected = plain_loop(StandardScaler(), table.to_numpy(), None, {}, (3, 3, 3))
    np.testing.assert_allclose(model.mean_, expected.mean_)
    assert list(model.feature_names_in_) == list("abc")


@pytest.mark.parametrize("way", WAYS)
def test_a_step_that_forgets_the_names_does_not_hide_other_columns(way):
    X = as_frame([*PARTS[:2], WAYS[way](PARTS[2])])
    forget = FunctionTransformer(lambda X: np.asarray(X)[:, :1])
    model = make_pipeline(ParallelPostFit(forget), Incremental(StandardScaler()))
    with pytest.raises(ValueError, match="X has the columns"):
        model.fit(X)


@pytest.mark.parametrize("way", WAYS)
def test_a_prediction_for_a_partition_of_other_columns_is_an_error(way):
    table = pd.concat(PARTS)
    model = make_pipeline(FunctionTransformer(np.asarray), LinearRegression())
    model.fit(table.to_numpy(), table["a"])
    X = as_frame([*PARTS[:2], WAYS[way](PARTS[2])])
    blocks = ParallelPostFit(model, predict_meta=pd.Series(dtype=float)).predict(X)
    with pytest.raises(ValueError, match=r"but the columns \['a', 'b', 'c'\] in what"):
        blocks.compute()


def test_a_chunk_of_another_number_of_columns_than_declared_is_an_error():
    same = ParallelPostFit(FunctionTransformer(lambda X: X.sum(axis=1)))
    X = as_array([part.to_numpy() for part in PARTS[:2]] + [np.ones((3, 1))])
    with pytest.raises(ValueError, match="X has 1 columns in .* but 3 columns in what"):
        same.fit(X).transform(X).compute()
