"""The orchestrator: a pure middle that decides and a thin store that keeps; imports no wire protocol."""
