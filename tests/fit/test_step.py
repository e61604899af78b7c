"""One block."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from incremental._blocks.block import Block
from incremental._estimators.composition import check_learns, check_params
from incremental._fit.batches import Batching
from incremental._fit.step import Fitting, PartialFit, Step
from tests.contracts import Recorder

X = np.arange(12.0).reshape(6, 2)
y = np.arange(6)


def step(batch_size=None, params=None, **options):
    return Step(PartialFit(params or {}), Batching(batch_size), **options)


def record(pieces, **options):
    one = step(**options)
    return one.finish(one(Fitting(Recorder()), Block(pieces)))


def test_pieces_are_passed_by_their_names():
    fitting = record({"sample_weight": y, "y": y, "X": X}, params={"note": 1})
    assert fitting.estimator.calls_ == [(X, y, y, 1)]
    assert fitting.n_rows == 6


@pytest.mark.parametrize("kind", [np.asarray, pd.DataFrame, sp.csr_matrix])
def test_batches_cut_all_pieces(kind):
    calls = record({"X": kind(X), "y": pd.Series(y)}, batch_size=4).estimator.calls_
    assert [call[0].shape for call in calls] == [(4, 2), (2, 2)]
    assert [list(call[1]) for call in calls] == [[0, 1, 2, 3], [4, 5]]


def test_a_sparse_block_is_converted_once(monkeypatch):
    conversions = []
    monkeypatch.setattr(
        sp.csc_matrix,
        "tocsr",
        lambda self: conversions.append(1) or sp.coo_matrix.tocsr(self.tocoo()),
    )
    calls = record({"X": sp.csc_matrix(X)}, batch_size=2).estimator.calls_
    assert len(conversions) == 1
    np.testing.assert_array_equal(np.vstack([call[0].toarray() for call in calls]), X)


def test_an_empty_block_is_skipped():
    fitting = Fitting(Recorder())
    assert step()(fitting, Block({"X": X[:0], "y": y[:0]})) is fitting


def test_pieces_of_different_rows_are_refused():
    with pytest.raises(ValueError, match="X has 6, y has 5"):
        record({"X": X, "y": y[:5]})


@pytest.mark.parametrize(
    ("first", "second"),
    [("f8", "f4"), ("f4", "f8"), ("i8", "f4"), ("f8", "i4"), ("f4", "i8")],
)
@pytest.mark.parametrize("kind", [np.asarray, pd.DataFrame])
def test_sgd_learns_from_blocks_of_different_types(first, second, kind):
    one = step(params={"classes": np.arange(6)})
    fitting = one(Fitting(SGDClassifier()), Block({"X": kind(X.astype(first)), "y": y}))
    fitting = one(fitting, Block({"X": kind(X.astype(second)), "y": y}))
    assert fitting.n_rows == 12


def test_estimators_that_take_any_type_get_each_block_as_it_is():
    one = step()
    fitting = one(Fitting(Recorder()), Block({"X": X.astype("f4")}))
    fitting = one(fitting, Block({"X": X}))
    assert [call[0].dtype for call in fitting.estimator.calls_] == ["f4", "f8"]


def test_text_and_missing_values_are_left_alone():
    text = np.array(["a", None], dtype=object)
    one = step()
    fitting = one(Fitting(Recorder()), Block({"X": text.reshape(1, 2)}))
    frame = pd.DataFrame({"a": ["x"], "b": [1.0]})
    assert one(fitting, Block({"X": frame})).estimator.calls_[1][0] is frame


def test_in_place_the_estimator_itself_is_fitted():
    fitting = Fitting(Recorder())
    assert step()(fitting, Block({"X": X})).estimator is fitting.estimator


def test_otherwise_the_estimator_is_left_alone():
    fitting = Fitting(Recorder())
    one = step(in_place=False)
    assert (
        len(one(one(fitting, Block({"X": X})), Block({"X": X})).estimator.calls_) == 2
    )
    assert not hasattr(fitting.estimator, "calls_")


def test_judging_leaves_x_as_it_is():
    pipe = make_pipeline(StandardScaler(copy=False), SGDRegressor())
    given = Block({"X": X.copy(), "y": y})
    assert PartialFit(judged=True, copies=True)(Fitting(pipe), given).n_judged == 6
    np.testing.assert_array_equal(given["X"], X)


def test_an_error_says_how_many_rows_the_block_has():
    with pytest.raises(ValueError, match="NaN") as caught:
        step()(Fitting(SGDRegressor()), Block({"X": X * np.nan, "y": y}))
    assert caught.value.__notes__ == ["in a block of 6 rows"]


def test_an_estimator_without_partial_fit_is_refused():
    with pytest.raises(TypeError, match=r"SVC, which has none.*ParallelPostFit"):
        check_learns(SVC())


def test_a_parameter_that_partial_fit_does_not_take_is_refused():
    with pytest.raises(TypeError, match="takes no parameter 'wieght'; it takes X, y"):
        check_params(SGDRegressor(), {"wieght": 1})
    check_params(SGDRegressor(), {"sample_weight": 1})
    check_params(OneVsRestClassifier(SGDClassifier()), {"anything": 1})
