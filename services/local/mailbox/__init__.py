"""A local SMTP server that keeps what it is sent, for people and tests to look at."""
