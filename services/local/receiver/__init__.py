"""A local HTTP server that keeps every request, for people and tests to look at."""
