"""A data set of several files, whose columns dask reads in other partitions."""

import numpy as np
import pandas as pd

FEATURES = ["f0", "f1", "f2", "f3", "f4", "f5"]


def write(folder):
    """Write 12 files of 20 rows. The first feature and y are the number of the row."""
    for at in range(12):
        rows = np.arange(20 * at, 20 * at + 20)
        columns = {name: rows + number / 10 for number, name in enumerate(FEATURES)}
        pd.DataFrame({**columns, "y": rows}).to_parquet(folder / f"{at:02}.parquet")


def columns(frame):
    """Return X and y as arrays."""
    return frame[FEATURES].values, frame["y"].values
