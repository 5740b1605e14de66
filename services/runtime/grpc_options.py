"""The channel arguments both ends of our gRPC agree on; used by grpc_server and grpc_client."""

from typing import Final

PUBLIC_MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024
INTERNAL_MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024
"""Between our own processes, where one message carries a batch."""

PING_EVERY_MS: Final = 20_000
PING_ANSWER_MS: Final = 5_000
PING_TOLERATED_MS: Final = 10_000
"""Servers take a client's ping this often; were it above PING_EVERY_MS: GOAWAY too_many_pings."""

MAX_METADATA_BYTES: Final = 64 * 1024

Options = tuple[tuple[str, int | str], ...]


def message_limits(max_bytes: int) -> Options:
    """Bound messages in both directions."""
    return (("grpc.max_receive_message_length", max_bytes), ("grpc.max_send_message_length", max_bytes))


def keepalive() -> Options:
    """Notice a dead peer within 25 seconds, also on a channel without calls."""
    return (
        ("grpc.keepalive_time_ms", PING_EVERY_MS),
        ("grpc.keepalive_timeout_ms", PING_ANSWER_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    )
