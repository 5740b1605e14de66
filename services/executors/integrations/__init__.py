"""The integrations family: calls to systems of other people."""
