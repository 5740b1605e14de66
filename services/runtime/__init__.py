"""What every Wayfarer process shares: settings, logs, lifecycle, gRPC ends, telemetry, database, keys.

The floor of services/: imports neither the engine nor the dispatcher nor any process.
"""
