"""Providers as they are seen from outside, on loopback: for tests, and for the local stack."""
