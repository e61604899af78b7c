"""Many learners on one read of the blocks."""
