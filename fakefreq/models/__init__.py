"""Detectors: the pixel stream, the frequency stream and their fusion."""
