"""What each method takes: one table of inputs, which the README shows.

Each input either gives what a plain loop gives, or an error that says what to write. To
print the table for the README::

    python -m tests.test_what_it_takes
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import dask.bag as db
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from incremental import Incremental, ParallelPostFit, iter_blocks
from incremental._estimators.composition import last_step
from tests.contracts import assert_same_state

README = Path(__file__).parent.parent / "README.md"
FEATURES = list("abcd")
CHUNKS = (10, 15, 15)
VALUES = np.random.default_rng(0).normal(size=(40, 4))
LABELS = (VALUES[:, 0] > 0).astype(int)
FRAME = pd.DataFrame(VALUES, columns=FEATURES)
WORDS = [f"word{label} of{row % 5}" for row, label in enumerate(LABELS)]

LINEAR = SGDClassifier(random_state=0)
OF_WORDS = make_pipeline(HashingVectorizer(n_features=16), LINEAR)

METHODS = ["fit", "partial_fit", "predict", "transform", "score", "iter_blocks"]


@dataclass
class Input:
    """A kind of X and y, and the blocks that they are cut into.

    Parameters
    ----------
    name : str
        What the README calls it.
    make : callable
        Returns X and y.
    blocks : int
        How many there are: those of `CHUNKS`, or one of all rows.
    plain : callable
        Makes of a slice of rows what the estimator gets as X.
    refused : str or None
        What the error says; None if it is taken.
    note : str
        For the README.
    """

    name: str
    make: Callable[[], tuple[Any, Any]]
    blocks: int = 3
    plain: Callable[[slice], Any] = VALUES.__getitem__
    refused: str | None = None
    note: str = ""
    needs: str | None = None

    @property
    def rows(self):
        stops = np.cumsum(CHUNKS if self.blocks == 3 else (40,))
        starts = [0, *stops[:-1]]
        return [slice(*ends) for ends in zip(starts, stops, strict=True)]

    @property
    def classifier(self):
        return clone(OF_WORDS if "text" in self.name else LINEAR)

    @property
    def transformer(self):
        text = "text" in self.name
        return HashingVectorizer(n_features=16) if text else MaxAbsScaler()


def array(values=VALUES):
    chunks = (CHUNKS, *((n,) for n in values.shape[1:]))
    return da.from_array(values, chunks=chunks, name=False)


def unknown(values=VALUES):
    """Return an array whose chunks are unknown."""
    lazy = array(values)
    return lazy.map_blocks(np.asarray, chunks=((np.nan,) * 3, *lazy.chunks[1:]))


def frame(plain=FRAME):
    parts = [plain.iloc[rows] for rows in Input("", None).rows]
    return dd.from_map(lambda at: parts[at], range(3), meta=plain.iloc[:0])


def labelled():
    import xarray as xr

    X = xr.DataArray(array(), dims=("time", "feature"), coords={"time": range(40)})
    return X, xr.DataArray(array(LABELS), dims=("time",))


def data_set():
    import xarray as xr

    columns = {name: ("time", array(VALUES[:, n])) for n, name in enumerate(FEATURES)}
    return xr.Dataset(columns), array(LABELS)


def polars():
    import polars as pl

    return pl.DataFrame(FRAME.to_dict("list")), pl.Series(LABELS)


def arrow():
    import pyarrow as pa

    return pa.Table.from_pandas(FRAME), pa.chunked_array([LABELS])


def duck():
    import duckdb

    return duckdb.from_df(FRAME), LABELS


def stored():
    import zarr

    return zarr.array(VALUES, chunks=(10, 4)), LABELS


def sparse(rows):
    return sp.csr_matrix(VALUES[rows])


def bag():
    parts = [dask.delayed(WORDS[rows]) for rows in Input("", None).rows]
    return db.from_delayed(parts), unknown(LABELS)


def words():
    return frame(pd.Series(WORDS, name="text")), frame(pd.Series(LABELS, name="y"))


COUNTED = "rows are counted, with a warning"

INPUTS = [
    Input("dask array", lambda: (array(), array(LABELS))),
    Input("dask array, y cut at other rows", lambda: (array(), da.from_array(LABELS))),
    Input("dask array of unknown lengths", lambda: (unknown(), unknown(LABELS))),
    Input(
        "dask array of unknown lengths, y in memory",
        lambda: (unknown(), LABELS),
        note=COUNTED,
    ),
    Input(
        "dask array of sparse blocks",
        lambda: (array().map_blocks(sp.csr_matrix), array(LABELS)),
        plain=sparse,
    ),
    Input(
        "dask dataframe and series",
        lambda: (frame(), frame(pd.Series(LABELS, name="y"))),
        plain=FRAME.__getitem__,
    ),
    Input(
        "dask dataframe, y a dask array",
        lambda: (frame(), unknown(LABELS)),
        plain=FRAME.__getitem__,
    ),
    Input(
        "dask dataframe, y in memory",
        lambda: (frame(), LABELS),
        plain=FRAME.__getitem__,
        note=COUNTED,
    ),
    Input("dask bag of text", bag, plain=WORDS.__getitem__),
    Input("dask series of text", words, plain=WORDS.__getitem__),
    Input("NumPy array", lambda: (VALUES, LABELS), blocks=1),
    Input("NumPy array, y lazy", lambda: (VALUES, array(LABELS)), blocks=1),
    Input(
        "pandas dataframe and series",
        lambda: (FRAME, pd.Series(LABELS)),
        blocks=1,
        plain=FRAME.__getitem__,
    ),
    Input(
        "SciPy sparse matrix",
        lambda: (sp.csr_matrix(VALUES), LABELS),
        blocks=1,
        plain=sparse,
    ),
    Input("lists", lambda: (VALUES.tolist(), LABELS.tolist()), blocks=1),
    Input("list of text", lambda: (WORDS, LABELS), blocks=1, plain=WORDS.__getitem__),
    Input(
        "xarray DataArray of dask arrays",
        labelled,
        needs="xarray",
        note="the rows of results are labelled like those of X",
    ),
    Input(
        "xarray Dataset of columns",
        data_set,
        needs="xarray",
        note="the rows of results are labelled like those of X",
    ),
    Input(
        "Polars dataframe",
        polars,
        blocks=1,
        plain=FRAME.__getitem__,
        needs="polars",
    ),
    Input("pyarrow table", arrow, blocks=1, plain=FRAME.__getitem__, needs="pyarrow"),
    Input(
        "Polars lazy frame",
        lambda: (polars()[0].lazy(), LABELS),
        refused="`.collect()`",
        needs="polars",
    ),
    Input("DuckDB relation", duck, refused="`.df()`", needs="duckdb"),
    Input("open Zarr or HDF5 array", stored, refused="da.from_zarr", needs="zarr"),
    Input(
        "dask Delayed",
        lambda: (dask.delayed(VALUES), array(LABELS)),
        refused="da.from_delayed",
    ),
]


def learned(item):
    """Return the classifier after a plain loop."""
    classifier = item.classifier
    last = last_step(classifier)
    for rows in item.rows:
        X = item.plain(rows)
        X = classifier[0].transform(X) if "text" in item.name else X
        last.partial_fit(X, LABELS[rows], classes=[0, 1])
    return classifier


def dense(values):
    computed = values.compute() if hasattr(values, "compute") else values
    computed = getattr(computed, "values", computed)
    return computed.toarray() if sp.issparse(computed) else np.asarray(computed)


def everything(item):
    """Return the rows of an input as one block."""
    return item.plain(slice(0, 40))


def check(item, method):
    X, y = item.make()
    if method in ("fit", "partial_fit"):
        model = Incremental(item.classifier, classes=[0, 1], shuffle_blocks=False)
        getattr(model, method)(X, y)
        assert_same_state(last_step(model.estimator_), last_step(learned(item)))
    elif method == "predict":
        estimator = learned(item)
        received = dense(ParallelPostFit(estimator).predict(X))
        np.testing.assert_array_equal(received, estimator.predict(everything(item)))
    elif method == "transform":
        wrapper = Incremental(item.transformer).fit(X)
        expected = item.transformer.fit(everything(item)).transform(everything(item))
        np.testing.assert_array_equal(dense(wrapper.transform(X)), dense(expected))
    elif method == "score":
        estimator = learned(item)
        received = ParallelPostFit(estimator).score(X, y)
        assert received == pytest.approx(estimator.score(everything(item), LABELS))
    else:
        blocks = list(iter_blocks(X, y))
        assert len(blocks) == len(item.rows)
        for (part, labels), rows in zip(blocks, item.rows, strict=True):
            plain = item.plain(rows)
            if isinstance(plain, list) and isinstance(plain[0], str):
                assert list(part) == plain
            else:
                np.testing.assert_array_equal(dense(part), dense(plain))
            np.testing.assert_array_equal(np.asarray(labels), LABELS[rows])


@pytest.mark.filterwarnings("default::dask.array.PerformanceWarning")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("item", INPUTS, ids=lambda item: item.name)
def test_each_input_gives_what_a_loop_gives_or_says_what_to_write(item, method):
    if item.needs is not None:
        pytest.importorskip(item.needs)
    if item.refused is None:
        check(item, method)
    else:
        with pytest.raises(TypeError, match=re.escape(item.refused)):
            check(item, method)


def table():
    """Return the table of inputs, as the README has it."""
    lines = ["| X and y | taken | |", "|---|---|---|"]
    for item in INPUTS:
        taken = "yes" if item.refused is None else "no"
        note = item.note
        if item.refused is not None:
            note = f"write {item.refused.replace('da.from', '`da.from')}"
            note += "" if note.endswith("`") else "`"
        lines.append(f"| {item.name} | {taken} | {note} |")
    return "\n".join(lines)


def test_the_readme_has_this_table():
    assert table() in README.read_text()


if __name__ == "__main__":
    print(table())  # noqa: T201
