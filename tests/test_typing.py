"""What a type checker finds in a module that uses the library."""

import subprocess
import sys

import pytest

MODULE = """
import numpy as np
from sklearn.linear_model import SGDClassifier

from incremental import Incremental, ParallelPostFit, iter_blocks, merge, traits_of

X = np.ones((4, 2))
model = Incremental(SGDClassifier(), batch_size=2, shuffle_blocks=False)
fitted: Incremental = model.fit(X, [0, 1, 0, 1]).partial_fit(X, [0, 1, 0, 1])
prediction = fitted.predict(X)
score: float = fitted.score(X, prediction)
wrapper: ParallelPostFit = ParallelPostFit(model.estimator, scoring="f1").fit(X)
merged: list[int] = merge([1], [2])
row_local: bool = traits_of(model.estimator).row_local
n_blocks: int = len(iter_blocks(X))
"""

MISTAKES = {
    "model.predit(X)": 'has no attribute "predit"',
    "model.fit_tranform(X)": 'has no attribute "fit_tranform"',
    "model.set_parms(alpha=1)": 'has no attribute "set_parms"',
    "Incremental(model.estimator, batchsize=2)": 'keyword argument "batchsize"',
    "Incremental(model.estimator, max_iter='two')": 'incompatible type "str"',
    "Incremental(model.estimator, scoring=3)": 'incompatible type "int"',
    "ParallelPostFit(model.estimator, classes=[0])": "Unexpected keyword argument",
    "iter_blocks(X, prefetc=1)": "Unexpected keyword argument",
    "wrong: str = merge([1], [2])": "expression has type",
    "traits_of(model).row_locale": 'has no attribute "row_locale"',
    "model.predict()": "Missing positional argument",
}


@pytest.mark.slow
def test_a_strict_type_checker_finds_misspelt_methods_and_wrong_keywords(tmp_path):
    lines = [*MODULE.splitlines(), *MISTAKES]
    first = len(MODULE.splitlines()) + 1
    module = tmp_path / "downstream.py"
    module.write_text("\n".join(lines) + "\n")
    (tmp_path / "mypy.ini").write_text(
        "[mypy]\n[mypy-sklearn.*]\nignore_missing_imports = True\n"
        "follow_imports = skip\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", "mypy.ini", module],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    found = [line for line in done.stdout.splitlines() if "error:" in line]
    own = {}
    for line in found:
        number = int(line.split(":")[1])
        own.setdefault(number, []).append(line)
    expected = dict(enumerate(MISTAKES.values(), first))
    assert set(own) == set(expected), done.stdout + done.stderr
    for number, message in expected.items():
        assert any(message in line for line in own[number]), own[number]
