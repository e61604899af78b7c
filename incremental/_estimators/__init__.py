"""scikit-learn's estimators, and the private names of scikit-learn: no dask."""
