"""Settings as frozen dataclasses, readable without torch."""
