"""The only home of scikit-learn's internals: no dask."""
