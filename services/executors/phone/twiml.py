"""Writes TwiML, what Twilio says and does in a call; make_call, send_voicemail and callbacks use it."""

import re
from typing import Final
from xml.etree import ElementTree

LONGEST: Final = 4000
"""Characters Twilio takes in a request."""
EMPTY: Final = b'<?xml version="1.0" encoding="UTF-8"?><Response />'
CONTENT_TYPE: Final = "text/xml"

_NOT_XML: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class TwimlTooLongError(ValueError):
    """What is to be said does not fit."""


def message(text: str, audio_url: str, voice: str, language: str) -> str:
    """Say the text, or play the audio. Raises TwimlTooLongError."""
    response = ElementTree.Element("Response")
    if audio_url:
        ElementTree.SubElement(response, "Play").text = _clean(audio_url)
    else:
        _say(response, text, voice, language)
    return _written(response)


def connection(whisper: str, voice: str, language: str, number: str, ring_s: int, record: bool) -> str:
    """Say the whisper, then dial the number. Raises TwimlTooLongError."""
    response = ElementTree.Element("Response")
    if whisper:
        _say(response, whisper, voice, language)
    dial = ElementTree.SubElement(response, "Dial", {"timeout": str(ring_s)})
    if record:
        dial.set("record", "record-from-answer")
    ElementTree.SubElement(dial, "Number").text = _clean(number)
    return _written(response)


def hang_up() -> str:
    """End the call."""
    response = ElementTree.Element("Response")
    ElementTree.SubElement(response, "Hangup")
    return _written(response)


def _say(response: ElementTree.Element, text: str, voice: str, language: str) -> None:
    chosen = {"voice": voice, "language": language}
    say = ElementTree.SubElement(response, "Say", {name: value for name, value in chosen.items() if value})
    say.text = _clean(text)


def _clean(text: str) -> str:
    # XML has no way to write these, so that a parser would refuse the whole document.
    return _NOT_XML.sub("", text)


def _written(response: ElementTree.Element) -> str:
    text = ElementTree.tostring(response, encoding="unicode")
    if len(text) > LONGEST:
        raise TwimlTooLongError(f"{len(text)} characters of TwiML, at most {LONGEST} are taken")
    return text
