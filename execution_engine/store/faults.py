"""What the database may throw at its callers; whoever must go on after it catches DATABASE_FAULTS."""

import asyncpg

DATABASE_FAULTS = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    # What asyncpg raises when the server goes away in the middle of a transaction's COMMIT or ROLLBACK.
    asyncpg.InternalClientError,
)
