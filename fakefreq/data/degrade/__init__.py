"""Processing history: distortions, the common history, and the language that names them."""
