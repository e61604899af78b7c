"""The only home of dask's task specification and schedulers: no scikit-learn."""
