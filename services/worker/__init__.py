"""The worker process: wires dispatcher and engine together and runs until told to stop."""
