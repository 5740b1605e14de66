"""The engine's memory in PostgreSQL: one statement per .sql file, run by thin functions on a connection."""
