"""Image spectra in torch."""
