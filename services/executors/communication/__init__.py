"""The communication family: messages to the contact through providers."""
