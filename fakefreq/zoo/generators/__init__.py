"""Published generators, ported."""
