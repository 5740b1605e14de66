"""Which processes the local stack is made of, and what each is told; stack.py starts them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from services.local.bootstrap import Prepared, database_of
from services.local.ports import FAMILIES, Ports
from services.runtime.config import HostPort

HOST = "127.0.0.1"


class Process(NamedTuple):
    """One process: its name, the module it runs, and its environment."""

    name: str
    module: str
    environment: dict[str, str]


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes of one stack. `environment` is added to what each of ours is told; `executors` are
    families that somebody else runs.
    """

    ports: Ports
    prepared: Prepared
    state_dir: Path
    environment: Mapping[str, str]
    executors: Mapping[str, HostPort]

    @property
    def gateway_url(self) -> str:
        """Where the HTTP API is, and where callbacks and clicks come in."""
        return f"http://{HOST}:{self.ports.gateway}"

    def all(self) -> Iterator[Process]:
        """Every process but the workers."""
        yield from self._outside()
        for family in FAMILIES:
            told = self._common() | self._of_family(family)
            yield Process(family, f"services.executors.{family}", told)
        yield from self._doors()

    def worker(self, number: int) -> Process:
        """Worker `number`, from 0."""
        told = {
            "WAYFARER_DATABASE_URL": self.prepared.dsns["wayfarer_worker"],
            "WAYFARER_METRICS_PORT": str(self.ports.worker_metrics(number)),
        }
        return Process(f"worker-{number}", "services.worker", self._common() | told)

    def _common(self) -> dict[str, str]:
        crm = f"{HOST}:{self.ports.executor('crm')}"
        families = {name: f"{HOST}:{self.ports.executor(name)}" for name in FAMILIES}
        families |= {name: str(target) for name, target in self.executors.items()}
        return {
            "WAYFARER_PROFILE": "local",
            "WAYFARER_KEYRING": str(self.prepared.keyring),
            "WAYFARER_EXECUTORS": ",".join(f"{name}={target}" for name, target in families.items()),
            "WAYFARER_CRM_TARGET": crm,
            **self.environment,
        }

    def _outside(self) -> Iterator[Process]:
        """What stands for the world: mail server, webhooks' receiver, providers."""
        ports = self.ports
        yield Process(
            "mailbox",
            "services.local.mailbox",
            {
                "WAYFARER_LISTEN": f"{HOST}:{ports.smtp}",
                "WAYFARER_HTTP_LISTEN": f"{HOST}:{ports.mailbox}",
                "WAYFARER_STORE": str(self.state_dir / "mailbox.jsonl"),
            },
        )
        yield Process(
            "receiver",
            "services.local.receiver",
            {
                "WAYFARER_LISTEN": f"{HOST}:{ports.receiver}",
                "WAYFARER_STORE": str(self.state_dir / "receiver.jsonl"),
            },
        )
        yield Process(
            "sandboxes",
            "services.local.sandboxes",
            {
                "WAYFARER_LISTEN": f"{HOST}:{ports.sandboxes}",
                "WAYFARER_STORE": str(self.state_dir / "sandboxes.jsonl"),
                "WAYFARER_CALLBACKS_TO": self.gateway_url,
                "WAYFARER_CALLBACKS_ACCOUNT": str(self.prepared.account_id),
            },
        )

    def _of_family(self, family: str) -> dict[str, str]:
        ports = self.ports
        return {
            "WAYFARER_DATABASE_URL": self.prepared.dsns[database_of(family)],
            "WAYFARER_LISTEN": f"{HOST}:{ports.executor(family)}",
            "WAYFARER_METRICS_PORT": str(ports.executor_metrics(family)),
            "WAYFARER_SMTP_HOST": HOST,
            "WAYFARER_SMTP_PORT": str(ports.smtp),
            "WAYFARER_MAIL_FROM": "hello@wayfarer.example",
            "WAYFARER_PROVIDER_ALLOW": _pairs(ports.sandboxes, ports.smtp, ports.receiver),
            "WAYFARER_PUBLIC_URL": self.gateway_url,
            "WAYFARER_WEBHOOK_ALLOW": f"{HOST}:{ports.receiver}",
            "WAYFARER_WEBHOOK_SECRET": self.prepared.webhook_secret,
            "WAYFARER_CUSTOM_CODE": "on",
        }

    def _doors(self) -> Iterator[Process]:
        """What callers, providers and recipients speak to."""
        common, ports = self._common(), self.ports
        yield Process(
            "api",
            "services.execution_api",
            common
            | {
                "WAYFARER_DATABASE_URL": self.prepared.dsns["wayfarer_api"],
                "WAYFARER_LISTEN": f"{HOST}:{ports.api}",
                "WAYFARER_METRICS_PORT": str(ports.api_metrics),
            },
        )
        yield Process(
            "gateway",
            "services.gateway",
            common
            | {
                "WAYFARER_DATABASE_URL": self.prepared.dsns["wayfarer_api"],
                "WAYFARER_LISTEN": f"{HOST}:{ports.gateway}",
                "WAYFARER_API_TARGET": f"{HOST}:{ports.api}",
                "WAYFARER_COMMUNICATION_TARGET": f"{HOST}:{ports.executor('communication')}",
                "WAYFARER_MAILBOX_URL": f"http://{HOST}:{ports.mailbox}",
                "WAYFARER_SANDBOXES_URL": f"http://{HOST}:{ports.sandboxes}",
                "WAYFARER_PUBLIC_URL": self.gateway_url,
                "WAYFARER_METRICS_PORT": str(ports.gateway_metrics),
            },
        )


def _pairs(*ports: int) -> str:
    """Those ports of this machine, as settings take them."""
    return ",".join(f"{HOST}:{port}" for port in ports)
