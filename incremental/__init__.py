"""Fit and apply scikit-learn estimators on dask collections larger than memory."""

from incremental._incremental import Incremental
from incremental._iter_blocks import iter_blocks
from incremental._post_fit import ParallelPostFit

__version__ = "0.1.0"

__all__ = ["Incremental", "ParallelPostFit", "__version__", "iter_blocks"]
