"""The executor families: processes that do actions. They know the proto and services.runtime only."""
