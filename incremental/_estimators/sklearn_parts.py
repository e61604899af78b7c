"""How scikit-learn's bundles of independent estimators divide into parts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_array
from sklearn.utils.validation import has_fit_parameter

from incremental._estimators.parts import Parts


class OneVsRestParts(Parts):
    """How `sklearn.multiclass.OneVsRestClassifier` divides: by class."""

    def start(
        self,
        bundle: Any,
        params: Mapping[str, Any],
        row_wise: Collection[str],
        n_outputs: int,
    ) -> list[Any]:
        """Return a classifier for each class; one in all for two classes."""
        if {*params, *row_wise} - {"classes"} or n_outputs > 1 or _draws(bundle):
            return []
        classes = np.asarray(params.get("classes", ()))
        if hasattr(bundle, "estimators_"):
            if not np.array_equal(np.unique(classes), bundle.classes_):
                return []
        else:
            inner = bundle.estimator
            # `partial_fit` of the bundle then learns the classes and nothing else.
            bundle.estimator = _Idle()
            try:
                bundle.partial_fit(np.zeros((len(classes), 1)), classes, classes)
            finally:
                bundle.estimator = inner
            bundle.estimators_ = [clone(inner) for _ in bundle.estimators_]
        return list(bundle.estimators_)

    def targets(self, bundle: Any, y: Any) -> Any:
        """Return a sparse column for each class that marks the rows of the class."""
        return bundle.label_binarizer_.transform(y).tocsc()

    def select(self, targets: Any, numbers: Sequence[int]) -> Iterator[Any]:
        """Yield for each class 1 for its rows and 0 for the others."""
        by_class = targets.tocsc()
        return (by_class[:, [number]].toarray().ravel() for number in numbers)

    def params(self, params: Mapping[str, Any], number: int) -> dict[str, Any]:
        """Return the classes of each part: 0 and 1."""
        return {"classes": np.array((0, 1))}

    def join(self, bundle: Any, parts: list[Any]) -> None:
        """Put the classifiers into the bundle."""
        _put_in(bundle, parts, ["n_features_in_"])


class MultiOutputParts(Parts):
    """How `sklearn.multioutput` estimators divide: by column of y."""

    def start(
        self,
        bundle: Any,
        params: Mapping[str, Any],
        row_wise: Collection[str],
        n_outputs: int,
    ) -> list[Any]:
        """Return an estimator for each output."""
        known = {"classes"}
        if has_fit_parameter(bundle.estimator, "sample_weight"):
            known.add("sample_weight")
        routed = get_config()["enable_metadata_routing"]
        if routed or {*params, *row_wise} - known or n_outputs < 2 or _draws(bundle):
            return []
        classes = params.get("classes")
        if classes is not None and any(np.ndim(one) == 0 for one in classes):
            return []
        if not hasattr(bundle, "estimators_"):
            return [clone(bundle.estimator) for _ in range(n_outputs)]
        same = len(bundle.estimators_) == n_outputs
        return list(bundle.estimators_) if same else []

    def targets(self, bundle: Any, y: Any) -> Any:
        """Return y as an array."""
        return check_array(
            y, accept_sparse="csr", ensure_2d=False, dtype=None, input_name="y"
        )

    def select(self, targets: Any, numbers: Sequence[int]) -> Iterator[Any]:
        """Yield columns of y."""
        return (targets[:, number] for number in numbers)

    def params(self, params: Mapping[str, Any], number: int) -> dict[str, Any]:
        """Return the classes of an output, if they are given."""
        classes = params.get("classes")
        return {} if classes is None else {"classes": classes[number]}

    def join(self, bundle: Any, parts: list[Any]) -> None:
        """Put the estimators into the bundle."""
        _put_in(bundle, parts, ["n_features_in_", "feature_names_in_"])


class _Idle(BaseEstimator):  # type: ignore[misc]
    """An estimator that learns nothing."""

    def fit(self, X: Any, y: Any) -> _Idle:
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> _Idle:
        return self


def _draws(bundle: Any) -> bool:
    """Tell whether the parts draw from NumPy's global generator.

    They would do so in another order beside each other.
    """
    params = bundle.estimator.get_params().items()
    return any(n.endswith("random_state") and value is None for n, value in params)


def _put_in(bundle: Any, parts: list[Any], names: list[str]) -> None:
    bundle.estimators_ = parts
    for name in names:
        if hasattr(parts[0], name):
            setattr(bundle, name, getattr(parts[0], name))
