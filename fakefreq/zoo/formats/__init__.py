"""Readers of the formats in which published weights lie."""
