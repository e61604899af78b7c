"""Tokens that are the same in every process, and others for other values."""

import functools
import json
import os
import subprocess
import sys
import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import f1_score, make_scorer
from sklearn.preprocessing import StandardScaler

from incremental._fit.tokens import tokenize

ROOT = Path(__file__).parent.parent.parent

VALUES = """
import functools, json, re
import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import f1_score, make_scorer
from sklearn.preprocessing import FunctionTransformer
from incremental._fit.checkpoints import fingerprint
from incremental._blocks.block import Block
from incremental._fit.digests import digest

WORDS = {"some", "words", "of", "a", "set"}
DOCUMENTS = ["some words", "and other words", "and a few more"]

class Scorer:
    def __init__(self, names):
        self.names = names
    def __call__(self, estimator, X, y):
        return 0.0

class Node:
    def __init__(self):
        self.itself = {self}

def plain(x):
    return helper(x) in {"some", "words"}

def helper(x):
    return x in WORDS

def made(names):
    return lambda x: x in names

def recurring(n):
    return recurring(n - 1) if n else 0

values = {
    "a frozen CountVectorizer":
        FrozenEstimator(CountVectorizer(stop_words=["and"]).fit(DOCUMENTS)),
    "a frozen TfidfVectorizer": FrozenEstimator(TfidfVectorizer().fit(DOCUMENTS)),
    "an object of a class of the script": Scorer(WORDS),
    "a lambda": lambda x: x + 1,
    "a function of the script": plain,
    "a function that was made": made(WORDS),
    "a function that calls itself": recurring,
    "a transformer with a lambda": FunctionTransformer(lambda X: X * 2),
    "a partial": functools.partial(plain, x="some"),
    "a scorer": make_scorer(f1_score, pos_label="a"),
    "a set": WORDS,
    "a frozenset in a dict": {"names": frozenset(WORDS), "last": 1},
    "a dict in the order of a set": {word: len(word) for word in WORDS},
    "an object in a set that it holds": Node(),
    "an array of sets": np.array([WORDS, {"another"}], dtype=object),
    "a frame of sets": pd.DataFrame({"a": [WORDS, {"another"}]}),
    "a random state": np.random.RandomState(0),
    "a pattern": re.compile("a+"),
}
found = {name: fingerprint({"value": one}, {}) for name, one in values.items()}
for name in ("an array of sets", "a frame of sets"):
    found["block: " + name] = digest(Block({"X": values[name]})).hex()
listed = values["an array of sets"].tolist()
found["block: a list of sets"] = digest(Block({"X": listed})).hex()
print(json.dumps(found))
"""
NAMES = [
    "a frozen CountVectorizer",
    "a frozen TfidfVectorizer",
    "an object of a class of the script",
    "a lambda",
    "a function of the script",
    "a function that was made",
    "a function that calls itself",
    "a transformer with a lambda",
    "a partial",
    "a scorer",
    "a set",
    "a frozenset in a dict",
    "a dict in the order of a set",
    "an object in a set that it holds",
    "an array of sets",
    "a frame of sets",
    "a random state",
    "a pattern",
    "block: an array of sets",
    "block: a frame of sets",
    "block: a list of sets",
]


def start(seed, script, *arguments):
    """Run a script in a process whose sets have another order."""
    environment = {**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, script, *map(str, arguments)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    script = tmp_path_factory.mktemp("script") / "script.py"
    script.write_text(VALUES)
    begun = [start(seed, script) for seed in (1, 2)]
    return [json.loads(one.communicate()[0]) for one in begun]


@pytest.mark.parametrize("name", NAMES)
def test_a_value_is_described_alike_in_every_process(name, described):
    one, other = described
    assert one[name] == other[name]


def test_the_table_is_complete(described):
    assert list(described[0]) == NAMES


class Scorer:
    def __init__(self, weight):
        self.weight = weight
        self._model_id = weight


class Other(Scorer):
    pass


def made(value):
    return lambda x: x + value


def with_default(value):
    def function(x=value):
        return x

    return function


def using(value):
    """Make a function that reads a global variable."""
    space = {"value": value, "__name__": "__main__"}
    exec("def function(x):\n    return [x + value for _ in range(2)]", space)
    return space["function"]


def calling(value):
    """Make a function that calls another one."""
    space = {"__name__": "__main__"}
    exec(f"def inner(x): return x + {value}\ndef outer(x): return inner(x)", space)
    return space["outer"]


def loop(length):
    first = [None]
    last = first
    for _ in range(length):
        last = [last]
    first[0] = last
    return first


def frozen(*documents):
    return FrozenEstimator(CountVectorizer().fit(documents))


PAIRS = {
    "numbers": (1, 2),
    "types of numbers": (1, 1.0),
    "a number and a boolean": (1, True),
    "a string and a number": ("1", 1),
    "a string and bytes": ("a", b"a"),
    "a list and a tuple": ([1], (1,)),
    "where lists are cut": ([["a"], "b"], ["a", ["b"]]),
    "sets": ({1, 2}, {1, 3}),
    "a set and a frozenset": ({1}, frozenset({1})),
    "sets of tuples": ({(1, 2)}, {(1,), 2}),
    "dicts": ({"a": 1, "b": 2}, {"a": 2, "b": 1}),
    "keys and values": ({"a": "b"}, {"b": "a"}),
    "ordered dicts": (OrderedDict(a=1, b=2), OrderedDict(b=2, a=1)),
    "the code of lambdas": (lambda x: x + 1, lambda x: x - 1),
    "constants of lambdas": (lambda x: x + 1, lambda x: x + 2),
    "names in lambdas": (lambda x: x.real, lambda x: x.imag),
    "lambdas within lambdas": (lambda x: lambda: 1, lambda x: lambda: 2),
    "values around functions": (made(1), made(2)),
    "defaults of functions": (with_default(1), with_default(2)),
    "global variables": (using(1), using(2)),
    "functions that are called": (calling(1), calling(2)),
    "functions of modules": (np.linalg.det, np.linalg.norm),
    "built-in functions": (len, sum),
    "ufuncs": (np.log, np.exp),
    "methods": ("a".upper, "a".lower),
    "objects of methods": ("a".upper, "b".upper),
    "classes": (Scorer, Other),
    "objects": (Scorer(1), Scorer(2)),
    "classes of objects": (Scorer(1), Other(1)),
    "partials": (functools.partial(f1_score, pos_label=1), f1_score),
    "scorers": (
        make_scorer(f1_score, pos_label=0),
        make_scorer(f1_score, pos_label=1),
    ),
    "parameters of estimators": (SGDClassifier(alpha=1.0), SGDClassifier(alpha=2.0)),
    "what estimators learned": (
        StandardScaler().fit([[0.0], [1.0]]),
        StandardScaler().fit([[0.0], [2.0]]),
    ),
    "what frozen estimators learned": (frozen("a bag"), frozen("another bag")),
    "arrays": (np.array([1, 2]), np.array([1, 3])),
    "types of arrays": (np.array([1, 2]), np.array([1, 2], dtype="i4")),
    "shapes of arrays": (np.zeros((2, 3)), np.zeros((3, 2))),
    "units of arrays": (np.array([1], "M8[s]"), np.array([1], "M8[ms]")),
    "arrays of objects": (np.array([{1}], object), np.array([{2}], object)),
    "what is masked": (
        np.ma.array([1, 2], mask=[0, 1]),
        np.ma.array([1, 2], mask=[0, 0]),
    ),
    "names of fields": (np.zeros(1, [("a", "f8")]), np.zeros(1, [("b", "f8")])),
    "types of fields": (np.zeros(1, [("a", "f8")]), np.zeros(1, [("a", "i8")])),
    "long floats": (np.longdouble(1), np.longdouble(2)),
    "sparse arrays": (sp.csr_array([[1, 0]]), sp.csr_array([[0, 1]])),
    "shapes of sparse arrays": (sp.csr_array((1, 2)), sp.csr_array((1, 3))),
    "names of columns": (pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]})),
    "values of frames": (pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [2]})),
    "labels of rows": (pd.Series([1], index=[1]), pd.Series([1], index=[2])),
    "names of series": (pd.Series([1], name="a"), pd.Series([1], name="b")),
    "categories": (
        pd.Series(pd.Categorical(["a"], ["a", "b"])),
        pd.Series(pd.Categorical(["a"], ["a", "c"])),
    ),
    "seeds": (np.random.RandomState(0), np.random.RandomState(1)),
    "lengths of loops": (loop(1), loop(2)),
}


@pytest.mark.parametrize("what", PAIRS)
def test_other_values_have_other_tokens(what):
    one, other = PAIRS[what]
    assert tokenize(one) == tokenize(one)
    assert tokenize(one) != tokenize(other)


def alike():
    X = np.arange(6.0).reshape(2, 3)
    shared = [1, 2]
    return {
        "in which order arrays lie": (X, np.asfortranarray(X)),
        "how sparse arrays are kept": (sp.csr_array(X), sp.csc_array(X)),
        "how blocks of frames lie": (
            pd.DataFrame(X),
            pd.concat(
                [pd.DataFrame(X[:, :1]), pd.DataFrame(X[:, 1:])], axis=1
            ).set_axis(range(3), axis=1),
        ),
        "whether two parts are one": ([shared, shared], [[1, 2], [1, 2]]),
        "the order of dicts": ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        "where a function stands": (lambda x: x + 1, lambda x: x + 1),
    }


@pytest.mark.parametrize("what", alike())
def test_it_makes_no_difference(what):
    one, other = alike()[what]
    if what == "where a function stands":
        one.__qualname__ = other.__qualname__
    assert tokenize(one) == tokenize(other)


def test_a_long_chain_of_objects_has_a_token():
    chain = None
    for _ in range(10_000):
        chain = [chain]
    assert tokenize(chain) != tokenize([chain])


def test_what_is_only_in_one_process_is_refused():
    with pytest.raises(TypeError, match=r"cannot tell one _thread.lock from another"):
        tokenize({"lock": threading.Lock()})


def padded(kind, rest, *values):
    """Make an array that has other bytes where nothing is held."""
    array = np.frombuffer(bytearray([rest]) * 4 * np.dtype(kind).itemsize, kind)
    fields = array.dtype.names
    for name in fields or ["real", "imag"][: 1 + (array.dtype.kind == "c")]:
        part = array[name] if fields else getattr(array, name)
        np.add(np.reshape(values, (4, *[1] * (part.ndim - 1))), 0, out=part)
    return array


FIELDS = np.dtype([("a", "i1"), ("b", "f8"), ("c", "i2", (2,))], align=True)


@pytest.mark.parametrize("kind", [np.longdouble, np.clongdouble, FIELDS])
def test_bytes_that_hold_nothing_do_not_count(kind):
    values = [1, 2, 3, 4] if kind is FIELDS else [0.1, -0.0, np.nan, np.inf]
    one, other = padded(kind, 0, *values), padded(kind, 255, *values)
    assert one.tobytes() != other.tobytes()
    assert tokenize(one) == tokenize(other)
    assert tokenize(one) != tokenize(padded(kind, 0, *values[::-1]))


KILLED = """
import os, signal, sys
import dask
import dask.bag as db
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from incremental import Incremental

LEFT_OUT = frozenset(["a", "few", "words"])

class Scorer:
    def __init__(self, names):
        self.names = names
    def __call__(self, estimator, X, y):
        return 0.0

class Killing:
    def __init__(self, after):
        self.seen, self.after = 0, after
    def setup(self, estimator, context):
        pass
    def teardown(self, estimator, context):
        pass
    def on_fit_task_begin(self, estimator, context):
        pass
    def on_fit_task_end(self, estimator, context):
        self.seen += context.task_name == "block"
        if self.seen == self.after:
            os.kill(os.getpid(), signal.SIGKILL)

folder, after = sys.argv[1], int(sys.argv[2])
documents = [f"document {number} of a few" for number in range(60)]
vectoriser = TfidfVectorizer(stop_words=["of"]).fit(documents)
model = Incremental(
    make_pipeline(
        FunctionTransformer(lambda texts: [t for t in texts if t not in LEFT_OUT]),
        FrozenEstimator(vectoriser),
        SGDClassifier(random_state=0, class_weight={0: 1.0, 1: 2.0}),
    ),
    scoring=Scorer({"some", "names"}),
    classes=[0, 1],
    random_state=0,
    checkpoint=folder,
    checkpoint_every=2,
)
killing = Killing(after)
with dask.config.set(scheduler="synchronous"):
    model.set_callbacks(killing).fit(
        db.from_sequence(documents, npartitions=6),
        db.from_sequence([number % 2 for number in range(60)], npartitions=6),
    )
print(killing.seen)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="nothing is killed elsewhere")
def test_a_killed_fit_of_a_script_goes_on_in_a_new_process(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(KILLED)
    killed = start(1, script, tmp_path / "folder", 5)
    killed.communicate()
    assert killed.returncode == -9
    again = start(2, script, tmp_path / "folder", -1)
    assert again.communicate()[0] == "2\n"
