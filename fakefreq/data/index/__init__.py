"""From folders, shards and lists to a manifest."""
