"""Runs that throw generated requests at a running stack; not part of `make test`."""
