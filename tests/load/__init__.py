"""Load: how fast it is, measured; `make bench` runs bench.py."""
