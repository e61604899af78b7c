"""`cross_val_predict`: lazy predictions for rows by models that have not seen them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from incremental._blocks.collections import as_collection, check_kinds
from incremental._blocks.labelled import as_samples, with_labels_of
from incremental._cross_validate import fit_folds
from incremental._estimators.documents import as_documents
from incremental._fit_many import wrapped
from incremental._graph.blocks import read_blocks
from incremental._graph.fold import for_later
from incremental._predict.map_method import map_models
from incremental._search.folds import Fold, as_folds
from incremental._typing import Data, RandomState

_METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function")


def cross_val_predict(
    estimator: Any,
    X: Data,
    y: Data = None,
    *,
    cv: Any = 5,
    method: str = "predict",
    shuffle: bool = False,
    random_state: RandomState = None,
    params: Mapping[str, Any] | None = None,
) -> Data:
    """Predict for each block by a model that has not learned from it, lazily.

    The models of all folds are fitted at once, on one read of the blocks, as by
    `cross_validate`. X is read again when the result is computed: each block once. Each
    read of a block has to yield the same rows.

    Parameters
    ----------
    estimator : estimator
        An estimator with ``partial_fit``, or an `Incremental`, whose parameters hold,
        also ``predict_meta`` and its like. It is cloned, never changed.
    X : collection of shape (n_samples, n_features)
        A dask array, dataframe or bag of at least as many blocks as there are folds.
    y : array-like or collection of shape (n_samples,) or (n_samples, n_outputs), \
optional
    cv : int, splitter or iterable, default=5
        As for `cross_validate`. Each block has to be in the test set of one fold.
    method : {"predict", "predict_proba", "predict_log_proba", "decision_function"}, \
default="predict"
        The method that is called.
    shuffle : bool, default=False
        Whether the blocks of each fold are drawn, if `cv` is a number.
    random_state : int, RandomState instance or None, default=None
        What draws them.
    params : dict, optional
        Arguments of ``partial_fit``, as for `Incremental.fit`.

    Returns
    -------
    lazy collection of shape (n_samples,) or (n_samples, n_outputs)
        What the method of a fitted `Incremental` returns for X: the same blocks, with
        their rows in order.

    Raises
    ------
    TypeError
        If the estimator has no ``partial_fit``.
    AttributeError
        If it has no such method.
    ValueError
        If `method` is another one, if a block is in no test set or in several, or for
        the reasons for which `cross_validate` raises it.

    See Also
    --------
    cross_validate : The scores of the models.

    Examples
    --------
    >>> import dask.array as da
    >>> from sklearn.linear_model import SGDClassifier
    >>> from incremental import cross_val_predict
    >>> X = da.random.default_rng(0).normal(size=(1000, 5), chunks=(100, 5))
    >>> y = (X[:, 0] > 0).astype(int)
    >>> cross_val_predict(SGDClassifier(random_state=0), X, y)
    dask.array<pick-..., shape=(1000,), dtype=int64, chunksize=(100,), ...>
    """
    (wrapper,) = wrapped([estimator], ["estimator"])
    if method not in _METHODS:
        raise ValueError(f"method must be one of {_METHODS}, got {method!r}.")
    getattr(wrapper, method)  # It says why it is not available.
    check_kinds({"X": X, "y": y})
    n_blocks = as_collection(X).n_blocks
    folds = as_folds(cv, n_blocks, shuffle=shuffle, random_state=random_state)
    numbers = _folds_of_blocks(folds, n_blocks)
    samples = as_documents(wrapper.estimator, as_samples(X))
    blocks = for_later(read_blocks({"X": samples}))
    _, models = fit_folds(wrapper, X, y, params, folds)
    output = map_models(
        [one.inner for one in models],
        numbers,
        method,
        blocks,
        samples,
        meta=wrapper._meta(method),
    )
    return with_labels_of(X, output, method)


def _folds_of_blocks(folds: list[Fold], n_blocks: int) -> list[int]:
    """Return for each block the number of the fold that it is in the test set of.

    Raises
    ------
    ValueError
        If it is in no test set or in several.
    """
    times = Counter(at for fold in folds for at in fold.test)
    if odd := [at for at in range(n_blocks) if times[at] != 1]:
        raise ValueError(
            "Each block must be in the test set of one fold, but these are in none or "
            f"in several: {odd[:10]}. Pass folds that part the blocks, such as "
            "`BlockKFold(5)`."
        )
    found = {at: number for number, fold in enumerate(folds) for at in fold.test}
    return [found[at] for at in range(n_blocks)]
