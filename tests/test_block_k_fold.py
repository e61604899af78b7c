"""Folds of whole blocks in scikit-learn's own tools."""

import threading
import weakref

import dask
import dask.array as da
import dask.bag as db
import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict
from sklearn.model_selection import cross_validate as scikit_learns

from incremental import BlockKFold, Incremental
from tests.contracts import assert_same_state, plain_loop
from tests.graph.test_fold import Source
from tests.rows import make_frame

N_ROWS = 240
CHUNKS = (40, 10, 70, 30, 60, 30)


class Ids(BaseEstimator):
    """Keeps the rows of each block that it learns from, and predicts their ids."""

    def partial_fit(self, X, y):
        assert np.array_equal(X[:, 0] % 2, y)
        self.blocks_ = [*getattr(self, "blocks_", []), X[:, 0].tolist()]
        return self

    def predict(self, X):
        return X[:, 0]

    def score(self, X, y):
        return 0.0


class Watched:
    """A dask array of ids, which knows the largest piece that was alive at once."""

    def __init__(self, chunks):
        self.live = self.most_live = 0
        self._lock = threading.Lock()
        ids = da.arange(sum(chunks), chunks=(tuple(chunks),))
        self.array = ids[:, None].map_blocks(
            self._read, dtype=float, chunks=(chunks, (2,))
        )

    def _read(self, ids):
        values = np.repeat(ids, 2, axis=1).astype(float)
        with self._lock:
            self.live += values.nbytes
            self.most_live = max(self.most_live, self.live)
        weakref.finalize(values, self._forget, values.nbytes)
        return values

    def _forget(self, n_bytes):
        with self._lock:
            self.live -= n_bytes


def ids(chunks=CHUNKS):
    X = da.arange(sum(chunks), chunks=(chunks,))[:, None] * da.ones(2, chunks=2)
    return X, X[:, 0].astype(int) % 2


@pytest.mark.parametrize("shuffle", [False, True])
def test_the_rows_of_a_fold_are_whole_blocks(shuffle):
    X, y = ids()
    splitter = BlockKFold(3, shuffle=shuffle, random_state=0 if shuffle else None)
    starts = np.cumsum([0, *CHUNKS])
    tested = []
    for train, test in splitter.split(X, y):
        assert np.array_equal(np.sort([*train, *test]), np.arange(N_ROWS))
        assert np.array_equal(np.sort(train), train)
        own = [at for at in range(6) if starts[at] in test]
        assert len(test) == sum(CHUNKS[at] for at in own)
        tested += own
    assert sorted(tested) == list(range(6))


def test_scikit_learn_fits_on_the_rows_of_each_fold():
    X, y = ids((40,) * 6)
    results = scikit_learns(
        Incremental(Ids(), shuffle_blocks=False), X, y, cv=BlockKFold(3),
        return_estimator=True, scoring=lambda model, X, y: X.shape[0],
    )  # fmt: skip
    assert results["test_score"].tolist() == [80] * 3
    for fold, model in enumerate(results["estimator"]):
        rows = np.delete(np.arange(N_ROWS), np.s_[80 * fold : 80 * fold + 80])
        assert model.blocks_ == rows.reshape(4, 40).tolist()


def test_a_grid_search_finds_what_it_finds_in_memory():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 3))
    y = (X[:, 0] + rng.normal(size=120) > 0).astype(int)
    model = Incremental(SGDClassifier(random_state=0), shuffle_blocks=False)
    grid = {"estimator__alpha": [1e-4, 1e-2, 1.0]}
    lazy = da.from_array(X, chunks=(20, 3)), da.from_array(y, chunks=20)
    search = GridSearchCV(model, grid, cv=BlockKFold(3)).fit(*lazy)
    for fold in range(3):
        chunks, left = (20,) * 6, [at for at in range(6) if at // 2 != fold]
        scores = [
            plain_loop(
                SGDClassifier(random_state=0, alpha=alpha), X, y, {"classes": [0, 1]},
                chunks, left,
            ).score(X[40 * fold : 40 * fold + 40], y[40 * fold : 40 * fold + 40])
            for alpha in grid["estimator__alpha"]
        ]  # fmt: skip
        assert np.array_equal(search.cv_results_[f"split{fold}_test_score"], scores)
    best = search.best_estimator_
    expected = plain_loop(best.estimator, X, y, {"classes": [0, 1]}, (20,) * 6)
    assert_same_state(best.estimator_, expected)


def test_scikit_learns_predictions_are_in_the_order_of_the_rows():
    X, y = ids()
    splitter = BlockKFold(3, shuffle=True, random_state=0)
    predicted = cross_val_predict(Incremental(Ids()), X, y, cv=splitter)
    assert np.array_equal(np.asarray(predicted), np.arange(N_ROWS))


def test_nothing_is_gathered():
    chunks = (100,) * 40
    watched = Watched(chunks)
    y = da.arange(4000, chunks=100) % 2
    model = Incremental(Ids(), prefetch=1)
    with dask.config.set(scheduler="threads", num_workers=1):
        scikit_learns(
            model, watched.array, y, cv=BlockKFold(4, shuffle=True, random_state=0),
            scoring=lambda model, X, y: 0.0,
        )  # fmt: skip
    block = 100 * 2 * 8
    assert block <= watched.most_live <= 3 * block


def test_splitting_reads_nothing():
    source = Source(6)
    assert len(list(BlockKFold(3).split(source.array))) == 3
    assert not source.reads


def test_dataframes_are_refused_with_the_way_out(no_compute):
    frame = make_frame(6)
    with pytest.raises(TypeError, match=r"X is a dask DataFrame.*CountedFrame\(X\)"):
        next(BlockKFold(3).split(frame))
    X, _ = ids()
    with pytest.raises(TypeError, match=r"y is a dask Series.*cross_validate"):
        next(BlockKFold(3).split(X, frame["y"]))


def test_bags_are_refused(no_compute):
    with pytest.raises(TypeError, match="X is a dask Bag"):
        next(BlockKFold(3).split(db.from_sequence(["a"] * 9, npartitions=3)))


def test_unknown_lengths_are_refused_with_the_way_out(no_compute):
    X, _ = ids()
    with pytest.raises(ValueError, match="unknown.*compute_chunk_sizes"):
        next(BlockKFold(3).split(X[X[:, 0] > 3]))


def test_data_in_memory_are_refused_with_the_way_out():
    with pytest.raises(ValueError, match="in memory.*KFold"):
        next(BlockKFold(3).split(np.ones((9, 2))))


def test_too_few_blocks_are_refused(no_compute):
    X, _ = ids()
    with pytest.raises(ValueError, match="7 folds of whole blocks, but X has 6"):
        next(BlockKFold(7).split(X))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_splits": 1}, "n_splits"),
        ({"n_splits": 2.5}, "must be of Integral type"),
        ({"random_state": 0}, "shuffle"),
        ({"shuffle": 1}, "shuffle must be True or False"),
    ],
    ids=str,
)
def test_wrong_parameters_are_refused(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        BlockKFold(**options)


def test_it_shows_its_parameters():
    assert (
        repr(BlockKFold(3))
        == "BlockKFold(n_splits=3, random_state=None, shuffle=False)"
    )
    assert BlockKFold(3).get_n_splits() == KFold(3).get_n_splits()
