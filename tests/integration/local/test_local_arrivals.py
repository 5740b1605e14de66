"""The local mailbox and receiver as processes: what they keep, and how they misbehave when asked."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiohttp
import aiosmtplib
import pytest

from services.local.arrivals import Arrivals, Rule
from services.local.stack import listening
from services.local.supervisor import Supervisor
from tests.support.postgres import free_port


@dataclass(frozen=True, slots=True)
class Sink:
    """A running mailbox or receiver, and how to talk to it."""

    name: str
    supervisor: Supervisor
    http: aiohttp.ClientSession
    port: int
    smtp_port: int = 0

    async def shown(self) -> list[dict[str, Any]]:
        """What arrived."""
        kind = "messages" if self.name == "mailbox" else "requests"
        async with self.http.get(f"/{kind}") as answer:
            shown: list[dict[str, Any]] = await answer.json()
            return shown

    async def ask(self, rule: dict[str, Any]) -> None:
        """Asks it to misbehave."""
        async with self.http.post("/rules", json=rule) as answer:
            assert answer.status == 200

    async def crash(self) -> None:
        """Kills it; returns once it is back."""
        self.supervisor.kill(self.name)
        await self.supervisor.children[self.name].started.wait()
        await listening(self.smtp_port or self.port)

    async def send(self, message: EmailMessage | bytes, to: str = "jane@example.com") -> None:
        """Sends a message as any program would."""
        await aiosmtplib.send(
            message,
            sender="shop@example.com",
            recipients=[to],
            hostname="127.0.0.1",
            port=self.smtp_port,
            start_tls=False,
        )


async def _running(name: str, folder: Path) -> AsyncIterator[Sink]:
    port, smtp_port = free_port(), free_port() if name == "mailbox" else 0
    environment = {"WAYFARER_STORE": str(folder / f"{name}.jsonl")}
    if smtp_port:
        environment |= {
            "WAYFARER_LISTEN": f"127.0.0.1:{smtp_port}",
            "WAYFARER_HTTP_LISTEN": f"127.0.0.1:{port}",
        }
    else:
        environment["WAYFARER_LISTEN"] = f"127.0.0.1:{port}"
    async with (
        Supervisor(folder / "logs") as supervisor,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http,
    ):
        await supervisor.start(name, f"services.local.{name}", environment)
        await listening(smtp_port or port)
        yield Sink(name, supervisor, http, port, smtp_port)


@pytest.fixture
async def mailbox(tmp_path: Path) -> AsyncIterator[Sink]:
    async for sink in _running("mailbox", tmp_path):
        yield sink


@pytest.fixture
async def receiver(tmp_path: Path) -> AsyncIterator[Sink]:
    async for sink in _running("receiver", tmp_path):
        yield sink


def _letter(subject: str = "Grüße") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "shop@example.com", "jane@example.com", subject
    message["Message-ID"] = "<1@example.com>"
    message.set_content("plain ü")
    message.add_alternative("<p>rich ü</p>", subtype="html")
    return message


async def test_a_message_is_shown_with_its_parts_and_outlives_a_crash(mailbox: Sink) -> None:
    await mailbox.send(_letter())
    before = await mailbox.shown()
    await mailbox.crash()
    (shown,) = await mailbox.shown()
    assert [shown] == before
    assert (shown["subject"], shown["message_id"]) == ("Grüße", "<1@example.com>")
    assert (shown["from"], shown["to"]) == ("shop@example.com", ["jane@example.com"])
    assert (shown["text"].strip(), shown["html"].strip()) == ("plain ü", "<p>rich ü</p>")
    assert shown["id"]
    assert shown["received_at"]
    await mailbox.http.delete("/messages")
    assert await mailbox.shown() == []


async def test_a_message_that_breaks_the_rules_is_shown_as_far_as_it_can_be_read(mailbox: Sink) -> None:
    await mailbox.send(
        b"Subject: odd\r\nFrom: <\r\nDate: never\r\nMessage-ID: <<>\r\n"
        b"Content-Type: text/plain; charset=no-such\r\nContent-Transfer-Encoding: 8bit\r\n\r\nhello \xff\r\n"
    )
    (shown,) = await mailbox.shown()
    assert shown["subject"] == "odd"
    assert shown["text"].startswith("hello")


async def test_it_refuses_one_recipient_as_often_as_asked(mailbox: Sink) -> None:
    await mailbox.ask({"match": "jane@", "reply": "451 later", "times": 1})
    await mailbox.send(_letter(), to="john@example.com")
    with pytest.raises(aiosmtplib.SMTPDataError, match="later") as refused:
        await mailbox.send(_letter())
    assert refused.value.code == 451
    await mailbox.send(_letter())
    assert [shown["to"] for shown in await mailbox.shown()] == [["john@example.com"], ["jane@example.com"]]


async def test_it_keeps_a_message_and_drops_the_line_before_it_says_so(mailbox: Sink) -> None:
    await mailbox.ask({"match": "jane@", "drop_after_data": True})
    with pytest.raises(aiosmtplib.SMTPServerDisconnected):
        await mailbox.send(_letter())
    assert len(await mailbox.shown()) == 1


async def test_a_request_is_shown_whole_and_outlives_a_crash(receiver: Sink) -> None:
    async with receiver.http.put("/hooks/a/b", json={"n": 1}, headers={"X-Mark": "m"}) as answer:
        assert (answer.status, await answer.json()) == (200, {"ok": True})
    await receiver.crash()
    (shown,) = await receiver.shown()
    assert (shown["method"], shown["path"], shown["body"]) == ("PUT", "/hooks/a/b", {"n": 1})
    assert shown["headers"]["X-Mark"] == "m"
    async with receiver.http.get("/elsewhere") as answer:
        assert answer.status == 404
    assert len(await receiver.shown()) == 1


async def test_it_answers_hangs_up_and_recovers_as_asked(receiver: Sink) -> None:
    rule = {"match": "/hooks/x", "status": 503, "headers": {"Retry-After": "7"}, "body": "busy", "times": 1}
    await receiver.ask(rule)
    await receiver.ask({"match": "/hooks/x", "drop": True})
    async with receiver.http.post("/hooks/x") as answer:
        assert (answer.status, answer.headers["Retry-After"], await answer.text()) == (503, "7", "busy")
    with pytest.raises(aiohttp.ServerDisconnectedError):
        # A POST: the client itself repeats what may be repeated.
        await receiver.http.post("/hooks/x")
    async with receiver.http.post("/hooks/x") as answer:
        assert answer.status == 200
    assert len(await receiver.shown()) == 3
    await receiver.ask({"match": "/hooks/x", "status": 500, "times": 9})
    await receiver.http.delete("/rules")
    async with receiver.http.post("/hooks/x") as answer:
        assert answer.status == 200


async def test_a_slow_answer_does_not_hold_up_its_end(receiver: Sink) -> None:
    await receiver.ask({"match": "/hooks/slow", "delay_ms": 60_000})
    with pytest.raises(TimeoutError):
        await receiver.http.post("/hooks/slow", timeout=aiohttp.ClientTimeout(total=0.2))
    process = receiver.supervisor.children["receiver"].process
    assert process is not None
    await receiver.supervisor.stop("receiver")
    assert process.returncode == 0


@pytest.mark.parametrize("rule", ["[]", "{", '{"times": "often"}'])
async def test_what_is_no_rule_is_refused(receiver: Sink, rule: str) -> None:
    async with receiver.http.post("/rules", data=rule) as answer:
        assert answer.status == 400


def test_a_line_cut_off_by_a_crash_harms_no_other(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.write_text('{"n": 1}\n{"n": ')
    arrivals = Arrivals(store)
    arrivals.load()
    arrivals.add({"n": 2})
    again = Arrivals(store)
    again.load()
    assert [arrival["n"] for arrival in again.kept] == [1, 2]


def test_neither_memory_nor_file_grow_without_bound(tmp_path: Path) -> None:
    store = tmp_path / "store"
    arrivals = Arrivals(store, most=50, most_bytes=2_000)
    for number in range(500):
        arrivals.add({"n": number, "text": "x" * 40})
    assert arrivals.total == 500
    assert arrivals.kept[-1]["n"] == 499
    assert len(arrivals.kept) <= 50
    assert store.stat().st_size < 3 * 2_000
    for number in range(5_000):
        arrivals.ask(Rule("x", 1, {"n": number}))
    assert len(arrivals.rules) == 1_000


def test_rules_apply_in_the_order_they_were_asked() -> None:
    arrivals = Arrivals(None)
    arrivals.ask(Rule("x", 2, {"n": 1}))
    arrivals.ask(Rule("x", 1, {"n": 2}))
    assert [arrivals.rule_for("axb") for _ in range(4)] == [{"n": 1}, {"n": 1}, {"n": 2}, None]
    assert arrivals.rule_for("other") is None
