"""The table of images: its file, edits, splits, duplicates and alignment."""
