"""The HTTP edge: what providers and recipients of messages ask of us."""
