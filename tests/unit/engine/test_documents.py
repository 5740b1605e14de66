"""Documents from strangers: read with guards, checked with every fault and its place. R-STEP-4, R-STEP-7, A-30."""

from typing import Any

import pytest

from execution_engine.definition import durations
from execution_engine.definition.compile import canonical_json, compile_program, load_document
from execution_engine.definition.conditions import Condition, ConditionFailed, ConditionInvalid
from execution_engine.definition.document import parse
from execution_engine.definition.templates import ConfigTemplate, TemplateError, TemplateInvalid
from execution_engine.definition.validate import action_configs, placed, validate
from execution_engine.errors import DocumentMalformed, WorkflowInvalid
from tests.unit.engine.world import CATALOGUE, NOW

SCOPE: dict[str, Any] = {
    "contact": {
        "first_name": "Ada",
        "tags": ["vip"],
        "age": 36,
        "vip": True,
        "none": None,
        "fields": {"a": [1, 2]},
    },
    "trigger": {"amount": 120.0},
    "steps": {"call": {"status": 200}},
    "account": {"name": "Shop"},
    "workflow": {"key": "k"},
    "execution": {"id": "e"},
    "now": NOW,
}


@pytest.mark.parametrize(
    ("text", "problem", "line"),
    [
        ("", "empty", 1),
        ("a: 1\na: 2", "twice", 2),
        ("a: &x 1\nb: *x", "anchors", 1),
        ("a: 1\n--- \nb: 2", "more than one", 2),
        ("1: x", "keys must be text", 1),
        ("a: .inf", "finite", 1),
        ("a: 99999999999999999999", "64 bits", 1),
        ("a: !!binary aGk=", "not allowed", 1),
        ("a: [1, 2", "expected", 1),
        ("a: 'x\0'", "NUL", 1),
        ("a: \x07", "special characters", 1),
        ("x" * 1_100_000, "larger than", 1),
        ("[" * 40 + "]" * 40, "nested deeper", 1),
        ('a: "\\ud800"', "not text", 1),
    ],
)
def test_what_is_no_document_is_refused_with_its_place(text: str, problem: str, line: int) -> None:
    with pytest.raises(DocumentMalformed, match=problem) as caught:
        parse(text)
    assert caught.value.line == line


def test_a_document_is_plain_data_with_positions() -> None:
    document = parse('key: k\nsteps:\n  - id: a\n    type: end\nat: 2026-01-01\n"x": [1, 2.5, true, null]\n')
    assert document.data["at"] == "2026-01-01"
    assert document.data["x"] == [1, 2.5, True, None]
    assert document.positions["steps[0].type"] == (4, 5)
    assert load_document(canonical_json(document)).data == document.data


def faults(text: str) -> dict[str, tuple[str, int | None]]:
    return {f.path: (f.rule, f.line) for f in validate(parse(text), CATALOGUE)}


def test_every_fault_is_told_at_once_with_its_line() -> None:
    text = """
key: Bad Key
colour: red
name: 5
settings:
  time_zone: Mars
  dedup_window: soon
  reentry: sometimes
  retry: {max_retries: -1, base: x, jitter: 2, speed: 1}
steps:
  - id: a
    type: add_tga
    next: nowhere
  - id: a
    type: send_email
    config: {subject: "{{ contact.first_name"}
    on_error: explode
    on_unknown: shrug
    timeout: 2h
    disabled: perhaps
    retry: 5
  - {id: end, type: end, config: 5}
  - 7
  - {type: if, id: i, config: {condition: "1 +", then: 5}}
"""
    found = faults(text)
    expected = {
        "key": "pattern",
        "colour": "unknown_key",
        "name": "type",
        "settings.time_zone": "time_zone",
        "settings.dedup_window": "duration",
        "settings.reentry": "choice",
        "settings.retry.max_retries": "range",
        "settings.retry.base": "duration",
        "settings.retry.jitter": "range",
        "settings.retry.speed": "unknown_key",
        "steps[0].type": "unknown_type",
        "steps[0].next": "unknown_step",
        "steps[1].id": "duplicate",
        "steps[1].config": "template",
        "steps[1].on_error": "choice",
        "steps[1].on_unknown": "choice",
        "steps[1].timeout": "range",
        "steps[1].disabled": "type",
        "steps[1].retry": "type",
        "steps[2].id": "pattern",
        "steps[2].config": "type",
        "steps[3]": "type",
        "steps[4].config.condition": "expression",
        "steps[4].config.then": "type",
        "steps[4].config.else": "missing",
    }
    assert {path: rule for path, (rule, _) in found.items()} == expected
    assert found["settings.time_zone"][1] == 6


@pytest.mark.parametrize(
    ("text", "path", "rule"),
    [
        ("5", "", "type"),
        ("key: k", "steps", "missing"),
        ("key: k\nsteps: []", "steps", "type"),
        ("key: k\nsteps: [" + "{id: a, type: end}," * 51 + "]", "steps", "too_many"),
        ("key: k\nsettings: 5\nsteps: [{id: a, type: end}]", "settings", "type"),
        ("key: k\nsettings: {retry: 5}\nsteps: [{id: a, type: end}]", "settings.retry", "type"),
        ("steps: [{id: a, type: end}]", "key", "missing"),
        ("key: k\nsteps: [{id: a}]", "steps[0].type", "missing"),
        ("key: k\nsteps: [{type: end}]", "steps[0].id", "missing"),
        ("key: k\nsteps: [{id: a, type: end}, {id: b, type: end}]", "steps[1]", "unreachable"),
        (
            "key: k\nsteps: [{id: a, type: add_tag, config: {tag: '{{ steps.b.x }}'}}, {id: b, type: add_tag, config: {tag: t}}]",
            "steps[0].config",
            "not_before",
        ),
        (
            "key: k\nsteps: [{id: a, type: add_tag, config: {tag: '{{ steps.z.x }}'}}]",
            "steps[0].config",
            "unknown_step",
        ),
    ],
)
def test_one_fault(text: str, path: str, rule: str) -> None:
    assert faults(text).get(path, ("", 0))[0] == rule


def test_invalid_documents_do_not_compile() -> None:
    with pytest.raises(WorkflowInvalid) as caught:
        compile_program(parse("key: k\nsteps: [{id: a, type: nothing}]"), CATALOGUE)
    document = parse("key: k\nsteps: [{id: a, type: add_tag, config: {tag: x}}, {id: b, type: end}]")
    assert action_configs(document, CATALOGUE) == [("steps[0].config", "add_tag", {"tag": "x"})]
    assert placed(list(caught.value.faults), document)[0].line == 2


def test_on_error_go_to_and_retry_are_compiled() -> None:
    text = """
key: k
settings: {retry: {max_retries: 1, base: 5s, cap: 1m, jitter: 0}}
steps:
  - {id: a, type: add_tag, config: {tag: x}, on_error: {go_to: c}, timeout: 1s}
  - {id: b, type: add_tag, config: {tag: x}, disabled: true, on_error: skip, retry: {max_retries: 7}}
  - {id: c, type: add_tag, config: {tag: x}}
"""
    program = compile_program(parse(text), CATALOGUE)
    first, second = program.steps[0], program.steps[1]
    assert first.on_error.target == 2  # type: ignore[union-attr]
    assert first.next == 2  # type: ignore[union-attr]
    assert (first.max_retries, first.retry_base_s, first.timeout_ms) == (1, 5.0, 1000)  # type: ignore[union-attr]
    assert second.max_retries == 7  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'vip' in contact.tags", True),
        ("trigger.amount > 200.0", False),
        ("steps.call.status == 200 && contact.vip", True),
        ("now > timestamp('2020-01-01T00:00:00Z')", True),
    ],
)
def test_conditions(text: str, expected: bool) -> None:
    assert Condition.compile(text).evaluate(SCOPE) is expected


@pytest.mark.parametrize(
    "text", ["1 +", "1 + 1", "nobody.x == 1", "x" * 2_001, "[1].all(a, [2].exists(b, b == a))"]
)
def test_what_is_no_condition(text: str) -> None:
    with pytest.raises(ConditionInvalid):
        Condition.compile(text)


@pytest.mark.parametrize("text", ["contact.missing == 1", "contact.first_name"])
def test_conditions_that_fail_on_data(text: str) -> None:
    with pytest.raises(ConditionFailed):
        Condition.compile(text).evaluate(SCOPE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hi {{ contact.first_name }}!", "Hi Ada!"),
        ("{{ contact.age }} {{ contact.vip }} {{contact.none}}.", "36 true ."),
        ("{{ contact.nick | default: 'you' }}", "you"),
        ("{% if contact.vip %}yes{% endif %}", "yes"),
        ("{{ contact.first_name | upcase }}", "ADA"),
        ("{{ contact.tags | join: ',' }}", "vip"),
        ("{{- contact.first_name -}} x", "Adax"),
        ("{{ contact.fields.a }}", "12"),
        ("{{ now | date: '%Y' }}", "2026"),
    ],
)
def test_merge_fields(text: str, expected: str) -> None:
    template = ConfigTemplate.compile({"a": {"b": [text]}})
    assert template.render(SCOPE) == b'{"a":{"b":["%s"]}}' % expected.encode()


def test_html_is_escaped_and_text_is_not() -> None:
    scope = {**SCOPE, "contact": {"first_name": "<b>"}}
    template = ConfigTemplate.compile(
        {"html": "{{ contact.first_name }}", "text": "{{ contact.first_name }}"}
    )
    assert template.render(scope) == b'{"html":"&lt;b&gt;","text":"<b>"}'
    assert template.roots == {"contact"}


def test_merge_fields_that_cannot_be() -> None:
    for text in ("{{ nobody.x }}", "{{ contact.", "{% nonsense %}"):
        with pytest.raises(TemplateInvalid):
            ConfigTemplate.compile({"a": text})
    for text in ("{{ contact.missing }}", "{{ contact.first_name.x }}", "{{ contact.missing | upcase }}"):
        with pytest.raises(TemplateError):
            ConfigTemplate.compile({"a": text}).render(SCOPE)
    with pytest.raises(TemplateError, match="larger"):
        ConfigTemplate.compile({"a": "{{ contact.first_name }}", "b": "x" * 262_144}).render(SCOPE)
    assert ConfigTemplate.compile({"a": 1}).render({}) == b'{"a":1}'


def test_durations() -> None:
    assert [durations.seconds(d) for d in ("500ms", "5s", "2m", "3h", "1d", "1w", 7)] == [
        0.5,
        5,
        120,
        10_800,
        86_400,
        604_800,
        7,
    ]
    for wrong in ("soon", -1, True, None):
        with pytest.raises(ValueError, match="duration"):
            durations.seconds(wrong)
