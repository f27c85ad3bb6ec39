"""Evaluation: from images to scores, and from scores to numbers with intervals."""

DEFAULT_DRAWS = 2000
"""Bootstrap draws behind all intervals, unless told otherwise; a command reads it here without importing numpy."""
