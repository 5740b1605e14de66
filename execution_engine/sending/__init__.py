"""Whether a message may go out: pure; docs/sending.md says how the store makes it hold."""
