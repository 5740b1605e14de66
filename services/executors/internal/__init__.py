"""The internal family: actions that are for the account's own people, not for the contact."""
