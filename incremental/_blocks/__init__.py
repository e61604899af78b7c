"""The same rows of everything: no scikit-learn and no scheduler."""
