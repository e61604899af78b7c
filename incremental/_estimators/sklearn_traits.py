"""The traits of scikit-learn's estimators. Tested with scikit-learn 1.9."""

from __future__ import annotations

import sys
from functools import partial

from incremental._estimators.sklearn_parts import MultiOutputParts, OneVsRestParts
from incremental._estimators.traits import Traits, traits_of
from incremental._typing import Estimator

_SCALER = Traits(ignores_y=True, cacheable=True, row_local=True)
_SGD = Traits(learns_row_by_row=True, learns_in_type_of="coef_")
_IN_ITS_TYPE = Traits(learns_in_type_of="coef_")
_BY_OUTPUT = Traits(parts=MultiOutputParts())

_TRAITS = {
    "sklearn.cluster": {
        "MiniBatchKMeans": Traits(learns_in_type_of="cluster_centers_")
    },
    "sklearn.linear_model": {
        "PassiveAggressiveClassifier": _IN_ITS_TYPE,
        "PassiveAggressiveRegressor": _IN_ITS_TYPE,
        "Perceptron": _SGD,
        "SGDClassifier": _SGD,
        "SGDOneClassSVM": _SGD,
        "SGDRegressor": _SGD,
    },
    "sklearn.multiclass": {"OneVsRestClassifier": Traits(parts=OneVsRestParts())},
    "sklearn.multioutput": {
        "MultiOutputClassifier": _BY_OUTPUT,
        "MultiOutputRegressor": _BY_OUTPUT,
    },
    "sklearn.preprocessing": {
        "MaxAbsScaler": _SCALER,
        "MinMaxScaler": _SCALER,
        "StandardScaler": _SCALER,
    },
}


def register(module: str) -> None:
    """Register the traits of the estimators of a module that is loaded."""
    for name, traits in _TRAITS[module].items():
        # A version may lack an estimator, and the module may be half loaded.
        kind = getattr(sys.modules[module], name, None)
        if kind is not None and kind not in traits_of:
            traits_of.register(kind, partial(_always, traits))


def _always(traits: Traits, estimator: Estimator) -> Traits:
    return traits
