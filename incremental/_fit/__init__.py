"""A fit: its passes over the blocks, and what is kept of them."""
