"""The one-command stack: real PostgreSQL and every process of Wayfarer on loopback; the CLI and the tests run it."""
