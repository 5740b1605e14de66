"""The one-command stack: real PostgreSQL and every process of Wayfarer, on loopback."""
