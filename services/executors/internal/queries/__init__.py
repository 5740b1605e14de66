"""The internal family's own statements; services/executors/queries reads them."""
