"""Fitted wrappers and pipelines in another process."""

import subprocess
import sys

import cloudpickle
import dask.array as da
import joblib
import numpy as np
import pytest
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from incremental import Incremental, ParallelPostFit

LOAD = """
import pickle, sys, numpy as np
if sys.argv[1] == "joblib":
    import joblib
    saved = joblib.load(sys.argv[2])
else:
    saved = pickle.load(open(sys.argv[2], "rb"))
assert "distributed.client" not in sys.modules
for name, (model, X, expected) in saved.items():
    received = np.asarray(model.predict(X))
    np.testing.assert_array_equal(received, expected, err_msg=name)
"""


def models():
    X = da.random.default_rng(0).normal(size=(40, 3), chunks=(10, 3))
    y = (X[:, 0] > 0).astype(int)
    stages = make_pipeline(
        Incremental(StandardScaler()), Incremental(SGDClassifier(random_state=0))
    )
    one_pass = Incremental(make_pipeline(StandardScaler(), SGDClassifier()))
    return {
        "stages": stages.fit(X, y),
        "one pass": one_pass.fit(X, y),
        "post fit": ParallelPostFit(stages[-1].estimator_),
    }


@pytest.mark.parametrize("how", ["cloudpickle", "joblib"])
def test_models_predict_the_same_in_a_fresh_process(how, client, tmp_path):
    X = np.random.default_rng(1).normal(size=(8, 3))
    bundle = {
        name: (model, X, np.asarray(model.predict(X)))
        for name, model in models().items()
    }
    path = tmp_path / "model"
    if how == "joblib":
        joblib.dump(bundle, path)
    else:
        path.write_bytes(cloudpickle.dumps(bundle))
    done = subprocess.run(
        [sys.executable, "-c", LOAD, how, str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
