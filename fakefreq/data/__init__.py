"""From folders of images to batches: layouts, manifests, splits, decoding, loading."""
