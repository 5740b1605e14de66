"""Reads settings from the environment; every `python -m services.…` calls `load` once, at its start.

A component declares a frozen slotted dataclass whose fields say where they come from:

    @dataclass(frozen=True, slots=True)
    class Settings:
        listen: HostPort = setting("WAYFARER_LISTEN", host_port, help="Where the gRPC server listens.")
        database: str = setting("WAYFARER_DATABASE_URL", text, secret=True, help="This process's own DSN.")

`load(Settings, os.environ)` reports every fault at once; an empty variable counts as unset.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple, TypeVar, cast

T = TypeVar("T")
Parser = Callable[[str], T]
"""Turns a variable's text into a value; raises ValueError("must be …") if it cannot."""

_METADATA_KEY = "wayfarer.setting"
_HIDDEN = "[hidden]"


class _Required:
    """The type of the mark that a setting has no default."""

    __slots__ = ()


REQUIRED: Final = _Required()


class ConfigError(Exception):
    """The environment does not give valid settings; `problems` has one line per fault."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("invalid configuration:\n" + "\n".join(f"  {problem}" for problem in problems))
        self.problems = problems


class HostPort(NamedTuple):
    """An address; `str()` of it is what gRPC dials and binds."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclasses.dataclass(frozen=True, slots=True)
class _Source:
    env: str
    parse: Parser[object]
    required: bool
    secret: bool
    help: str


def setting(
    env: str, parse: Parser[T], *, default: T | _Required = REQUIRED, secret: bool = False, help: str = ""
) -> T:
    """Declare a dataclass field read from variable `env`; without a default the variable must be set."""
    metadata = {_METADATA_KEY: _Source(env, parse, isinstance(default, _Required), secret, help)}
    # Keyword-only, so that settings without a default may follow those with one.
    if isinstance(default, _Required):
        declared: T = dataclasses.field(kw_only=True, metadata=metadata)
        return declared
    if isinstance(default, list | dict | set):
        return cast(T, dataclasses.field(default_factory=default.copy, kw_only=True, metadata=metadata))
    return dataclasses.field(default=default, kw_only=True, metadata=metadata)


def load(settings_class: type[T], environ: Mapping[str, str]) -> T:
    """Build the settings. Raises ConfigError that names each variable at fault and what is wrong with it."""
    values: dict[str, object] = {}
    problems: list[str] = []
    for field, source in _sources(settings_class):
        raw = environ.get(source.env, "").strip()
        if not raw:
            if source.required:
                problems.append(f"{source.env}: is not set" + (f" ({source.help})" if source.help else ""))
            continue
        try:
            values[field] = source.parse(raw)
        except ValueError as error:
            problems.append(f"{source.env}: {error}" + ("" if source.secret else f", not {raw!r}"))
    if problems:
        raise ConfigError(tuple(problems))
    try:
        return settings_class(**values)
    except ValueError as error:  # a rule over several fields, checked in __post_init__
        raise ConfigError((str(error),)) from error


def describe(settings: object) -> str:
    """One line `VARIABLE=value  # help` per setting, secrets hidden; what `--print-config` prints."""
    lines = []
    for field, source in _sources(type(settings)):
        value = getattr(settings, field)
        shown = _HIDDEN if source.secret and value not in (None, "") else _shown(value)
        lines.append(f"{source.env}={shown}" + (f"  # {source.help}" if source.help else ""))
    return "\n".join(lines)


def _sources(settings_class: type) -> list[tuple[str, _Source]]:
    if not dataclasses.is_dataclass(settings_class):
        raise TypeError(f"{settings_class.__name__} is not a dataclass")
    return [
        (field.name, field.metadata[_METADATA_KEY])
        for field in dataclasses.fields(settings_class)
        if _METADATA_KEY in field.metadata
    ]


def _shown(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case HostPort():
            return str(value)
        case dict():
            return ",".join(f"{name}={_shown(target)}" for name, target in value.items())
        case tuple() | list() | set() | frozenset():
            return ",".join(_shown(item) for item in value)
        case _:
            return str(value)


def text(raw: str) -> str:
    """Take the text as it is, without surrounding space."""
    return raw


def path(raw: str) -> Path:
    """Take a file or folder name; whether it exists is for its user to find out."""
    return Path(raw)


def choice(*allowed: str) -> Parser[str]:
    """Allow these words only."""

    def parse(raw: str) -> str:
        if raw not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return raw

    return parse


def integer(minimum: int, maximum: int) -> Parser[int]:
    """Take a whole number within the bounds, both included."""

    def parse(raw: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", raw) or not minimum <= int(raw) <= maximum:
            raise ValueError(f"must be a whole number from {minimum} to {maximum}")
        return int(raw)

    return parse


def number(minimum: float, maximum: float) -> Parser[float]:
    """Take a decimal number within the bounds, both included."""

    def parse(raw: str) -> float:
        if not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", raw) or not minimum <= float(raw) <= maximum:
            raise ValueError(f"must be a number from {minimum:g} to {maximum:g}")
        return float(raw)

    return parse


_UNIT_SECONDS: Final = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(minimum: float = 0.0, maximum: float = 366 * 86400.0) -> Parser[float]:
    """Take a duration ("250ms", "2.5s", "30", "5m", "12h", "7d") as seconds; a bare number is seconds."""

    def parse(raw: str) -> float:
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d|)", raw)
        value = float(match[1]) * _UNIT_SECONDS[match[2]] if match else -1.0
        if match is None or not minimum <= value <= maximum:
            raise ValueError(f'must be a duration such as "2.5s" or "5m", from {minimum:g}s to {maximum:g}s')
        return value

    return parse


def boolean(raw: str) -> bool:
    """Take true/false, yes/no, on/off or 1/0."""
    word = raw.lower()
    if word in ("true", "yes", "on", "1"):
        return True
    if word in ("false", "no", "off", "0"):
        return False
    raise ValueError("must be true or false")


def host_port(raw: str) -> HostPort:
    """Take "host:port" or "[ipv6]:port"; port 0 lets the system choose."""
    host, separator, port = raw.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    valid_host = bool(bare) and not re.search(r"[\s,=/@\[\]]", bare) and (":" not in bare or bare != host)
    if not (separator and valid_host and re.fullmatch(r"[0-9]{1,5}", port) and int(port) <= 65535):
        raise ValueError("must be host:port")
    return HostPort(bare, int(port))


def host_ports(raw: str) -> tuple[HostPort, ...]:
    """Take "host:port,host:port"."""
    return tuple(host_port(item.strip()) for item in raw.split(",") if item.strip())


def targets(raw: str) -> dict[str, HostPort]:
    """Take "name=host:port,name=host:port", each name once."""
    found: dict[str, HostPort] = {}
    for item in filter(None, (part.strip() for part in raw.split(","))):
        name, separator, address = item.partition("=")
        if not separator or not re.fullmatch(r"[a-z][a-z0-9_-]*", name) or name in found:
            raise ValueError('must be "name=host:port,…", each name once')
        found[name] = host_port(address)
    return found
