"""Wrong calls are refused before anything is read, and the error says what to write."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA, IncrementalPCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, SGDClassifier, SGDRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from incremental import Incremental, ParallelPostFit, iter_blocks

reads: Counter[str] = Counter()


def read(block):
    reads["blocks"] += 1
    return block


def array(shape=(40, 3), dtype=float, rows=10):
    values = da.from_array(np.ones(shape, dtype), chunks=(rows, *shape[1:]))
    return values.map_blocks(read, meta=np.empty((0,) * len(shape), dtype))


def labels(n=40):
    values = da.from_array(np.arange(n) % 2, chunks=10)
    return values.map_blocks(read, meta=np.empty(0, int))


def frame(columns="abc", n=40):
    plain = pd.DataFrame({column: np.arange(n) % 2 for column in columns})
    lazy = dd.from_pandas(plain, npartitions=4)
    return lazy.map_partitions(read, meta=plain.iloc[:0])


def wrapper(estimator=None, **options):
    return Incremental(SGDClassifier() if estimator is None else estimator, **options)


def fitted():
    return wrapper(classes=[0, 1]).fit(np.ones((4, 3)), [0, 1, 0, 1])


def fitted_on_names():
    X = pd.DataFrame(np.ones((4, 3)), columns=list("abc"))
    return wrapper(classes=[0, 1]).fit(X, [0, 1, 0, 1])


def scaled():
    return Incremental(StandardScaler()).fit(np.ones((4, 3)))


def steps(*estimators):
    return wrapper(make_pipeline(*estimators), classes=[0, 1])


@dataclass
class Wrong:
    """A wrong call, and what its error says."""

    name: str
    call: Any
    match: str
    error: type[Exception] = ValueError


X_AND_Y = [
    Wrong("no rows", lambda: wrapper().fit(array((0, 3)), labels(0)), "X has no rows"),
    Wrong("no columns", lambda: wrapper().fit(array((40, 0)), labels()), "no columns"),
    Wrong(
        "no columns of a frame",
        lambda: wrapper().fit(frame()[[]], labels()),
        r"X has shape \(\?, 0\): no columns",
    ),
    Wrong(
        "three dimensions",
        lambda: wrapper().fit(array((40, 3, 2)), labels()),
        r"X has 3 dimensions \(shape \(40, 3, 2\)\); SGDClassifier expects 2.*reshape",
    ),
    Wrong(
        "one dimension",
        lambda: wrapper().fit(labels(), labels()),
        r"X has 1 dimensions.*reshape\(-1, 1\)",
    ),
    Wrong(
        "a series as X",
        lambda: wrapper().fit(frame()["a"], labels()),
        r"X has 1 dimensions.*df\[\['name'\]\]",
    ),
    Wrong(
        "no dimension",
        lambda: wrapper().fit(da.from_array(np.array(1.0)), labels()),
        "X is a dask array of 0 dimensions; expected rows",
    ),
    Wrong(
        "a longer y",
        lambda: wrapper().fit(array(), labels(50)),
        r"y has shape \(50,\) but X has 40 rows",
    ),
    Wrong(
        "a shorter y in memory",
        lambda: wrapper().fit(array(), np.zeros(39)),
        r"y has shape \(39,\) but X has 40 rows",
    ),
    Wrong(
        "three dimensions of y",
        lambda: wrapper().fit(array(), array((40, 2, 2))),
        "y has 3 dimensions",
    ),
    Wrong(
        "several columns of y",
        lambda: wrapper().fit(frame(), frame("ab")),
        "y has 2 columns; SGDClassifier expects one.*MultiOutputClassifier",
    ),
    Wrong("a number as y", lambda: wrapper().fit(array(), 1), "y must be", TypeError),
    Wrong("text as y", lambda: wrapper().fit(array(), "abc"), "y must be", TypeError),
    Wrong("no y", lambda: wrapper().fit(array()), "requires y to be passed"),
    Wrong(
        "no y for a regressor",
        lambda: wrapper(SGDRegressor()).fit(array()),
        "requires y to be passed",
    ),
    Wrong("None as X", lambda: wrapper().fit(None, labels()), "X must be", TypeError),
    Wrong("text as X", lambda: wrapper().fit("abc", labels()), "X must be", TypeError),
    Wrong("a number as X", lambda: wrapper().fit(3, labels()), "X must be", TypeError),
    Wrong(
        "a generator as X",
        lambda: wrapper().fit((row for row in [[1.0]]), [1]),
        "X must be .* Make a list of a generator",
        TypeError,
    ),
    Wrong(
        "a dict as X",
        lambda: wrapper().fit({"a": [1, 2]}, [0, 1]),
        "X must be data with rows, got dict",
        TypeError,
    ),
    Wrong(
        "a Delayed as X",
        lambda: wrapper().fit(dask.delayed(read)(1), labels()),
        r"Got a dask.delayed.Delayed.*from_delayed",
        TypeError,
    ),
    Wrong(
        "complex numbers",
        lambda: wrapper().fit(array(dtype=complex), labels()),
        "X is of type complex128; SGDClassifier expects numbers",
    ),
    Wrong(
        "dates",
        lambda: wrapper().fit(frame().assign(t=pd.Timestamp("2020")), frame()["a"]),
        "The column 't' of X is of type datetime64",
    ),
    Wrong(
        "unknown columns and automatic batches",
        lambda: wrapper(batch_size="auto").fit(
            da.from_delayed(dask.delayed(read)(1), (40, np.nan), float), labels()
        ),
        "needs the number of columns",
    ),
]

WEIGHTS = [
    Wrong(
        "weights of another length",
        lambda: wrapper().fit(array(), labels(), sample_weight=np.ones(39)),
        r"sample_weight has shape \(39,\) but X has 40 rows",
    ),
    Wrong(
        "weights in a table",
        lambda: wrapper().fit(array(), labels(), sample_weight=array((40, 2))),
        "sample_weight has 2 dimensions.*one weight for each row",
    ),
    Wrong(
        "a parameter that partial_fit does not take",
        lambda: wrapper(MiniBatchKMeans()).fit(array(), weights=np.ones(40)),
        "takes no parameter 'weights'; it takes X, y, sample_weight",
        TypeError,
    ),
    Wrong(
        "weights of a step that is not there",
        lambda: steps(StandardScaler(), SGDClassifier()).fit(
            array(), labels(), sgd__sample_weight=np.ones(40)
        ),
        "got 'sgd__sample_weight'; expected 'step__parameter' with a step of",
        TypeError,
    ),
    Wrong(
        "weights of no step",
        lambda: steps(StandardScaler(), SGDClassifier()).fit(
            array(), labels(), sample_weight=np.ones(40)
        ),
        "got 'sample_weight'; expected 'step__parameter'",
        TypeError,
    ),
    Wrong(
        "weights of a step without parameters",
        lambda: steps(IncrementalPCA(2), SGDClassifier()).fit(
            array(), labels(), incrementalpca__sample_weight=np.ones(40)
        ),
        "takes no parameter 'sample_weight'",
        TypeError,
    ),
]

ESTIMATORS = [
    Wrong(
        "no partial_fit",
        lambda: wrapper(SVC()).fit(array(), labels()),
        "SVC, which has none.*ParallelPostFit",
        TypeError,
    ),
    Wrong(
        "a class",
        lambda: wrapper(SGDClassifier).fit(array(), labels()),
        "estimator instance, got the class SGDClassifier",
        TypeError,
    ),
    Wrong(
        "text as the estimator",
        lambda: wrapper("sgd").fit(array(), labels()),
        "estimator must have `partial_fit`, got str",
        TypeError,
    ),
    Wrong(
        "a step that cannot learn block by block",
        lambda: steps(PCA(), SGDClassifier()).fit(array(), labels()),
        r"The step 'pca' \(PCA\) can neither learn block by block",
        TypeError,
    ),
    Wrong(
        "scikit-learn's own early stopping",
        lambda: wrapper(SGDClassifier(early_stopping=True)).fit(array(), labels()),
        "early_stopping=True.*Incremental.*holds out whole blocks",
    ),
    Wrong(
        "balanced weights",
        lambda: wrapper(SGDClassifier(class_weight="balanced")).fit(array(), labels()),
        "class_weight='balanced'.*compute_class_weight",
    ),
    Wrong(
        "a parameter that the estimator does not have",
        lambda: wrapper().set_params(estimator__alhpa=1),
        "Invalid parameter 'alhpa'",
    ),
    Wrong(
        "batches that are too small",
        lambda: wrapper(IncrementalPCA(3), batch_size=2).fit(array()),
        "batch_size=2 is too small",
    ),
]

CLASSES = [
    Wrong(
        "a number as classes",
        lambda: wrapper(classes=2).fit(array(), labels()),
        r"classes must be .* got int; expected a list such as \[0, 1\]",
        TypeError,
    ),
    Wrong(
        "text as classes",
        lambda: wrapper(classes="ab").fit(array(), labels()),
        "classes must be .* got str",
        TypeError,
    ),
    Wrong(
        "no classes",
        lambda: wrapper(classes=[]).fit(array(), labels()),
        "classes is empty",
    ),
    Wrong(
        "a missing class",
        lambda: wrapper(classes=[0, np.nan]).fit(array(), labels()),
        "classes holds .* missing value",
    ),
    Wrong(
        "classes of a regressor",
        lambda: wrapper(SGDRegressor(), classes=[0, 1]).fit(array(), labels()),
        "takes no parameter 'classes'",
        TypeError,
    ),
]


def option(name, value, match, error=ValueError, **others):
    return Wrong(
        f"{name}={value!r}",
        lambda: wrapper(**{name: value}, **others).fit(array(), labels()),
        match,
        error,
    )


OPTIONS = [
    option("batch_size", 0, "batch_size must be None, 'auto' or an integer"),
    option("batch_size", "all", "batch_size must be None, 'auto' or an integer"),
    option("prefetch", -1, "prefetch must be 'auto' or an integer of 0 or more"),
    option("prefetch", "all", "prefetch must be 'auto' or an integer of 0 or more"),
    option("prefetch", 1.5, "prefetch must be 'auto' or an integer of 0 or more"),
    option("max_iter", 0, "max_iter must be an integer of 1 or more, got 0"),
    option("max_iter", 2.5, "max_iter must be an integer of 1 or more, got 2.5"),
    option("n_iter_no_change", 0, "n_iter_no_change must be an integer"),
    option("tol", "a", "tol must be None or a number of 0 or more, got 'a'"),
    option("tol", -1.0, "tol must be None or a number of 0 or more, got -1.0"),
    option("random_state", "a", "'a' cannot be used to seed"),
    option("shuffle_blocks", "yes", "shuffle_blocks must be True or False"),
    option("shuffle_rows", 3, "shuffle_rows must be True or False"),
    option("scoring", "acuracy", "'acuracy'"),
    option("scoring", 3, "scoring", (TypeError, ValueError)),
    option("scoring", "acuracy", "'acuracy'", early_stopping=True),
    option("validation_fraction", 2, "validation_fraction must be a number between"),
    option("validation_data", (1,), "validation_data must be None or"),
    option("checkpoint", 3, "checkpoint must be None, a path or a URL, got 3"),
    option("checkpoint", "", "checkpoint must be None, a path or a URL, got ''"),
    option("checkpoint_every", 0, "checkpoint_every must be an integer"),
    Wrong(
        "early stopping on one block",
        lambda: wrapper(early_stopping=True, classes=[0, 1]).fit(
            array(rows=40), np.arange(40) % 2
        ),
        "holds out whole blocks, but X has 1",
    ),
    Wrong(
        "validation data of other columns",
        lambda: wrapper(validation_data=(array((40, 4)), labels())).fit(
            array(), labels()
        ),
        "X has 4 columns, but 3 columns",
    ),
]

LATER = [
    Wrong(
        "other columns in partial_fit",
        lambda: fitted().partial_fit(array((40, 4)), labels()),
        "X has 4 columns, but 3 columns in the fitted estimator",
    ),
    Wrong(
        "other names in partial_fit",
        lambda: fitted_on_names().partial_fit(frame("abd"), frame()["a"]),
        r"X has the columns \['a', 'b', 'd'\]",
    ),
    Wrong(
        "another order of names in partial_fit",
        lambda: fitted_on_names().partial_fit(frame("bac"), frame()["a"]),
        "same columns in the same order",
    ),
    Wrong(
        "other columns in predict",
        lambda: fitted().predict(array((40, 4))),
        "X has 4 (columns|features)",
    ),
    Wrong(
        "other names in predict",
        lambda: fitted_on_names().predict(frame("abd")),
        "feature names should match",
    ),
    Wrong(
        "another order of names in predict",
        lambda: fitted_on_names().predict(frame("bac")),
        "feature names",
    ),
    Wrong(
        "other columns in transform",
        lambda: scaled().transform(array((40, 4))),
        "X has 4 features",
    ),
    Wrong(
        "three dimensions in predict",
        lambda: fitted().predict(array((40, 3, 2))),
        "dim 3",
    ),
    Wrong(
        "one dimension in predict", lambda: fitted().predict(labels()), "Expected 2D"
    ),
    Wrong(
        "other columns in score",
        lambda: fitted().score(array((40, 4)), labels()),
        "X has 4 columns, but 3 columns in the fitted estimator",
    ),
    Wrong(
        "other names in score",
        lambda: fitted_on_names().score(frame("abd"), frame()["a"]),
        r"X has the columns \['a', 'b', 'd'\]",
    ),
    Wrong(
        "another length of y in score",
        lambda: fitted().score(array(), labels(50)),
        r"y has shape \(50,\) but X has 40 rows",
    ),
    Wrong("no y in score", lambda: fitted().score(array()), "requires y to be passed"),
    Wrong(
        "a wrong scorer in score",
        lambda: fitted().set_params(scoring="acuracy").score(array(), labels()),
        "'acuracy'",
    ),
    Wrong(
        "predict before fit",
        lambda: wrapper().predict(array()),
        "not fitted yet",
        NotFittedError,
    ),
    Wrong(
        "score before fit",
        lambda: wrapper().score(array(), labels()),
        "not fitted yet",
        NotFittedError,
    ),
    Wrong(
        "predict with an estimator that is not fitted",
        lambda: ParallelPostFit(LogisticRegression()).predict(array()),
        "not fitted yet",
        NotFittedError,
    ),
    Wrong(
        "probabilities that there are none of",
        lambda: fitted().predict_proba(array()),
        "predict_proba",
        AttributeError,
    ),
    Wrong(
        "a transform that there is none of",
        lambda: fitted().transform(array()),
        "transform",
        AttributeError,
    ),
    Wrong(
        "a fit in memory of lazy data",
        lambda: ParallelPostFit(LogisticRegression()).fit(array(), labels()),
        "X is a dask collection.*Incremental",
        TypeError,
    ),
    Wrong(
        "an example that is none",
        lambda: ParallelPostFit(fitted().estimator_, predict_meta=3).predict(array()),
        "example of the output must be an array",
        TypeError,
    ),
]

BLOCKS = [
    Wrong("no collection", iter_blocks, "at least one collection", TypeError),
    Wrong("a number", lambda: iter_blocks(3), "has no rows: got int", TypeError),
    Wrong(
        "other lengths of blocks",
        lambda: iter_blocks(array(), labels(50)),
        r"collection 1 has shape \(50,\) but collection 0 has 40 rows",
    ),
    Wrong(
        "a wrong look-ahead of blocks",
        lambda: iter_blocks(array(), prefetch=1.5),
        "prefetch must be 'auto' or an integer",
    ),
    Wrong(
        "a wrong seed of blocks",
        lambda: list(iter_blocks(array(), shuffle=True, random_state="a")),
        "'a' cannot be used to seed",
    ),
]

WRONG = [*X_AND_Y, *WEIGHTS, *ESTIMATORS, *CLASSES, *OPTIONS, *LATER, *BLOCKS]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.name)
def test_a_wrong_call_is_refused_before_anything_is_read(wrong):
    reads.clear()
    with pytest.raises(wrong.error, match=wrong.match):
        wrong.call()
    assert reads["blocks"] == 0
