"""xarray's objects as data, and labels on what comes of them."""

import dask
import dask.array as da
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from incremental import Incremental, ParallelPostFit, iter_blocks

xr = pytest.importorskip("xarray")

rng = np.random.default_rng(0)
VALUES = rng.normal(size=(40, 3))
LABELS = (VALUES[:, 0] > 0).astype(int)
MODEL = LogisticRegression().fit(VALUES, LABELS)
LAZY, LAZY_LABELS = da.from_array(VALUES, chunks=(10, 3)), da.from_array(LABELS, 10)
ROWS = {"row": np.arange(40) * 10, "place": ("row", np.arange(40) % 3), "time": 7}
X = xr.DataArray(LAZY, dims=("row", "feature"), coords={**ROWS, "feature": [*"abc"]})
Y = xr.DataArray(LAZY_LABELS, dims="row", coords=ROWS)
COLUMNS = {name: ("row", LAZY[:, n]) for n, name in enumerate("abc")}
TABLE = xr.Dataset(COLUMNS, coords=ROWS)


def sgd(**params):
    return Incremental(SGDClassifier(random_state=0), random_state=0, **params)


def image():
    """Make an image of 3 bands, of which reads are counted."""
    reads = []

    def read(block):
        reads.append(block.shape)
        return block

    pixels = da.from_array(VALUES.T.reshape(3, 8, 5), chunks=(1, 4, 5))
    counted = pixels.map_blocks(read, dtype=float, meta=np.empty((0, 0, 0)))
    coords = {"band": [*"rgb"], "y": np.arange(8.0), "x": np.arange(5.0)}
    return xr.DataArray(counted, dims=("band", "y", "x"), coords=coords), reads


@pytest.mark.parametrize("form", [X, TABLE], ids=["array", "dataset"])
def test_a_fit_on_xarray_is_that_on_the_arrays_in_it(form):
    weight = xr.DataArray(np.arange(40.0), dims="row")
    fitted = sgd().fit(form, Y, sample_weight=weight).partial_fit(form, Y)
    plain = sgd().fit(LAZY, LAZY_LABELS, sample_weight=weight.values)
    plain.partial_fit(LAZY, LAZY_LABELS)
    np.testing.assert_array_equal(fitted.coef_, plain.coef_)
    assert fitted.score(form, Y) == plain.score(LAZY, LAZY_LABELS)


@pytest.mark.parametrize("form", [X, TABLE], ids=["array", "dataset"])
@pytest.mark.parametrize("lazy", [True, False])
def test_a_prediction_has_the_coordinates_of_the_rows(form, lazy):
    form = form if lazy else form.compute()
    predicted = ParallelPostFit(MODEL).predict(form)
    assert predicted.dims == ("row",)
    assert set(predicted.coords) == {"row", "place", "time"}
    assert isinstance(predicted.data, da.Array) == lazy
    np.testing.assert_array_equal(predicted["place"], X["place"])
    np.testing.assert_array_equal(predicted, MODEL.predict(VALUES))


@pytest.mark.parametrize("method", ["predict_proba", "predict_log_proba"])
def test_outputs_of_two_dimensions_name_the_second_one(method):
    outputs = getattr(ParallelPostFit(MODEL), method)(X)
    assert outputs.dims == ("row", "output")
    np.testing.assert_array_equal(outputs, getattr(MODEL, method)(VALUES))


def test_the_second_dimension_differs_from_one_that_is_called_output():
    outputs = ParallelPostFit(MODEL).predict_proba(X.rename(row="output"))
    assert outputs.dims == ("output", "output_1")


def test_each_of_several_outputs_has_the_labels():
    from sklearn.neighbors import NearestNeighbors

    nearest = ParallelPostFit(NearestNeighbors(n_neighbors=2)).fit(X.compute())
    for lazy in (True, False):
        outputs = nearest.kneighbors(X if lazy else X.compute())
        assert [one.dims for one in outputs] == [("row", "output")] * 2


def test_what_xarray_does_not_hold_stays_as_it_is():
    encoder = ParallelPostFit(OneHotEncoder(handle_unknown="ignore")).fit(X.compute())
    assert encoder.transform(X.compute()).shape == (40, 120)
    assert isinstance(encoder.transform(X), da.Array)


def test_a_fit_and_transform_in_memory_has_the_labels():
    scaled = ParallelPostFit(StandardScaler()).fit_transform(X.compute())
    assert scaled.dims == ("row", "output")
    np.testing.assert_array_equal(scaled, StandardScaler().fit_transform(VALUES))


def test_images_are_predicted_pixel_by_pixel_and_nothing_is_read_before():
    picture, reads = image()
    pixels = picture.stack(pixel=("y", "x")).transpose("pixel", "band")
    predicted = ParallelPostFit(MODEL).predict(pixels).unstack("pixel")
    assert predicted.dims == ("y", "x")
    assert not reads
    expected = MODEL.predict(VALUES).reshape(8, 5)
    np.testing.assert_array_equal(predicted.compute(), expected)
    assert len(reads) == 6
    np.testing.assert_array_equal(predicted["x"], picture["x"])


def test_a_fit_on_an_image_reads_each_block_once():
    picture, reads = image()
    pixels = picture.stack(pixel=("y", "x")).transpose("pixel", "band")
    labels = xr.DataArray(LABELS.reshape(8, 5), dims=("y", "x"))
    sgd(classes=[0, 1]).fit(pixels, labels.stack(pixel=("y", "x")))
    assert len(reads) == 6


def test_an_image_that_is_not_stacked_is_refused(no_compute):
    picture, _ = image()
    wanted = r"X.stack\(sample=\['y', 'x'\]\).transpose\('sample', 'band'\)"
    for call in (
        lambda: ParallelPostFit(MODEL).predict(picture),
        lambda: ParallelPostFit(MODEL).score(picture, LABELS),
        lambda: sgd().fit(picture, LABELS),
    ):
        with pytest.raises(ValueError, match=wanted):
            call()


def test_a_pipeline_of_wrappers_takes_xarray():
    steps = Incremental(StandardScaler()), sgd(classes=[0, 1])
    plain = make_pipeline(*steps).fit(LAZY, LAZY_LABELS)
    labelled = make_pipeline(*steps).fit(X, Y)
    np.testing.assert_array_equal(labelled[-1].coef_, plain[-1].coef_)
    assert labelled.predict(X).dims == ("row",)


def test_validation_data_may_be_xarray():
    held_out = (TABLE.compute(), Y.compute())
    params = {"early_stopping": True, "max_iter": 2, "classes": [0, 1]}
    labelled = sgd(validation_data=held_out, **params).fit(X, Y)
    plain = sgd(validation_data=(VALUES, LABELS), **params).fit(LAZY, LAZY_LABELS)
    assert labelled.history_[0]["score"] == plain.history_[0]["score"]


def test_blocks_of_xarray_are_plain_arrays():
    first, *_ = iter_blocks(TABLE, Y)
    assert [type(piece) for piece in first] == [np.ndarray] * 2
    np.testing.assert_array_equal(first[0], VALUES[:10])


PAIRED = {
    "fit": sgd().fit,
    "score": ParallelPostFit(MODEL).score,
    "iter_blocks": iter_blocks,
}


@pytest.mark.parametrize("call", PAIRED)
def test_rows_of_other_labels_are_refused(call, no_compute):
    other = Y.assign_coords(row=ROWS["row"][::-1])
    with pytest.raises(ValueError, match="have other labels along .* 'row'"):
        PAIRED[call](X, other)


def test_a_dataset_of_other_dimensions_is_refused(no_compute):
    picture, _ = image()
    with pytest.raises(ValueError, match="all variables have the same single dim"):
        ParallelPostFit(MODEL).predict(picture.to_dataset("band"))


def test_a_dataset_of_numbers_and_text_is_refused(no_compute):
    mixed = TABLE.assign(c=("row", np.array(["a"] * 40)))
    with pytest.raises(TypeError, match="would change the values"):
        ParallelPostFit(MODEL).predict(mixed)


def test_a_file_that_is_not_cut_into_chunks_is_refused(tmp_path, no_compute):
    pytest.importorskip("zarr")
    with_numbers = TABLE.copy(data=dict(zip("abc", VALUES.T, strict=True)))
    with_numbers.to_zarr(tmp_path / "table", consolidated=False)
    opened = xr.open_zarr(tmp_path / "table", chunks=None, consolidated=False)
    with pytest.raises(TypeError, match=r"open_dataset\(path, chunks={}\)"):
        ParallelPostFit(MODEL).predict(opened)
    with pytest.raises(TypeError, match=r"open_dataset\(path, chunks={}\)"):
        sgd().fit(opened["a"], Y)
    loaded = ParallelPostFit(MODEL).predict(opened.load()[[*"abc"]])
    np.testing.assert_array_equal(loaded, MODEL.predict(VALUES))


@pytest.mark.parametrize("form", [X, TABLE], ids=["array", "dataset"])
def test_features_in_another_order_than_fitted_are_refused(form, no_compute):
    swapped = form[[*"bac"]] if form is TABLE else form.sel(feature=[*"bac"])
    memory = ParallelPostFit(MODEL).fit(form.compute(scheduler="sync"), LABELS)
    with dask.config.set(scheduler="sync"):
        lazy = sgd(classes=[0, 1]).fit(form, Y)
    with pytest.raises(ValueError, match=r"X has the features \['b', 'a', 'c'\]"):
        memory.predict(swapped)
    with pytest.raises(ValueError, match=r"but \['a', 'b', 'c'\] were fitted"):
        lazy.score(swapped, Y)
    with pytest.raises(ValueError, match="expected the same in the same order"):
        lazy.partial_fit(swapped, Y)
    with pytest.raises(ValueError, match="expected the same in the same order"):
        sgd(validation_data=(swapped, Y), early_stopping=True).fit(form, Y)


def test_features_in_another_order_than_those_of_pandas_are_refused(no_compute):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(VALUES, columns=[*"abc"])
    fitted = ParallelPostFit(LogisticRegression().fit(frame, LABELS))
    with pytest.raises(ValueError, match="expected the same in the same order"):
        fitted.predict(TABLE[[*"bac"]])
