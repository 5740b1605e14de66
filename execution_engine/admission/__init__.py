"""Whether an action may begin now on its provider: lanes, 429 feedback, breakers, rates. Pure."""
