"""Outgoing headers say the same as those that `email` would write of the same values (R-ACT-1: send_email)."""

from email import message_from_bytes, policy
from email.headerregistry import Address
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.executors.mail.composing import POLICY

WORDS = st.text(st.sampled_from('aZ9 ,;:<>@"\\()=?_-äö漢\t'), max_size=90)
PLAIN = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=90)


def written(how: Any, headers: dict[str, Any], text: str) -> bytes:
    """A message of these headers and this text, as it goes over the wire."""
    mail = EmailMessage(policy=how)
    for name, value in headers.items():
        mail[name] = value
    mail.set_content(text)
    mail.add_alternative(f"<p>{text}</p>", subtype="html")
    return mail.as_bytes()


def read(content: bytes) -> dict[str, str]:
    """Its headers as a receiver reads them; the boundary is chance."""
    shown = message_from_bytes(content, policy=policy.default)
    return {
        name: " ".join(str(value).split()) for name, value in shown.items() if name.lower() != "content-type"
    }


@given(name=WORDS | PLAIN, subject=WORDS | PLAIN, own=PLAIN, text=st.sampled_from(["Hello.", "Grüße", ""]))
def test_headers_read_as_those_of_the_library(name: str, subject: str, own: str, text: str) -> None:
    headers: dict[str, Any] = {
        "From": Address(name.replace("\t", " "), addr_spec="hello@shop.example"),
        "To": Address(addr_spec="ann.b@mail.example"),
        "Subject": subject,
        "Message-ID": "<0198c0de.mail.1@wayfarer.shop.example>",
        "X-Own": own,
    }
    as_text: dict[str, Any] = {"Subject": subject.replace("=?", "= ?"), "X-Own": own.replace("=?", "= ?")}
    as_text["From"] = Address(
        headers["From"].display_name.replace("=?", "= ?"), addr_spec="hello@shop.example"
    )
    ours, theirs = written(POLICY, headers, text), written(policy.SMTP, headers | as_text, text)
    assert read(ours) == read(theirs)
    assert all(len(line) <= 998 and b"\r" not in line and b"\n" not in line for line in ours.split(b"\r\n"))
    assert ours.partition(b"\r\n\r\n")[0].isascii()


@pytest.mark.parametrize("name", ["Subject", "X-Own", "From", "Reply-To", "Cc"])
@pytest.mark.parametrize("filler", ["", "ä ", "long " * 20])
@pytest.mark.parametrize(
    "word", ["=?utf-8?q?Hi=0D=0ABcc:_x=40y.example?=", "=?utf-8?b?SGkNCkJjYzogeEB5LmV4YW1wbGUNCg0Kc3BhbQ==?="]
)
def test_an_encoded_word_writes_no_header_and_no_body(name: str, filler: str, word: str) -> None:
    """Python 3.11 decodes it, and writes the line ends in it: what contacts are called goes into subjects."""
    value = f"{filler}{word}"
    given: Any = Address(value, addr_spec="a@shop.example") if name == "From" else value
    try:
        content = written(POLICY, {"To": "ann@mail.example", name: given}, "Hello.")
    except ValueError:
        return
    shown = message_from_bytes(content, policy=policy.default)
    assert not set(shown.keys()) - {"To", name, "Content-Type", "MIME-Version"}
    part = shown.get_body(("plain",))
    assert part is not None
    assert part.get_content().strip() == "Hello."


@pytest.mark.parametrize("value", ["a\r\nBcc: x@y.example", "a\nb", "a\rb", "a\x00b\nc"])
def test_no_value_begins_a_header_of_its_own(value: str) -> None:
    mail = EmailMessage(policy=POLICY)
    with pytest.raises(ValueError, match="linefeed"):
        mail["Subject"] = value


@pytest.mark.parametrize("copies", [1, 8])
def test_an_address_stays_as_it_is_though_it_holds_what_begins_an_encoded_word(copies: int) -> None:
    """RFC 5322 allows = and ? in the part before the @; a list of eight does not fit its line."""
    addresses = [f"ann=?{number}@mail.example" for number in range(copies)]
    mail = EmailMessage(policy=POLICY)
    mail["To"] = addresses[0]
    mail["Cc"] = ", ".join(addresses)
    mail.set_content("Hello.")
    shown = message_from_bytes(mail.as_bytes(), policy=policy.default)
    assert str(shown["To"]) == addresses[0]
    assert [one.addr_spec for one in shown["Cc"].addresses] == addresses


def test_a_header_stays_the_only_one_of_its_name() -> None:
    mail = EmailMessage(policy=POLICY)
    mail["Subject"] = "one"
    with pytest.raises(ValueError, match="at most 1"):
        mail["Subject"] = "two"
