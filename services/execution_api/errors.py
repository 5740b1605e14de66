"""The one table from the engine's errors to gRPC statuses; the error interceptor asks it."""

import asyncpg
import grpc
from google.rpc.status_pb2 import Status

from execution_engine import errors
from services.runtime.errors import Violation, status

_CODES: tuple[tuple[type[errors.WayfarerError], grpc.StatusCode], ...] = (
    (errors.NotFound, grpc.StatusCode.NOT_FOUND),
    (errors.ContactOptedOut, grpc.StatusCode.PERMISSION_DENIED),
    (errors.RoleRequired, grpc.StatusCode.PERMISSION_DENIED),
    (errors.Refused, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.Conflict, grpc.StatusCode.ALREADY_EXISTS),
    (errors.Invalid, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.Unauthenticated, grpc.StatusCode.UNAUTHENTICATED),
    (errors.Overloaded, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (errors.ExecutorUnavailable, grpc.StatusCode.UNAVAILABLE),
)
_DATABASE_RETRY_S = 1.0
_UNREACHABLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,  # the server, or this connection, was told to stop
    asyncpg.CrashShutdownError,
)
_CONTENTION = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,  # the statement timeout
    asyncpg.TransactionTimeoutError,
    asyncpg.TooManyConnectionsError,
)


def translate(error: BaseException) -> Status | None:
    """The status a caller gets; None for what is our own fault."""
    if isinstance(error, errors.WayfarerError):
        code = next((code for kind, code in _CODES if isinstance(error, kind)), grpc.StatusCode.INTERNAL)
        retry_after_s = getattr(error, "retry_after_s", None)
        return status(code, error.reason, error.message, error.metadata, _violations(error), retry_after_s)
    if isinstance(error, _UNREACHABLE):
        return status(
            grpc.StatusCode.UNAVAILABLE,
            "DATABASE_UNAVAILABLE",
            "the database cannot be reached",
            retry_after_s=_DATABASE_RETRY_S,
        )
    if isinstance(error, asyncpg.DiskFullError | asyncpg.OutOfMemoryError):
        return status(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "DATABASE_FULL",
            "the database has no room left",
            retry_after_s=_DATABASE_RETRY_S,
        )
    if isinstance(error, _CONTENTION):
        return status(
            grpc.StatusCode.ABORTED,
            "DATABASE_BUSY",
            "nothing was changed: others held what this needed; try again",
            retry_after_s=_DATABASE_RETRY_S,
        )
    if isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError):
        return status(
            grpc.StatusCode.UNAVAILABLE,
            "DATABASE_UNAVAILABLE",
            "the connection to the database was lost",
            retry_after_s=_DATABASE_RETRY_S,
        )
    return None


def _violations(error: errors.WayfarerError) -> list[Violation]:
    if isinstance(error, errors.WorkflowInvalid | errors.InvalidValues):
        return [
            Violation(
                f.path or "document",
                f"{f.message} (line {f.line}, column {f.column})" if f.line else f.message,
                f.rule,
            )
            for f in error.faults
        ]
    if isinstance(error, errors.DocumentMalformed):
        return [Violation("document", error.message, "malformed")]
    if isinstance(error, errors.InvalidValue):
        return [Violation(error.field, error.message, error.rule)]
    if isinstance(error, errors.PageTokenInvalid):
        return [Violation("page_token", error.message, "page_token")]
    return []
