"""Dataframes of which scikit-learn's tools take rows."""

from itertools import pairwise

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    cross_val_predict,
    cross_validate,
)

from incremental import BlockKFold, CountedFrame, Incremental
from tests.contracts import assert_same_state
from tests.rows import make_frame

LENGTHS = (5, 0, 12, 3, 9, 1)


def parts():
    stops = np.cumsum([0, *LENGTHS])
    rows = np.arange(stops[-1])
    whole = pd.DataFrame({"id": rows, "k": rows % 7, "y": rows % 2})
    return [whole[a:b] for a, b in pairwise(stops)]


@pytest.fixture
def reads():
    return []


@pytest.fixture
def frame(reads):
    made = parts()

    def read(number):
        reads.append(number)
        return made[number]

    return dd.from_map(read, range(len(made)), meta=made[0].iloc[:0])


class Ids(ClassifierMixin, BaseEstimator):
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        assert (X["id"].to_numpy() % 2 == np.asarray(y)).all()
        if sample_weight is not None:
            assert (X["id"].to_numpy() == np.asarray(sample_weight)).all()
        self.classes_ = np.array([0, 1])
        self.ids_ = [*getattr(self, "ids_", []), *X["id"]]
        return self

    def predict(self, X):
        assert not set(X["id"]) & set(self.ids_)
        return X["id"].to_numpy() % 2


def counted(frame):
    X = CountedFrame(frame[["id", "k"]], LENGTHS)
    return X, CountedFrame(frame["y"], LENGTHS)


def test_the_rows_of_each_partition_are_counted_in_one_read(frame, reads):
    X = CountedFrame(frame)
    assert X.lengths == LENGTHS
    assert sorted(reads) == [*range(6)]
    assert X.shape == (30, 3)
    assert CountedFrame(frame["y"], X.lengths).shape == (30,)
    assert len(reads) == 6


def test_columns_of_parquet_files_are_counted_as_the_files_are(tmp_path):
    dd.from_pandas(pd.concat(parts()), npartitions=6).to_parquet(tmp_path)
    ddf = dd.read_parquet(tmp_path)
    X, y = CountedFrame(ddf[["id", "k"]]), CountedFrame(ddf["y"])
    assert X.lengths == y.lengths == (5,) * 6


def test_folds_are_whole_partitions_and_nothing_is_read(frame, reads):
    X, y = counted(frame)
    for train, test in BlockKFold(3).split(X, y):
        for rows in (train, test):
            taken = X[rows]
            assert isinstance(taken, dd.DataFrame)
            assert reads == []
            assert taken["id"].compute(scheduler="synchronous").tolist() == [*rows]
            reads.clear()


@pytest.mark.parametrize("kind", ["frame", "shuffled frame"])
def test_scikit_learns_tools_fit_and_score_whole_partitions(kind, frame):
    model = Incremental(Ids(), classes=[0, 1])
    if kind == "frame":
        X, y = counted(frame)
    else:
        shuffled = make_frame(6)[["id", "k"]].shuffle("k", shuffle_method="tasks")
        X = CountedFrame(shuffled)
        y = CountedFrame(shuffled["id"] % 2, X.lengths)
    results = cross_validate(
        model, X, y, cv=BlockKFold(3), error_score="raise", return_estimator=True
    )
    assert results["test_score"].tolist() == [1.0] * 3
    learned = np.concatenate([one.ids_ for one in results["estimator"]])
    assert sorted(learned) == sorted([*range(len(X))] * 2)


def test_a_search_is_refitted_on_the_dataframe(frame):
    X, y = counted(frame)
    model = Incremental(SGDClassifier(random_state=0), random_state=0, classes=[0, 1])
    grid = {"estimator__alpha": [1e-3, 1e-1]}
    search = GridSearchCV(model, grid, cv=BlockKFold(2), error_score="raise")
    search.fit(X, y)
    alone = model.set_params(**search.best_params_).fit(X.frame, y.frame)
    assert_same_state(search.best_estimator_.estimator_, alone.estimator_)
    assert list(search.feature_names_in_) == ["id", "k"]


def test_weights_are_cut_as_well(frame):
    X, y = counted(frame)
    results = cross_validate(
        Incremental(Ids(), classes=[0, 1]),
        X,
        y,
        cv=BlockKFold(3),
        params={"sample_weight": CountedFrame(frame["id"], LENGTHS)},
        error_score="raise",
    )
    assert results["test_score"].tolist() == [1.0] * 3


def test_predictions_are_never_of_other_rows(frame):
    X, y = counted(frame)
    model = Incremental(SGDClassifier(), classes=[0, 1])
    with pytest.raises(ValueError, match="unknown"):
        cross_val_predict(model, X, y, cv=BlockKFold(3))


@pytest.mark.parametrize("rows", [[0, 1], [*range(5, 17)][::-1], [29, 30], [3.0]])
def test_parts_of_partitions_are_refused(rows, frame, no_compute):
    with pytest.raises(
        ValueError,
        match=r"whole partitions [^B]* BlockKFold|whole partitions .*cv=BlockKFold",
    ):
        CountedFrame(frame, LENGTHS)[rows]


def test_rows_of_other_splitters_are_refused_before_anything_is_read(frame, reads):
    X, y = counted(frame)
    model = Incremental(Ids(), classes=[0, 1])
    with pytest.raises(ValueError, match="whole partitions"):
        cross_validate(model, X, y, cv=KFold(4, shuffle=True, random_state=0))
    assert reads == []


@pytest.mark.parametrize("value", [np.ones(3), da.ones(3), pd.DataFrame({"a": [1]})])
def test_what_is_no_dask_dataframe_is_refused(value):
    with pytest.raises(TypeError, match="frame must be a dask dataframe"):
        CountedFrame(value)


def test_lengths_of_other_partitions_are_refused(frame):
    with pytest.raises(ValueError, match="each of the 6 partitions .* got 2"):
        CountedFrame(frame, (3, 27))
