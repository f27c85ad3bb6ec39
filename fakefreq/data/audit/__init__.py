"""The audit of a manifest."""
