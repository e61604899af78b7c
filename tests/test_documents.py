"""Text jobs, from bags and from columns of strings."""

import dask.array as da
import dask.bag as db
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, OneHotEncoder

from incremental import Incremental, ParallelPostFit
from incremental._documents import as_list
from tests.contracts import assert_same_state

TEXTS = [f"{'good' if n % 2 else 'bad'} word{n % 7}" for n in range(60)]
LABELS = np.arange(60) % 2
PIPE = make_pipeline(
    HashingVectorizer(n_features=64), Normalizer(), SGDClassifier(random_state=0)
)


def hand_written_loop(texts, chunks=(20, 20, 20)):
    vectorizer, normalizer, classifier = (clone(step) for _, step in PIPE.steps)
    for rows in np.split(np.arange(60), np.cumsum(chunks)[:-1]):
        X = normalizer.transform(vectorizer.transform([texts[row] for row in rows]))
        classifier.partial_fit(X, LABELS[rows], classes=[0, 1])
    return classifier


def test_a_bag_is_fitted_predicted_and_scored(scheduler):
    X = db.from_sequence(TEXTS, npartitions=3)
    y = da.from_array(LABELS, chunks=20)
    model = Incremental(PIPE, shuffle_blocks=False).fit(X, y)
    expected = hand_written_loop(TEXTS)
    assert_same_state(model.estimator_[-1], expected)
    predicted = model.predict(X)
    assert isinstance(predicted, da.Array)
    assert predicted.dtype == LABELS.dtype
    np.testing.assert_array_equal(predicted, model.estimator_.predict(TEXTS))
    assert model.score(X, y) == model.estimator_.score(TEXTS, LABELS)


@pytest.mark.parametrize("dtype", ["str", "object"])
@pytest.mark.parametrize("missing", [False, True])
def test_a_column_of_strings_is_fitted_predicted_and_scored(dtype, missing):
    texts = [None if missing and n % 11 == 0 else t for n, t in enumerate(TEXTS)]
    frame = pd.DataFrame({"text": pd.Series(texts, dtype=dtype), "y": LABELS})
    lazy = dd.from_pandas(frame, npartitions=3)
    model = Incremental(PIPE, shuffle_blocks=False).fit(lazy["text"], lazy["y"])
    filled = [text or "" for text in texts]
    assert_same_state(model.estimator_[-1], hand_written_loop(filled))
    predicted = model.predict(lazy["text"]).compute()
    np.testing.assert_array_equal(predicted, model.estimator_.predict(filled))
    expected = model.estimator_.score(filled, LABELS)
    assert model.score(lazy["text"], lazy["y"]) == expected
    assert model.score(frame["text"], frame["y"]) == expected


def test_missing_documents_of_a_bag_are_empty():
    texts = [None, *TEXTS[1:30], float("nan"), *TEXTS[31:]]
    X = db.from_sequence(texts, npartitions=3)
    model = Incremental(PIPE, shuffle_blocks=False)
    model.fit(X, da.from_array(LABELS, chunks=20))
    filled = ["", *TEXTS[1:30], "", *TEXTS[31:]]
    assert_same_state(model.estimator_[-1], hand_written_loop(filled))


@pytest.mark.parametrize("kind", ["bag", "series"])
def test_text_is_vectorised_to_lazy_sparse_blocks(kind):
    X = db.from_sequence(TEXTS, npartitions=3)
    if kind == "series":
        X = dd.from_pandas(pd.Series(TEXTS), npartitions=3)
    vectorizer = HashingVectorizer(n_features=64)
    blocks = ParallelPostFit(vectorizer).transform(X)
    assert isinstance(blocks, da.Array)
    assert blocks.numblocks == (3, 1)
    assert blocks.shape[1] == 64
    assert (blocks.compute() != vectorizer.transform(TEXTS)).nnz == 0
    model = Incremental(SGDClassifier(random_state=0), shuffle_blocks=False)
    model.fit(blocks, da.from_array(LABELS, chunks=20))
    expected = SGDClassifier(random_state=0)
    for rows in np.split(np.arange(60), 3):
        expected.partial_fit(
            vectorizer.transform([TEXTS[row] for row in rows]), LABELS[rows], [0, 1]
        )
    assert_same_state(model.estimator_, expected)
    assert model.score(blocks, da.from_array(LABELS, chunks=20)) == 1.0


@pytest.mark.parametrize("steps", [(), (Normalizer(),)])
def test_a_vectoriser_gets_text_as_a_list(steps):
    got = []

    def keep(text):
        got.append(type(text))
        return text

    vectorizer = HashingVectorizer(n_features=8, preprocessor=keep)
    column = pd.Series(["a b", "b"], dtype="str")
    pipe = make_pipeline(vectorizer, *steps)
    assert as_list(pipe, column) == ["a b", "b"]
    expected = pipe.transform(column).toarray()
    lazy = ParallelPostFit(pipe).transform(dd.from_pandas(column, npartitions=1))
    np.testing.assert_array_equal(lazy.compute().toarray(), expected)
    assert set(got) == {str}


def test_other_transformers_get_text_as_it_is():
    column = pd.Series(["a", "b"])
    for other in (FunctionTransformer(), OneHotEncoder(), TfidfTransformer()):
        assert as_list(other, column) is column
    frame = column.to_frame()
    assert as_list(HashingVectorizer(), frame) is frame
