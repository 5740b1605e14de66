"""The HTTP edge: the JSON API, and what providers and recipients of messages ask of us."""
