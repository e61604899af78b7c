"""Measurements of the library at work; each module says what it measures."""
