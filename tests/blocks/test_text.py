"""Missing documents, in every kind of data that holds documents."""

import dask
import dask.array as da
import dask.bag as db
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from incremental import Incremental, ParallelPostFit
from incremental._blocks.text import or_empty, without_missing

TEXTS = ["good day", "bad day", None, "bad luck", float("nan"), "good luck"] * 4
FULL = [text if isinstance(text, str) else "" for text in TEXTS]
LABELS = np.array([1, 0, 0, 0, 1, 1] * 4)
SERIES = pd.Series(TEXTS)
OBJECTS = np.array(TEXTS, dtype=object)
MEMORY = {
    "list": TEXTS,
    "tuple": tuple(TEXTS),
    "array of objects": OBJECTS,
    "series": SERIES,
    "series of objects": SERIES.astype(object),
    "categorical": SERIES.astype("category"),
}
LAZY = {
    "array of objects": da.from_array(OBJECTS, chunks=12),
    "series": dd.from_pandas(SERIES, npartitions=2),
    "categorical": dd.from_pandas(SERIES.astype("category"), npartitions=2),
    "bag": db.from_sequence(TEXTS, npartitions=2),
}


def pipeline():
    return make_pipeline(
        HashingVectorizer(n_features=64), SGDClassifier(random_state=0)
    )


def labels(kind):
    if kind in ("series", "categorical"):
        return dd.from_pandas(pd.Series(LABELS), npartitions=2)
    return da.from_array(LABELS, chunks=12)


@pytest.mark.parametrize("kind", MEMORY)
def test_missing_documents_in_memory_are_empty_text(kind):
    expected = pipeline().fit(FULL, LABELS)
    wrapper = ParallelPostFit(pipeline()).fit(MEMORY[kind], LABELS)
    np.testing.assert_array_equal(wrapper.estimator_[-1].coef_, expected[-1].coef_)
    np.testing.assert_array_equal(wrapper.predict(MEMORY[kind]), expected.predict(FULL))
    assert wrapper.score(MEMORY[kind], LABELS) == expected.score(FULL, LABELS)


@pytest.mark.parametrize("kind", LAZY)
def test_missing_documents_of_a_collection_are_empty_text(kind):
    wrapper = Incremental(pipeline(), classes=[0, 1], shuffle_blocks=False)
    wrapper.fit(LAZY[kind], labels(kind))
    vectorizer, model = pipeline()
    for start in (0, 12):
        rows = slice(start, start + 12)
        model.partial_fit(vectorizer.transform(FULL[rows]), LABELS[rows], [0, 1])
    np.testing.assert_array_equal(wrapper.estimator_[-1].coef_, model.coef_)
    (predicted,) = dask.compute(wrapper.predict(LAZY[kind]))
    np.testing.assert_array_equal(predicted, model.predict(vectorizer.transform(FULL)))
    score = model.score(vectorizer.transform(FULL), LABELS)
    assert wrapper.score(LAZY[kind], labels(kind)) == score


@pytest.mark.parametrize("module", ["polars", "pyarrow"])
def test_missing_documents_of_other_libraries_are_empty_text(module):
    library = pytest.importorskip(module)
    texts = [text or None for text in FULL]
    make = library.Series if module == "polars" else library.array
    expected = pipeline().fit(FULL, LABELS)
    wrapper = ParallelPostFit(pipeline()).fit(make(texts), LABELS)
    np.testing.assert_array_equal(wrapper.estimator_[-1].coef_, expected[-1].coef_)


def test_what_a_wrapper_made_still_pairs_when_documents_are_filled():
    upper = ParallelPostFit(
        FunctionTransformer(lambda X: X), transform_meta=OBJECTS[:1]
    )
    documents = upper.transform(LAZY["array of objects"])
    wrapper = Incremental(pipeline(), classes=[0, 1], shuffle_blocks=False)
    plain = Incremental(pipeline(), classes=[0, 1], shuffle_blocks=False)
    wrapper.fit(documents, labels("array"))
    plain.fit(LAZY["array of objects"], labels("array"))
    np.testing.assert_array_equal(
        wrapper.estimator_[-1].coef_, plain.estimator_[-1].coef_
    )


def test_only_missing_documents_are_replaced():
    kept = ["a", 0, ["b"], {"c": 1}]
    assert [or_empty(one) for one in kept] == kept
    array = np.zeros(2)
    assert or_empty(array) is array
    assert [or_empty(one) for one in (None, np.nan, np.float32("nan"), pd.NA)] == [
        ""
    ] * 4


def test_numpys_text_may_have_a_value_for_missing_documents():
    dtype = np.dtypes.StringDType(na_object=np.nan)
    filled = without_missing(np.array(["a", np.nan], dtype=dtype))
    assert filled.tolist() == ["a", ""]


def test_tables_are_not_changed():
    table = np.array([["a", None]], dtype=object)
    frame = pd.DataFrame(table)
    assert without_missing(table) is table
    assert without_missing(frame) is frame
