"""Wayfarer beside peers: the same five durable steps on each, in one run. `make bench-peers` runs `__main__.py`."""
