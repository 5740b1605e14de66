"""Fault injection: processes killed while executions run, and what must hold after."""
