"""Tests of the console in a real browser; `make browser` runs them."""
