"""Data that changed between a fit and the one that goes on from its checkpoint."""

import json

import dask.bag as db
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from incremental import ParallelPostFit
from tests.contracts import as_dask, assert_same_state
from tests.fit.test_checkpoints import Calling, files, interrupted, make

SGD = SGDClassifier(random_state=0)
CHUNKS = (10,) * 6
OTHER_ROWS = r"block {} \(of 0 to 5\).*has other rows"


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    return X, (X[:, 0] + rng.normal(size=60) > 0).astype(int)


def manifest(folder):
    return json.loads(files(folder)[-1].read_bytes().split(b"\n")[2])


def rows_of(block):
    return slice(10 * block, 10 * block + 10)


def refusal(block):
    """What is raised about a block: in the message or, during a pass, in a note."""

    def check(error):
        notes = getattr(error, "__notes__", [])
        text = "\n".join([str(error), *notes])
        return f"block {block} (of 0 to 5)" in text and "has other rows" in text

    return check


@pytest.mark.parametrize("what", ["X", "y", "weight"])
def test_a_block_that_is_read_again_must_be_what_it_was(what, data, tmp_path):
    rows = {"X": data[0], "y": data[1], "weight": np.ones(60)}

    def given(rows):
        lazy = [as_dask(rows[name], CHUNKS) for name in ("X", "y", "weight")]
        return (lazy[0], lazy[1]), {"classes": [0, 1], "sample_weight": lazy[2]}

    args, params = given(rows)
    interrupted(make(tmp_path), 9, *args, **params)
    # It was fitted in the first pass, and is fitted last in the second.
    block = manifest(tmp_path)["order"][-1]
    changed = {**rows, what: rows[what].copy()}
    changed[what][rows_of(block)] = 1 - changed[what][rows_of(block)]
    args, params = given(changed)
    with pytest.raises(ValueError, match="has other rows") as caught:
        make(tmp_path).fit(*args, **params)
    assert refusal(block)(caught.value)


@pytest.mark.parametrize("place", [0, -1])
@pytest.mark.parametrize(
    "estimator", [SGD, StandardScaler(), make_pipeline(StandardScaler(), SGD)]
)
def test_blocks_that_are_not_read_again_are_compared(estimator, place, data, tmp_path):
    X, y = data
    target = as_dask(y, CHUNKS)
    options = {"max_iter": 1, "checkpoint_every": 3}
    interrupted(make(tmp_path, estimator, **options), 3, as_dask(X, CHUNKS), target)
    block = manifest(tmp_path)["order"][:3][place]
    X = X.copy()
    X[rows_of(block)] += 1
    with pytest.raises(ValueError, match=OTHER_ROWS.format(block)):
        make(tmp_path, estimator, **options).fit(as_dask(X, CHUNKS), target)


def frame_of(data):
    return pd.DataFrame(data[0], columns=list("abcd")).assign(y=data[1])


@pytest.mark.parametrize("what", ["lengths", "names", "types"])
def test_frames_of_other_lengths_names_or_types_are_refused(what, data, tmp_path):
    options = {"classes": [0, 1], "shuffle_blocks": False}
    frame = frame_of(data)
    lazy = dd.from_pandas(frame, npartitions=6)
    interrupted(make(tmp_path, **options), 9, lazy[list("abcd")], lazy["y"])
    if what == "lengths":
        # Some rows fewer at the end of a block, of which the last is one of the same.
        frame = pd.concat([frame[:55], frame[59:]])
        parts = [frame[rows_of(block)] for block in range(6)]
    else:
        last = frame[50:].astype("float32") if what == "types" else frame[50:]
        parts = [*(frame[rows_of(block)] for block in range(5)), last]
    meta = frame[:0]
    if what == "names":
        parts = [part.rename(columns={"a": "z"}) for part in parts]
        meta = meta.rename(columns={"a": "z"})
    lazy = dd.from_map(lambda part: part, parts, meta=meta, enforce_metadata=False)
    model = make(tmp_path, **options)
    with pytest.raises(ValueError, match="has other rows, columns or types"):
        model.fit(lazy[list(meta)[:4]], lazy["y"])


def layouts(data):
    X, y = data
    frame, target = frame_of(data), as_dask(y, CHUNKS)
    apart = pd.DataFrame({name: frame[name].to_numpy().copy() for name in "abcd"})
    csr = as_dask(X, CHUNKS).map_blocks(sp.csr_matrix)
    y = dd.from_pandas(frame["y"], npartitions=6)
    return {
        "array": [
            (as_dask(np.ascontiguousarray(X), CHUNKS), target),
            (as_dask(np.asfortranarray(X), CHUNKS), target),
        ],
        "frame": [
            (dd.from_pandas(frame[list("abcd")], npartitions=6), y),
            (dd.from_pandas(apart, npartitions=6), y),
        ],
        "masked": [
            (as_dask(np.ma.array(X, mask=X < -9), CHUNKS), target),
            (as_dask(np.ma.array(np.asfortranarray(X), mask=X < -9), CHUNKS), target),
        ],
        "sparse": [(csr, target), (csr.map_blocks(sp.csc_matrix), target)],
    }


@pytest.mark.parametrize("kind", ["array", "frame", "masked", "sparse"])
def test_it_makes_no_difference_how_blocks_lie_in_memory(kind, data, tmp_path):
    first, second = layouts(data)[kind]
    for one, other in ((first, second), (second, first)):
        expected = make(None, classes=[0, 1]).fit(*one)
        interrupted(make(tmp_path, classes=[0, 1]), 9, *one)
        received = make(tmp_path, classes=[0, 1]).fit(*other)
        assert_same_state(received.estimator_, expected.estimator_)


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("row", [0, -1])
def test_of_large_blocks_some_rows_are_compared(row, mapped, tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(6 * 517, 3))
    target = as_dask((X[:, 0] > 0).astype(int), (517,) * 6)
    scaler = ParallelPostFit(StandardScaler().fit(X))
    options = {"classes": [0, 1], "batch_size": 100}

    def given(X):
        lazy = as_dask(X, (517,) * 6)
        return scaler.transform(lazy) if mapped else lazy, target

    expected = make(None, **options).fit(*given(X))
    interrupted(make(tmp_path, **options), 9, *given(X))
    other_layout = given(np.asfortranarray(X))
    received = make(tmp_path, **options).fit(*other_layout)
    assert_same_state(received.estimator_, expected.estimator_)
    interrupted(make(tmp_path, **options), 9, *given(X))
    block = manifest(tmp_path)["order"][-1]
    X = X.copy()
    X[517 * block : 517 * block + 517][row] += 1
    with pytest.raises(ValueError, match="has other rows"):
        make(tmp_path, **options).fit(*given(X))


def texts(words, kind):
    documents = [f"some {word} more" for word in words]
    if kind == "bag":
        return db.from_sequence(documents, npartitions=6)
    return dd.from_pandas(pd.Series(documents, name="text"), npartitions=6)


@pytest.mark.parametrize("kind", ["bag", "series"])
def test_texts_are_compared_too(kind, data, tmp_path):
    estimator = make_pipeline(HashingVectorizer(n_features=16), SGD)
    y = db.from_sequence(data[1].tolist(), npartitions=6)
    if kind == "series":
        y = dd.from_pandas(pd.Series(data[1]), npartitions=6)
    words = [f"word{number}" for number in range(60)]

    def model(folder):
        return make(folder, estimator, classes=[0, 1])

    expected = model(None).fit(texts(words, kind), y)
    interrupted(model(tmp_path), 9, texts(words, kind), y)
    received = model(tmp_path).fit(texts(words, kind), y)
    received, expected = received.estimator_[-1], expected.estimator_[-1]
    assert_same_state(received.coef_, expected.coef_)
    interrupted(model(tmp_path), 9, texts(words, kind), y)
    block = manifest(tmp_path)["order"][-1]
    words[10 * block + 5] = "another"
    with pytest.raises(ValueError, match="has other rows"):
        model(tmp_path).fit(texts(words, kind), y)


def test_validation_data_are_compared(data, tmp_path):
    X, y = data
    given = as_dask(X, CHUNKS), as_dask(y, CHUNKS)
    validation = as_dask(X, (20,) * 3), as_dask(y, (20,) * 3)
    options = {"early_stopping": True, "max_iter": 3}
    model = make(None, validation_data=validation, **options)
    expected = model.fit(*given)
    interrupted(make(tmp_path, validation_data=validation, **options), 9, *given)
    again = make(tmp_path, validation_data=validation, **options)
    assert again.fit(*given).history_[-1]["score"] == expected.history_[-1]["score"]
    interrupted(make(tmp_path, validation_data=validation, **options), 9, *given)
    other = as_dask(X, (20,) * 3), as_dask(1 - y, (20,) * 3)
    with pytest.raises(ValueError, match=r"of validation_data has other rows"):
        make(tmp_path, validation_data=other, **options).fit(*given)


def test_blocks_that_are_held_out_are_compared(data, tmp_path):
    X, y = data
    given = as_dask(X, CHUNKS), as_dask(y, CHUNKS)
    options = {"early_stopping": True, "max_iter": 3}
    interrupted(make(tmp_path, **options), 9, *given)
    (block,) = set(range(6)) - set(manifest(tmp_path)["order"])
    X = X.copy()
    X[rows_of(block)] += 1
    with pytest.raises(ValueError, match=OTHER_ROWS.format(block)):
        make(tmp_path, **options).fit(as_dask(X, CHUNKS), given[1])


def test_what_is_masked_is_compared(data, tmp_path):
    def given(mask):
        masked = np.ma.array(data[0], mask=mask)
        return as_dask(masked, CHUNKS), as_dask(data[1], CHUNKS)

    interrupted(make(tmp_path), 9, *given(data[0] > 9))
    with pytest.raises(ValueError, match="has other rows"):
        make(tmp_path).fit(*given(data[0] > 0))


def drawn_anew(X):
    """Rows that are other ones with each read."""
    return as_dask(X, CHUNKS).map_blocks(
        lambda block: block + np.random.default_rng().normal(size=block.shape),
        dtype=float,
    )


def test_rows_that_are_drawn_anew_are_refused_with_checkpoints_only(data, tmp_path):
    given = drawn_anew(data[0]), as_dask(data[1], CHUNKS)
    assert make(None, max_iter=3).fit(*given).n_iter_ == 3
    model = make(tmp_path, max_iter=3)
    with pytest.raises(ValueError, match="drawn anew") as caught:
        model.fit(*given)
    assert any("(of 0 to 5)" in note for note in caught.value.__notes__)
    assert not hasattr(model, "estimator_")


@pytest.mark.parametrize("batch_size", [None, 5])
def test_what_a_wrapper_mapped_is_compared(batch_size, data, tmp_path):
    X, y = data
    scaler = ParallelPostFit(StandardScaler().fit(X))
    options = {"batch_size": batch_size, "classes": [0, 1]}

    def given(X):
        return scaler.transform(as_dask(X, CHUNKS)), as_dask(y, CHUNKS)

    expected = make(None, **options).fit(*given(X))
    interrupted(make(tmp_path, **options), 9, *given(X))
    received = make(tmp_path, **options).fit(*given(X))
    assert_same_state(received.estimator_, expected.estimator_)
    interrupted(make(tmp_path, **options), 9, *given(X))
    block = manifest(tmp_path)["order"][-1]
    X = X.copy()
    X[rows_of(block)] += 1
    with pytest.raises(ValueError, match="has other rows"):
        make(tmp_path, **options).fit(*given(X))


def test_a_fit_of_blocks_without_rows_goes_on(data, tmp_path):
    X, y = data
    chunks = (0, 0, 0, 20, 20, 20)
    X, y = as_dask(X, chunks), as_dask(y, chunks)
    for estimator in (SGD, StandardScaler()):
        options = {"shuffle_blocks": False, "checkpoint_every": 1}
        expected = make(None, estimator, **options).fit(X, y)
        for after in (2, 5, 8):
            interrupted(make(tmp_path, estimator, **options), after, X, y)
            received = make(tmp_path, estimator, **options).fit(X, y)
            assert_same_state(received.estimator_, expected.estimator_)


def spaced(block, kind):
    """Put numbers where each read leaves other bytes between them."""
    size = block.size * np.dtype(kind).itemsize
    array = np.frombuffer(bytearray(np.random.default_rng().bytes(size)), kind)
    array = array.reshape(block.shape)
    for part in [array] if kind is np.longdouble else [array["a"], array["b"]]:
        np.copyto(part, block, casting="unsafe")
    return array


FIELDS = np.dtype([("a", "i1"), ("b", "f8")], align=True)


@pytest.mark.parametrize("kind", [np.longdouble, FIELDS])
def test_bytes_between_numbers_may_differ_with_each_read(kind, data, tmp_path):
    X = as_dask(data[0], CHUNKS).map_blocks(spaced, kind, dtype=kind)
    model = make(tmp_path, Calling(lambda block: block.shape)).fit(X)
    assert model.n_iter_ == 2
