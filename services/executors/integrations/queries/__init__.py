"""The integrations family's own statements; services/executors/queries reads them."""
