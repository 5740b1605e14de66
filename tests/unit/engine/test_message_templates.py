"""R-STEP-7, R-ACT: templates put into steps; what the step says itself goes before them."""

from typing import Any

import pytest

from execution_engine.definition.document import Document
from execution_engine.definition.message_templates import MessageTemplate, expanded, named

WELCOME = MessageTemplate("welcome", 3, "send_email", {"subject": "Hi", "text": "Hello"})
KNOWN = {("welcome", 0): WELCOME, ("welcome", 3): WELCOME}


def document(**step: Any) -> Document:
    return Document({"key": "k", "steps": [{"id": "mail", "type": "send_email", **step}]}, {})


def test_the_newest_version_is_pinned_and_the_steps_own_words_go_first() -> None:
    given = document(template="welcome", config={"subject": "Hey"})
    whole, faults = expanded(given, KNOWN)
    assert not faults
    (step,) = whole.data["steps"]
    assert (step["template"], step["config"]) == ("welcome@3", {"subject": "Hey", "text": "Hello"})
    assert given.data["steps"][0]["config"] == {"subject": "Hey"}
    assert expanded(whole, KNOWN)[0] == whole  # what is pinned stays what it is


def test_a_document_without_templates_is_itself() -> None:
    given = document(config={"subject": "Hey"})
    assert expanded(given, {})[0] is given
    assert named(given) == []
    assert named(document(template="welcome@3")) == [("welcome", 3)]
    assert named(Document({"steps": "none"}, {})) == []


@pytest.mark.parametrize(
    ("step", "rule"),
    [
        ({"template": "goodbye"}, "unknown_template"),
        ({"template": "welcome@4"}, "unknown_template"),
        ({"template": "welcome@x"}, "pattern"),
        ({"template": "welcome@0"}, "pattern"),
        ({"template": "welcome@99999999999"}, "pattern"),
        ({"template": "welcome@" + "9" * 5_000}, "pattern"),
        ({"template": "Wel\0come"}, "pattern"),
        ({"template": ["welcome"]}, "pattern"),
        ({"template": "welcome", "type": "send_sms"}, "other_type"),
    ],
)
def test_what_cannot_be_put_in_is_named(step: dict[str, Any], rule: str) -> None:
    _, faults = expanded(document(**step), KNOWN)
    assert [(fault.path, fault.rule) for fault in faults] == [("steps[0].template", rule)]
