"""The process that brings a database to the schema of this release; run before the processes that use it."""
