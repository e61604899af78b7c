"""The traits of scikit-learn's estimators. Tested with scikit-learn 1.9."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from typing import Any

from incremental._estimators.moments import fit_moments
from incremental._estimators.sklearn_parts import (
    MultiOutputParts,
    OneVsOneParts,
    OneVsRestParts,
    VotingClassifierParts,
    VotingParts,
)
from incremental._estimators.traits import Traits, traits_of
from incremental._typing import Estimator

_SCALER = Traits(ignores_y=True, cacheable=True, row_local=True)
_SGD = Traits(learns_row_by_row=True, learns_in_type_of="coef_")
_IN_ITS_TYPE = Traits(learns_in_type_of="coef_")
_BY_OUTPUT = Traits(parts=MultiOutputParts())
_SUM_SCORED = Traits(score="sum")
_MEAN_SCORED = Traits(score="mean")


def _n_clusters(estimator: Estimator) -> int:
    return int(estimator.n_clusters)


def _n_components(estimator: Estimator) -> int:
    return int(estimator.n_components or 1)


_TRAITS = {
    "sklearn.cluster": {
        "BisectingKMeans": _SUM_SCORED,
        "KMeans": _SUM_SCORED,
        "MiniBatchKMeans": Traits(
            learns_in_type_of="cluster_centers_", least_rows=_n_clusters, score="sum"
        ),
    },
    "sklearn.covariance": dict.fromkeys(
        (
            "EmpiricalCovariance",
            "GraphicalLasso",
            "GraphicalLassoCV",
            "LedoitWolf",
            "MinCovDet",
            "OAS",
            "ShrunkCovariance",
        ),
        _MEAN_SCORED,
    ),
    "sklearn.decomposition": {
        "FactorAnalysis": _MEAN_SCORED,
        "IncrementalPCA": Traits(least_rows=_n_components),
        "PCA": _MEAN_SCORED,
    },
    "sklearn.dummy": {"DummyClassifier": _MEAN_SCORED},
    "sklearn.ensemble": {
        "VotingClassifier": Traits(parts=VotingClassifierParts()),
        "VotingRegressor": Traits(parts=VotingParts()),
    },
    "sklearn.linear_model": {
        "PassiveAggressiveClassifier": _IN_ITS_TYPE,
        "PassiveAggressiveRegressor": _IN_ITS_TYPE,
        "Perceptron": _SGD,
        "SGDClassifier": _SGD,
        "SGDOneClassSVM": _SGD,
        "SGDRegressor": _SGD,
    },
    "sklearn.mixture": {
        "BayesianGaussianMixture": _MEAN_SCORED,
        "GaussianMixture": _MEAN_SCORED,
    },
    "sklearn.multiclass": {
        "OneVsOneClassifier": Traits(parts=OneVsOneParts()),
        "OneVsRestClassifier": Traits(parts=OneVsRestParts()),
    },
    "sklearn.multioutput": {
        "MultiOutputClassifier": replace(_BY_OUTPUT, score="mean"),
        "MultiOutputRegressor": _BY_OUTPUT,
    },
    "sklearn.neighbors": {
        "KNeighborsClassifier": _MEAN_SCORED,
        "KernelDensity": _SUM_SCORED,
        "RadiusNeighborsClassifier": _MEAN_SCORED,
    },
    "sklearn.preprocessing": {
        "MaxAbsScaler": _SCALER,
        "MinMaxScaler": _SCALER,
        "StandardScaler": replace(_SCALER, fit_fresh=fit_moments),
    },
}


def register(name: str) -> bool:
    """Register the traits of the estimators in a module of scikit-learn.

    Parameters
    ----------
    name : str
        The name of the module. It must be in ``sys.modules``.

    Returns
    -------
    bool
        Whether the traits are registered. They are not if another thread is still
        importing the module.
    """
    module: Any = sys.modules[name]
    # A version of scikit-learn may lack an estimator.
    names = set(_TRAITS[name]).intersection(getattr(module, "__all__", _TRAITS[name]))
    if not names or not all(hasattr(module, one) for one in names):
        return False
    for one in names:
        function = partial(_always, _TRAITS[name][one])
        traits_of.register(getattr(module, one), function)
    return True


def _always(traits: Traits, estimator: Estimator) -> Traits:
    """Return the traits, which are the same for all estimators of a type."""
    return traits
