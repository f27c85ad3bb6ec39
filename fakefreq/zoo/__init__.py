"""Real pretrained generators out of published packages, and photos to pair them with."""
