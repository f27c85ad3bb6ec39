"""Why a detector says what it says of one image: terms of the logit, pixels, frequencies, the lattice."""
