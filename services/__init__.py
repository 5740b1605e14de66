"""One folder per process; runtime/ is the library they share, local/ the one-command stack."""
