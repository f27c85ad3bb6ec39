"""One image: its header, its pixels, its place inside a shard."""
