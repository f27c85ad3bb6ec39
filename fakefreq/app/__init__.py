"""The page for one image or two, in the browser."""
