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
from incremental._typing import Classes, Estimator, Piece


class OneVsRestParts(Parts):
    """The division of a `sklearn.multiclass.OneVsRestClassifier` by class."""

    def start(
        self,
        bundle: Estimator,
        params: Mapping[str, Any],
        row_wise: Collection[str],
        n_outputs: int,
    ) -> list[Estimator]:
        """Return one classifier for each class, or a single one for two classes.

        The bundle learns as a whole if it has parameters beside ``classes``, if y has
        several columns, if ``classes`` are others than before, or if a part would draw
        from NumPy's global generator.
        """
        if {*params, *row_wise} - {"classes"} or n_outputs > 1 or _draws(bundle):
            return []
        classes = np.asarray(params.get("classes", ()))
        if hasattr(bundle, "estimators_"):
            if not np.array_equal(np.unique(classes), bundle.classes_):
                return []
        else:
            inner = bundle.estimator
            # With this, `partial_fit` of the bundle learns the classes and no more.
            bundle.estimator = _Idle()
            try:
                bundle.partial_fit(np.zeros((len(classes), 1)), classes, classes)
            finally:
                bundle.estimator = inner
            bundle.estimators_ = [clone(inner) for _ in bundle.estimators_]
        return list(bundle.estimators_)

    def targets(self, bundle: Estimator, y: Piece) -> Piece:
        """Return a sparse matrix with a column for each part.

        A column holds 1 in the rows of the class of the part, and 0 in the others.
        """
        return bundle.label_binarizer_.transform(y).tocsc()

    def select(self, targets: Piece, numbers: Sequence[int]) -> Iterator[Piece]:
        """Yield for each class 1 for its rows and 0 for the others."""
        by_class = targets.tocsc()
        return (by_class[:, [number]].toarray().ravel() for number in numbers)

    def params(self, params: Mapping[str, Any], number: int) -> dict[str, Any]:
        """Return the classes of each part: 0 and 1."""
        return {"classes": np.array((0, 1))}

    def join(self, bundle: Estimator, parts: list[Estimator]) -> None:
        """Put the classifiers into the bundle."""
        _put_in(bundle, parts, ["n_features_in_"])


class MultiOutputParts(Parts):
    """The division of a `sklearn.multioutput` estimator by column of y."""

    def start(
        self,
        bundle: Estimator,
        params: Mapping[str, Any],
        row_wise: Collection[str],
        n_outputs: int,
    ) -> list[Estimator]:
        """Return one estimator for each column of y.

        The bundle learns as a whole if scikit-learn routes metadata, if it has
        parameters that its parts may not take, if y has one column or another number of
        columns than before, if ``classes`` are not given for each column, or if a part
        would draw from NumPy's global generator.
        """
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

    def targets(self, bundle: Estimator, y: Piece) -> Piece:
        """Return y as an array or a sparse matrix."""
        return check_array(
            y, accept_sparse="csr", ensure_2d=False, dtype=None, input_name="y"
        )

    def select(self, targets: Piece, numbers: Sequence[int]) -> Iterator[Piece]:
        """Yield columns of y."""
        return (targets[:, number] for number in numbers)

    def params(self, params: Mapping[str, Any], number: int) -> dict[str, Any]:
        """Return the classes in the column of one part, if they are given."""
        classes = params.get("classes")
        return {} if classes is None else {"classes": classes[number]}

    def join(self, bundle: Estimator, parts: list[Estimator]) -> None:
        """Put the estimators into the bundle."""
        _put_in(bundle, parts, ["n_features_in_", "feature_names_in_"])


class _Idle(BaseEstimator):  # type: ignore[misc]
    """An estimator that learns nothing, in place of those in a bundle."""

    def fit(self, X: Piece, y: Piece) -> _Idle:
        return self

    def partial_fit(self, X: Piece, y: Piece, classes: Classes = None) -> _Idle:
        return self


def _draws(bundle: Estimator) -> bool:
    """Tell whether the parts of a bundle draw from NumPy's global generator.

    Parts that learn beside each other would draw from it in another order.
    """
    params = bundle.estimator.get_params().items()
    return any(n.endswith("random_state") and value is None for n, value in params)


def _put_in(bundle: Estimator, parts: list[Estimator], names: list[str]) -> None:
    """Put parts into their bundle, which is changed.

    Parameters
    ----------
    bundle : estimator
    parts : list of estimator
    names : list of str
        Attributes that the bundle takes over from its first part, if it has them.
    """
    bundle.estimators_ = parts
    for name in names:
        if hasattr(parts[0], name):
            setattr(bundle, name, getattr(parts[0], name))
