"""A family of actions that misbehave or wait for a test's word, for what no decent action shows."""
