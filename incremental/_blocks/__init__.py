"""Blocks, and how collections are cut into them, without scikit-learn and tasks."""
