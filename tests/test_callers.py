"""scikit-learn's meta-estimators and tools around the wrappers.

`MultinomialNB` learns counts, which do not depend on how the rows are cut. So results
on dask collections are compared with those of the plain estimator on the same rows.
"""

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.utils.fixes import parse_version

from incremental import Incremental, ParallelPostFit

NB = MultinomialNB()
CV = StratifiedKFold(3)
WRAPPERS = {
    "Incremental": (Incremental(NB), NB),
    "ParallelPostFit": (ParallelPostFit(LogisticRegression()), LogisticRegression()),
    "nested": (ParallelPostFit(Incremental(NB)), NB),
}
KINDS = ["numpy", "pandas", "array", "array of a dataframe"]
POSSIBLE = [
    pytest.param(name, kind, id=f"{name}-{kind}")
    for name in WRAPPERS
    for kind in KINDS
    if name != "ParallelPostFit" or kind in ("numpy", "pandas")
]
on_each_kind = pytest.mark.parametrize(("name", "kind"), POSSIBLE)
# These recode y in memory, and leave X as it is. The rows of a dataframe are counted.
DATAFRAMES = [(name, "dataframe") for name in ("Incremental", "nested")]
on_dataframes_too = pytest.mark.parametrize(("name", "kind"), [*POSSIBLE, *DATAFRAMES])
counts_rows = pytest.mark.filterwarnings("ignore::dask.array.PerformanceWarning")


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    X = rng.poisson(2 + np.eye(3, 4)[y]).astype(float)
    index = pd.RangeIndex(90)
    return pd.DataFrame(X, index, columns=list("abcd")), pd.Series(y, index, name="y")


def as_kind(kind, rows):
    X, y = rows
    if kind == "pandas":
        return X, y
    if kind == "numpy":
        return X.to_numpy(), y.to_numpy()
    if kind == "array":
        return (
            da.from_array(X.to_numpy(), chunks=(30, 4)),
            da.from_array(y.to_numpy(), chunks=30),
        )
    frames = (dd.from_pandas(one, npartitions=3) for one in rows)
    if kind == "dataframe":
        return tuple(frames)
    return tuple(one.to_dask_array(lengths=True) for one in frames)


def each(name, kind, rows):
    """Return what is wrapped with data of a kind, and the plain with the same rows."""
    wrapper, plain = WRAPPERS[name]
    plain_kind = "pandas" if kind == "pandas" else "numpy"
    return (wrapper, *as_kind(kind, rows)), (plain, *as_kind(plain_kind, rows))


def assert_equal(received, expected):
    np.testing.assert_allclose(dask.compute(received)[0], expected, rtol=1e-12)


@on_each_kind
def test_cross_val_score(name, kind, rows):
    ours, plain = each(name, kind, rows)
    assert_equal(
        cross_val_score(*ours, cv=CV, error_score="raise"),
        cross_val_score(*plain, cv=CV),
    )


@on_each_kind
@pytest.mark.parametrize(
    "method", ["predict", pytest.param("predict_proba", marks=pytest.mark.slow)]
)
def test_cross_val_predict(method, name, kind, rows):
    ours, plain = each(name, kind, rows)
    assert_equal(
        cross_val_predict(*ours, cv=CV, method=method),
        cross_val_predict(*plain, cv=CV, method=method),
    )


@pytest.mark.slow
@on_each_kind
def test_cross_validate(name, kind, rows):
    ours, plain = each(name, kind, rows)
    scoring = ["accuracy", "neg_log_loss"]
    received = cross_validate(*ours, cv=CV, scoring=scoring, error_score="raise")
    expected = cross_validate(*plain, cv=CV, scoring=scoring)
    for metric in scoring:
        assert_equal(received[f"test_{metric}"], expected[f"test_{metric}"])


@pytest.mark.slow
@on_each_kind
def test_learning_curve(name, kind, rows):
    ours, plain = each(name, kind, rows)
    _, *received = learning_curve(*ours, cv=CV, error_score="raise")
    _, *expected = learning_curve(*plain, cv=CV)
    assert_equal(received, expected)


def test_learning_curve_by_partial_fit(rows):
    ours, plain = each("Incremental", "numpy", rows)
    received, expected = (
        learning_curve(*given, cv=CV, exploit_incremental_learning=True)[2]
        for given in (ours, plain)
    )
    assert_equal(received, expected)


@on_each_kind
def test_permutation_importance(name, kind, rows):
    ours, plain = each(name, kind, rows)
    received, expected = (
        permutation_importance(model.fit(X, y), X, y, random_state=0).importances
        for model, X, y in (ours, plain)
    )
    assert_equal(received, expected)


@on_each_kind
def test_grid_search(name, kind, rows):
    (wrapper, X, y), (plain, plain_X, plain_y) = each(name, kind, rows)
    last = "C" if name == "ParallelPostFit" else "alpha"
    prefix = "estimator__estimator__" if name == "nested" else "estimator__"
    values = [0.01, 100.0]
    ours = GridSearchCV(wrapper, {prefix + last: values}, cv=CV, error_score="raise")
    ours.fit(X, y)
    expected = GridSearchCV(plain, {last: values}, cv=CV).fit(plain_X, plain_y)
    for column in ("mean_test_score", "rank_test_score"):
        assert_equal(ours.cv_results_[column], expected.cv_results_[column])
    assert_equal(ours.predict(X), expected.predict(plain_X))
    assert ours.score(X, y) == expected.score(plain_X, plain_y)


@on_dataframes_too
@counts_rows
@pytest.mark.parametrize("voting", ["hard", "soft"])
def test_voting(voting, name, kind, rows):
    (wrapper, X, y), (plain, plain_X, plain_y) = each(name, kind, rows)
    ours = VotingClassifier([("one", wrapper), ("two", wrapper)], voting=voting)
    expected = VotingClassifier([("one", plain), ("two", plain)], voting=voting)
    ours.fit(X, y)
    expected.fit(plain_X, plain_y)
    assert_equal(ours.predict(X), expected.predict(plain_X))
    assert ours.score(X, y) == expected.score(plain_X, plain_y)


@on_each_kind
def test_stacking_with_y_in_memory(name, kind, rows):
    (wrapper, X, y), (plain, plain_X, plain_y) = each(name, kind, rows)
    ours = StackingClassifier([("one", wrapper)], cv=CV).fit(X, *dask.compute(y))
    expected = StackingClassifier([("one", plain)], cv=CV).fit(plain_X, plain_y)
    assert_equal(ours.predict_proba(X), expected.predict_proba(plain_X))


@on_dataframes_too
@counts_rows
def test_one_versus_rest(name, kind, rows):
    (wrapper, X, y), (plain, plain_X, plain_y) = each(name, kind, rows)
    ours = OneVsRestClassifier(wrapper).fit(X, y)
    expected = OneVsRestClassifier(plain).fit(plain_X, plain_y)
    assert_equal(ours.predict_proba(X), expected.predict_proba(plain_X))
    assert_equal(ParallelPostFit(ours).predict(X), expected.predict(plain_X))


@pytest.mark.parametrize("kind", ["array", "dataframe"])
def test_one_versus_rest_inside_of_the_wrapper(kind, rows):
    X, y = as_kind(kind, rows)
    ours = Incremental(OneVsRestClassifier(NB)).fit(X, y)
    expected = OneVsRestClassifier(NB).fit(*rows)
    assert_equal(ours.predict(X), expected.predict(rows[0]))


# What scikit-learn cannot do with dask collections. A test here that fails means that a
# newer scikit-learn or dask can: say so in the README's limits.


CUTS_ROWS = (AttributeError, "take")
REFUSALS = {
    "cross_val_score": (
        CUTS_ROWS,
        lambda model, X, y: cross_val_score(model, X, y, error_score="raise"),
    ),
    "cross_val_predict": (CUTS_ROWS, cross_val_predict),
    "learning_curve": (
        CUTS_ROWS,
        lambda model, X, y: learning_curve(model, X, y, error_score="raise"),
    ),
    "GridSearchCV": (
        CUTS_ROWS,
        lambda model, X, y: GridSearchCV(
            model, {"prefetch": [1]}, error_score="raise"
        ).fit(X, y),
    ),
    "StackingClassifier": (
        CUTS_ROWS,
        lambda model, X, y: StackingClassifier([("one", model)]).fit(X, y),
    ),
    "permutation_importance": (
        (TypeError, "int"),
        lambda model, X, y: permutation_importance(model.fit(X, y), X, y),
    ),
}


@pytest.mark.parametrize("what", REFUSALS)
@pytest.mark.filterwarnings("ignore")
def test_a_dataframe_is_refused_by_what_cuts_its_rows(what, rows):
    (error, message), call = REFUSALS[what]
    with pytest.raises(error, match=message):
        call(Incremental(NB), *as_kind("dataframe", rows))


@pytest.mark.skipif(
    parse_version(sklearn.__version__) < parse_version("1.7"),
    reason="scikit-learn 1.6 computes such a y",
)
def test_stacking_refuses_a_lazy_y(rows):
    with pytest.raises(TypeError, match="equal_nan"):
        StackingClassifier([("one", Incremental(NB))]).fit(*as_kind("array", rows))


def test_one_versus_rest_refuses_to_predict_for_an_array(rows):
    X, y = as_kind("array", rows)
    model = OneVsRestClassifier(Incremental(NB)).fit(X, y)
    with pytest.raises(NotImplementedError, match="out parameter"):
        model.predict(X)


def test_an_estimator_without_partial_fit_is_not_fitted_on_an_array(rows):
    model = ParallelPostFit(LogisticRegression())
    with pytest.raises(TypeError, match="X is a dask collection .*Incremental"):
        cross_val_score(model, *as_kind("array", rows), error_score="raise")
