"""The command line `wayfarer`: the local stack, and every call of the API that a person makes."""
