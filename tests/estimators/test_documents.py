"""Text jobs, from bags and from columns of strings."""

import dask.array as da
import dask.bag as db
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction import FeatureHasher
from sklearn.feature_extraction.text import (
    CountVectorizer,
    HashingVectorizer,
    TfidfTransformer,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, Normalizer, OneHotEncoder

from incremental import Incremental, ParallelPostFit
from incremental._estimators.documents import as_list
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


@pytest.mark.parametrize("in_pipeline", [False, True])
def test_a_vectoriser_gets_text_as_a_list(in_pipeline):
    got = []

    def keep(text):
        got.append(type(text))
        return text

    vectorizer = HashingVectorizer(n_features=8, preprocessor=keep)
    column = pd.Series(["a b", "b"], dtype="str")
    model = make_pipeline(vectorizer, Normalizer()) if in_pipeline else vectorizer
    assert as_list(model, column) == ["a b", "b"]
    expected = model.transform(column).toarray()
    lazy = ParallelPostFit(model).transform(dd.from_pandas(column, npartitions=1))
    np.testing.assert_array_equal(lazy.compute().toarray(), expected)
    assert set(got) == {str}


def test_other_transformers_get_text_as_it_is():
    column = pd.Series(["a", "b"])
    for other in (FunctionTransformer(), OneHotEncoder(), TfidfTransformer()):
        assert as_list(other, column) is column
    frame = column.to_frame()
    assert as_list(HashingVectorizer(), frame) is frame


TABLE = pd.DataFrame({"t": TEXTS, "n": LABELS})
VECTORIZER = HashingVectorizer(n_features=8)


@pytest.mark.parametrize(
    "first",
    [
        VECTORIZER,
        FrozenEstimator(VECTORIZER),
        make_pipeline(VECTORIZER, Normalizer()),
        make_union(VECTORIZER, HashingVectorizer(n_features=4)),
    ],
    ids=["alone", "frozen", "nested", "union"],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_table_of_one_text_column_is_refused_before_any_read(
    first, method, no_compute
):
    lazy = dd.from_pandas(TABLE, npartitions=3)
    model = Incremental(make_pipeline(first, SGDClassifier()), classes=[0, 1])
    with pytest.raises(ValueError, match=r"Pass the column, as in `X\['t'\]`"):
        getattr(model, method)(lazy[["t"]], lazy["n"])


@pytest.mark.parametrize("in_memory", [False, True])
@pytest.mark.parametrize("folder", [None, "checkpoint"])
def test_a_table_in_validation_data_is_refused_before_any_read(
    in_memory, folder, no_compute, tmp_path
):
    lazy = dd.from_pandas(TABLE, npartitions=3)
    held_out = TABLE if in_memory else lazy
    model = Incremental(
        PIPE,
        classes=[0, 1],
        validation_data=(held_out[["t"]], held_out["n"]),
        checkpoint=None if folder is None else tmp_path / folder,
    )
    with pytest.raises(ValueError, match=r"as in `X\['t'\]`") as caught:
        model.fit(lazy["t"], lazy["n"])
    assert caught.value.__notes__ == ["in validation_data"]


@pytest.mark.parametrize("method", ["transform", "predict", "score"])
@pytest.mark.parametrize("in_memory", [False, True])
def test_a_fitted_vectoriser_refuses_a_table(method, in_memory, no_compute):
    X = TABLE[["t"]] if in_memory else dd.from_pandas(TABLE[["t"]], npartitions=3)
    classifier = SGDClassifier().fit(VECTORIZER.transform(TEXTS), LABELS)
    pipe = make_pipeline(VECTORIZER, classifier)
    model = ParallelPostFit(VECTORIZER if method == "transform" else pipe)
    data = (X, LABELS) if method == "score" else (X,)
    with pytest.raises(ValueError, match=r"`X\['t'\]`"):
        getattr(model, method)(*data)


def test_a_table_of_several_columns_is_refused_for_a_vectoriser(no_compute):
    with pytest.raises(ValueError, match="one of its columns"):
        ParallelPostFit(VECTORIZER).transform(dd.from_pandas(TABLE, npartitions=3))


def test_an_array_of_two_dimensions_is_refused_for_a_vectoriser(no_compute):
    X = da.from_array(np.array(TEXTS, dtype=object).reshape(60, 1), chunks=20)
    with pytest.raises(ValueError, match=r"as in `X\[:, 0\]`"):
        ParallelPostFit(VECTORIZER).transform(X)


def test_rows_of_tokens_are_documents_for_what_takes_them_apart_itself():
    X = np.array([["a", "b"], ["b", "c"]] * 3, dtype=object)
    lazy = da.from_array(X, chunks=(2, 2))
    for taker in (
        FeatureHasher(n_features=8, input_type="string"),
        CountVectorizer(analyzer=list).fit(X),
    ):
        received = ParallelPostFit(taker).transform(lazy).compute()
        assert (received != taker.transform(X)).nnz == 0


@pytest.mark.parametrize("chosen", [["t"], [0], slice(0, 1)])
def test_a_list_of_one_text_column_is_refused_in_a_column_transformer(
    chosen, no_compute
):
    columns = ColumnTransformer([("v", VECTORIZER, chosen)])
    model = Incremental(make_pipeline(columns, SGDClassifier()), classes=[0, 1])
    lazy = dd.from_pandas(TABLE, npartitions=3)
    with pytest.raises(ValueError, match="'v'.*a single column, such as"):
        model.fit(lazy[["t"]], lazy["n"])


def test_a_single_text_column_is_taken_in_a_column_transformer():
    columns = ColumnTransformer([("v", VECTORIZER, "t")])
    model = Incremental(make_pipeline(columns, SGDClassifier()), classes=[0, 1])
    lazy = dd.from_pandas(TABLE, npartitions=3)
    model.fit(lazy[["t"]], lazy["n"])
    assert model.predict(lazy[["t"]]).compute().shape == (60,)


RECORDS = {
    "dicts": db.from_sequence([{"a": 1.0, "b": 2.0}] * 4, npartitions=2),
    "tuples": db.from_sequence([(1.0, 2.0)] * 4, npartitions=2),
}


@pytest.mark.parametrize("kind", RECORDS)
def test_a_bag_of_records_is_refused_by_what_takes_tables(kind, no_compute):
    records, y = RECORDS[kind], da.from_array(np.array([0, 1, 0, 1]), chunks=2)
    model = SGDClassifier().fit([[1.0, 2.0], [2.0, 1.0]], [0, 1])
    for call in (
        lambda: Incremental(SGDClassifier()).fit(records, y),
        lambda: Incremental(make_pipeline(Normalizer(), SGDClassifier())).fit(
            records, y
        ),
        lambda: ParallelPostFit(model).predict(records),
        lambda: ParallelPostFit(model).score(records, y),
    ):
        with pytest.raises(TypeError, match=r"Pass `bag.to_dataframe\(\)`"):
            call()


def test_hashers_take_bags_of_what_they_hash():
    y = da.from_array(np.array([0, 1] * 4), chunks=4)
    for form, rows in (("dict", [{"a": 1}, {"b": 2}]), ("string", [["a"], ["b"]])):
        bag = db.from_sequence(rows * 4, npartitions=2)
        hasher = FeatureHasher(16, input_type=form)
        model = Incremental(make_pipeline(hasher, SGDClassifier(random_state=0)))
        assert model.fit(bag, y).predict(bag).compute().tolist() == [0, 1] * 4
