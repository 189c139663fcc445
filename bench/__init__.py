"""Measurements; not tests, and not part of the package."""
