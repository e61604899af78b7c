"""What a fitted estimator yields for blocks, and how good that is."""
