"""How scikit-learn's bundles of independent estimators divide into parts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator, clone
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import Bunch, check_array
from sklearn.utils.validation import column_or_1d, has_fit_parameter, validate_data

from incremental._errors import noted
from incremental._estimators.composition import check_learns, learn, needs_classes
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
        if not _divides_by_class(bundle, params, row_wise, n_outputs):
            return []
        if not hasattr(bundle, "estimators_"):
            inner = bundle.estimator
            _learn_classes(bundle, params["classes"])
            bundle.estimators_ = [clone(inner) for _ in bundle.estimators_]
        return list(bundle.estimators_)

    def targets(self, bundle: Estimator, y: Piece) -> Piece:
        """Return a sparse matrix with a column for each part.

        A column holds 1 in the rows of the class of the part, and 0 in the others.
        """
        return bundle.label_binarizer_.transform(y).tocsc()

    def select(
        self,
        X: Piece,
        targets: Piece,
        numbers: Sequence[int],
        params: Mapping[str, Any],
    ) -> Iterator[tuple[Piece, Piece]]:
        """Yield for each class 1 for its rows and 0 for the others."""
        by_class = targets.tocsc()
        return ((X, by_class[:, [number]].toarray().ravel()) for number in numbers)

    def params(
        self, params: Mapping[str, Any], number: int, part: Estimator
    ) -> dict[str, Any]:
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
        if (
            routed
            or {*params, *row_wise} - known
            or n_outputs < 2
            or _draws(bundle.estimator)
        ):
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

    def select(
        self,
        X: Piece,
        targets: Piece,
        numbers: Sequence[int],
        params: Mapping[str, Any],
    ) -> Iterator[tuple[Piece, Piece]]:
        """Yield columns of y."""
        return ((X, targets[:, number]) for number in numbers)

    def params(
        self, params: Mapping[str, Any], number: int, part: Estimator
    ) -> dict[str, Any]:
        """Return the classes in the column of one part, if they are given."""
        classes = params.get("classes")
        return {} if classes is None else {"classes": classes[number]}

    def join(self, bundle: Estimator, parts: list[Estimator]) -> None:
        """Put the estimators into the bundle."""
        _put_in(bundle, parts, ["n_features_in_", "feature_names_in_"])


class OneVsOneParts(Parts):
    """The division of a `sklearn.multiclass.OneVsOneClassifier` by pair of classes.

    Each classifier learns from the rows of its two classes alone. One more part learns
    the columns of X, as the bundle does.
    """

    def start(
        self,
        bundle: Estimator,
        params: Mapping[str, Any],
        row_wise: Collection[str],
        n_outputs: int,
    ) -> list[Estimator]:
        """Return one classifier for each pair of classes, and the part for the columns.

        The bundle learns as a whole if there are two classes, or for the reasons for
        which a `OneVsRestClassifier` does.
        """
        if not _divides_by_class(bundle, params, row_wise, n_outputs):
            return []
        if len(np.unique(params["classes"])) < 3:
            return []
        if not hasattr(bundle, "estimators_"):
            inner = bundle.estimator
            _learn_classes(bundle, params["classes"])
            # That of the made-up rows; not deleted, to keep the order of attributes.
            bundle.n_features_in_ = None
            bundle.estimators_ = [clone(inner) for _ in bundle.estimators_]
        return [*bundle.estimators_, _Columns()]

    def targets(self, bundle: Estimator, y: Piece) -> Piece:
        """Return y as an array."""
        return column_or_1d(y, warn=True)

    def select(
        self,
        X: Piece,
        targets: Piece,
        numbers: Sequence[int],
        params: Mapping[str, Any],
    ) -> Iterator[tuple[Piece, Piece]]:
        """Yield the rows of both classes, with 1 for the second and 0 for the first.

        The part for the columns gets all rows.
        """
        pairs = list(combinations(np.unique(params["classes"]), 2))
        table: Any = None
        for number in numbers:
            if number == len(pairs):
                yield X, targets
                continue
            if table is None:
                table = check_array(
                    X, accept_sparse=["csr", "csc"], ensure_all_finite=False
                )
            first, second = pairs[number]
            rows = np.logical_or(targets == first, targets == second)
            y = targets[rows]
            # As scikit-learn does it, in the type of y.
            is_second = np.zeros_like(y)
            is_second[y == second] = 1
            yield table[rows], is_second

    def params(
        self, params: Mapping[str, Any], number: int, part: Estimator
    ) -> dict[str, Any]:
        """Return the classes of each pair: 0 and 1."""
        return {} if isinstance(part, _Columns) else {"classes": np.array((0, 1))}

    def join(self, bundle: Estimator, parts: list[Estimator]) -> None:
        """Put the classifiers into the bundle, with the columns of X."""
        *classifiers, columns = parts
        bundle.estimators_ = classifiers
        for names_from in (columns, classifiers[0]):
            if hasattr(names_from, "n_features_in_"):
                bundle.n_features_in_ = names_from.n_features_in_
        if hasattr(columns, "feature_names_in_"):
            bundle.feature_names_in_ = columns.feature_names_in_


class VotingParts(Parts):
    """The division of a `sklearn.ensemble.VotingRegressor` by its estimators.

    It has no ``partial_fit`` of its own. The one supplied here calls that of each
    estimator, as its ``fit`` calls their ``fit``.
    """

    def start(
        self,
        bundle: Estimator,
        params: Mapping[str, Any],
        row_wise: Collection[str],
        n_outputs: int,
    ) -> list[Estimator]:
        """Return the estimators that are not dropped.

        The bundle learns as a whole if it has parameters that its parts may not take,
        or if one of them would draw from NumPy's global generator.
        """
        if {*params, *row_wise} - {"classes", "sample_weight"}:
            return []
        if any(map(_draws, _kept(bundle))):
            return []
        self._begin(bundle, params.get("classes"))
        return list(bundle.estimators_)

    def _begin(self, bundle: Estimator, classes: Classes) -> None:
        """Prepare a bundle that is not fitted."""
        if not hasattr(bundle, "estimators_"):
            bundle.estimators_ = [clone(one) for one in _kept(bundle)]

    def targets(self, bundle: Estimator, y: Piece) -> Piece:
        """Return y as an array of one dimension."""
        return column_or_1d(y, warn=True)

    def select(
        self,
        X: Piece,
        targets: Piece,
        numbers: Sequence[int],
        params: Mapping[str, Any],
    ) -> Iterator[tuple[Piece, Piece]]:
        """Yield all rows for each estimator."""
        return ((X, targets) for _ in numbers)

    def params(
        self, params: Mapping[str, Any], number: int, part: Estimator
    ) -> dict[str, Any]:
        """Return no parameters."""
        return {}

    def join(self, bundle: Estimator, parts: list[Estimator]) -> None:
        """Put the estimators into the bundle, also by their names."""
        bundle.estimators_ = parts
        left = iter(parts)
        bundle.named_estimators_ = Bunch(
            **{
                name: one if _is_dropped(one) else next(left)
                for name, one in bundle.estimators
            }
        )
        for part in parts:
            if hasattr(part, "feature_names_in_"):
                bundle.feature_names_in_ = part.feature_names_in_

    def learner(self, bundle: Estimator) -> Callable[..., Any] | None:
        """Return a function of X, y and ``sample_weight``."""

        def partial_fit(X: Piece, y: Piece, sample_weight: Piece = None) -> Estimator:
            return self._learn(bundle, X, y, None, sample_weight)

        return partial_fit

    def _learn(
        self,
        bundle: Estimator,
        X: Piece,
        y: Piece,
        classes: Classes,
        sample_weight: Piece,
    ) -> Estimator:
        self._begin(bundle, classes)
        targets = self.targets(bundle, y)
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        for number, part in enumerate(bundle.estimators_):
            params = self.params({"classes": classes}, number, part)
            learn(part, X, targets, {**params, **weights})
        self.join(bundle, bundle.estimators_)
        return bundle

    def check(self, bundle: Estimator) -> None:
        """Check the estimators and their weights as ``fit`` does.

        Raises
        ------
        TypeError
            If one of the estimators cannot learn block by block.
        ValueError
            If there are none, if one is of another kind, or if there are more or fewer
            weights than estimators.
        """
        # It checks names and kinds, and that not all are dropped.
        bundle._validate_estimators()
        weights, given = bundle.weights, bundle.estimators
        if weights is not None and len(weights) != len(given):
            raise ValueError(
                f"weights must have one for each of the {len(given)} estimators, got "
                f"{len(weights)}."
            )
        for name, one in given:
            if not _is_dropped(one):
                with noted(f"in the estimator {name!r} of {type(bundle).__name__}"):
                    check_learns(one)


class VotingClassifierParts(VotingParts):
    """The division of a `sklearn.ensemble.VotingClassifier` by its classifiers.

    They learn numbers in place of the classes, as they do in its ``fit``.
    """

    def _begin(self, bundle: Estimator, classes: Classes) -> None:
        if not hasattr(bundle, "estimators_"):
            if classes is None:
                raise ValueError(
                    "classes must be given in the first call of partial_fit of a "
                    "VotingClassifier, got None; expected all classes that occur in y."
                )
            bundle.le_ = LabelEncoder().fit(classes)
            bundle.classes_ = bundle.le_.classes_
        elif classes is not None and not np.array_equal(
            np.unique(classes), bundle.classes_
        ):
            raise ValueError(
                f"classes={classes!r} is not the same as on last call to partial_fit, "
                f"was: {bundle.classes_!r}. Pass the same classes, or fit anew."
            )
        super()._begin(bundle, classes)

    def targets(self, bundle: Estimator, y: Piece) -> Piece:
        """Return the numbers of the classes."""
        return bundle.le_.transform(y)

    def params(
        self, params: Mapping[str, Any], number: int, part: Estimator
    ) -> dict[str, Any]:
        """Return the numbers of all classes, if the classifier takes them."""
        classes = params.get("classes")
        if classes is None or not needs_classes(part):
            return {}
        return {"classes": np.arange(len(np.unique(classes)))}

    def learner(self, bundle: Estimator) -> Callable[..., Any] | None:
        """Return a function of X, y, ``classes`` and ``sample_weight``."""

        def partial_fit(
            X: Piece, y: Piece, classes: Classes = None, sample_weight: Piece = None
        ) -> Estimator:
            return self._learn(bundle, X, y, classes, sample_weight)

        return partial_fit


def _is_dropped(estimator: Estimator | str) -> bool:
    return isinstance(estimator, str)


def _kept(bundle: Estimator) -> list[Estimator]:
    """Return the estimators of a voting bundle that are not dropped."""
    return [one for _, one in bundle.estimators if not _is_dropped(one)]


class _Columns(BaseEstimator):  # type: ignore[misc]
    """An estimator that learns the columns of X and nothing else."""

    def partial_fit(self, X: Piece, y: Piece) -> _Columns:
        validate_data(
            self,
            X,
            accept_sparse=["csr", "csc"],
            ensure_all_finite=False,
            reset=not hasattr(self, "n_features_in_"),
        )
        return self


class _Idle(BaseEstimator):  # type: ignore[misc]
    """An estimator that learns nothing, in place of those in a bundle."""

    def fit(self, X: Piece, y: Piece) -> _Idle:
        return self

    def partial_fit(self, X: Piece, y: Piece, classes: Classes = None) -> _Idle:
        return self


def _divides_by_class(
    bundle: Estimator,
    params: Mapping[str, Any],
    row_wise: Collection[str],
    n_outputs: int,
) -> bool:
    """Tell whether a bundle of classifiers learns class by class, or pair by pair."""
    if {*params, *row_wise} - {"classes"} or n_outputs > 1:
        return False
    if _draws(bundle.estimator):
        return False
    known = getattr(bundle, "classes_", None)
    return known is None or np.array_equal(
        np.unique(np.asarray(params.get("classes", ()))), known
    )


def _learn_classes(bundle: Estimator, classes: Classes) -> None:
    """Let a bundle learn its classes, and nothing else, in its ``partial_fit``."""
    inner = bundle.estimator
    bundle.estimator = _Idle()
    try:
        bundle.partial_fit(np.zeros((len(classes), 1)), np.asarray(classes), classes)
    finally:
        bundle.estimator = inner


def _draws(estimator: Estimator) -> bool:
    """Tell whether an estimator draws from NumPy's global generator.

    Parts that learn beside each other would draw from it in another order.
    """
    params = estimator.get_params().items()
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
