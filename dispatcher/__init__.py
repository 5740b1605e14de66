"""The worker side: claims due executions, sends their actions to executors, applies the outcomes."""
