"""Tests of the clients made of the OpenAPI document; `make clients` makes them and runs these."""
