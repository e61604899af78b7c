"""What scikit-learn lacks in some of its versions."""

from importlib.util import module_from_spec, spec_from_file_location

import pytest
from sklearn.feature_extraction import FeatureHasher
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import SGDClassifier

from incremental import Incremental
from incremental._estimators import older_sklearn
from tests.contracts import as_dask, assert_same_state


@pytest.fixture
def older(monkeypatch):
    """Make the wrapper that an older scikit-learn leaves, whatever is installed."""
    spec = spec_from_file_location("older", older_sklearn.__file__)
    module = module_from_spec(spec)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    spec.loader.exec_module(module)

    class Older(module.CallbackSupportMixin, Incremental):
        fit = module.with_callbacks(Incremental.fit)

    return Older(SGDClassifier(random_state=0), random_state=0)


@pytest.mark.parametrize("hasher", [FeatureHasher(), HashingVectorizer()])
def test_hashers_need_no_fit(hasher):
    assert not older_sklearn.requires_fit(hasher)


def test_callbacks_need_scikit_learn_1_9(older):
    with pytest.raises(ImportError, match=r"`set_callbacks` needs scikit-learn 1\.9"):
        older.set_callbacks()


def test_a_fit_needs_no_callbacks(older, rng):
    X = rng.normal(size=(60, 4))
    data = as_dask(X, (20,) * 3), as_dask((X[:, 0] > 0).astype(int), (20,) * 3)
    expected = Incremental(older.estimator, random_state=0).fit(*data)
    assert_same_state(older.fit(*data).estimator_, expected.estimator_)
