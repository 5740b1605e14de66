"""The sandbox family: code that accounts write themselves, run where it can harm nobody."""
