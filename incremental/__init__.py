"""Fit and apply scikit-learn estimators on dask collections larger than memory."""

import importlib.metadata
import warnings

from incremental._block_k_fold import BlockKFold
from incremental._blocks.counted import CountedFrame
from incremental._cross_val_predict import cross_val_predict
from incremental._cross_validate import cross_validate
from incremental._estimators.average import average
from incremental._estimators.merge import merge
from incremental._estimators.traits import Traits, traits_of
from incremental._fit_many import fit_many
from incremental._hyperband_search import HyperbandSearchCV
from incremental._incremental import Incremental
from incremental._incremental_search import IncrementalSearchCV
from incremental._iter_blocks import iter_blocks
from incremental._parallel_post_fit import ParallelPostFit
from incremental._predict.reductions import Reduction, reduction_of
from incremental._successive_halving_search import SuccessiveHalvingSearchCV
from incremental._train_test_split import train_test_split

__version__ = "0.1.0"

__all__ = [
    "BlockKFold",
    "CountedFrame",
    "HyperbandSearchCV",
    "Incremental",
    "IncrementalSearchCV",
    "ParallelPostFit",
    "Reduction",
    "SuccessiveHalvingSearchCV",
    "Traits",
    "__version__",
    "average",
    "cross_val_predict",
    "cross_validate",
    "fit_many",
    "iter_blocks",
    "merge",
    "reduction_of",
    "train_test_split",
    "traits_of",
]


def _warn_of_namesake() -> None:
    try:
        importlib.metadata.distribution("incremental")
    except importlib.metadata.PackageNotFoundError:
        return
    warnings.warn(
        "A distribution named 'incremental' (a versioning tool that Twisted uses) is "
        "installed beside 'dask-incremental'. Both write to the same import name, so "
        "that one of them is broken. Install them in separate environments: `pip "
        "uninstall incremental dask-incremental`, then `pip install dask-incremental`.",
        RuntimeWarning,
        stacklevel=3,
    )


_warn_of_namesake()
