"""E-mail for every family that sends some: addresses, the way to a server, what refusals mean."""
