"""The atlas of fingerprints: what spectra of each generator's images look like beside those of its reals."""
