"""From a workflow document to the program that runs: parse, validate, compile; all pure."""
