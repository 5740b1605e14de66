"""Validation: proto rules, no NUL anywhere in a text, bounded Structs, with the path of each fault."""

from typing import Any

from google.protobuf.struct_pb2 import Struct
from wayfarer.action.v1.action_executor_pb2 import ExecuteBatchRequest
from wayfarer.action.v1.action_pb2 import Action, ActionResult, EffectKey
from wayfarer.execution.v1.execution_service_pb2 import StartExecutionRequest

from services.runtime.errors import Violation
from services.runtime.validation import MAX_STRUCT_BYTES, RequestChecks

CONTACT = "01890a5d-ac96-774b-bcce-b302099a8057"


def start(trigger: dict[str, Any] | None = None, contact_id: str = CONTACT) -> StartExecutionRequest:
    request = StartExecutionRequest(workflow="welcome", contact_id=contact_id)
    if trigger is not None:
        request.trigger.update(trigger)
    return request


def nested(depth: int) -> dict[str, Any]:
    inner: dict[str, Any] = {}
    for _ in range(depth - 1):
        inner = {"a": inner}
    return inner


def test_a_good_request_has_no_violations() -> None:
    assert RequestChecks().violations(start({"a": [1, "x", {"b": None}]})) == []


def test_names_field_and_rule() -> None:
    assert RequestChecks().violations(start(contact_id="x")) == [
        Violation("contact_id", "must be a valid UUID", "string.uuid")
    ]


def test_names_the_item_of_a_list() -> None:
    good = Action(
        effect_key=EffectKey(execution_id=bytes(16), step_id="s", visit=1),
        account_id=1,
        contact_id=bytes(16),
        action_type="add_tag",
        attempt=1,
        budget_ms=1,
    )
    bad = Action()
    bad.CopyFrom(good)
    bad.effect_key.step_id = "s\0"
    bad.account_id = 0
    found = RequestChecks().violations(ExecuteBatchRequest(actions=[good, bad]))
    assert [(violation.field, violation.rule) for violation in found] == [
        ("actions[1].account_id", "int64.gt"),
        ("actions[1].effect_key.step_id", "string.no_nul"),
    ]


def test_finds_nul_in_structs_keys_and_maps() -> None:
    checks = RequestChecks()
    request = start({"a": {"list": ["fine", "n\0l"]}, "k\0": 1})
    assert sorted(violation.field for violation in checks.violations(request)) == [
        "trigger",
        "trigger.a.list[1]",
    ]
    result = ActionResult(provider_refs={"id": "\0", "\0": "x"})
    assert sorted(violation.field for violation in checks.violations(result)) == [
        "provider_refs",
        'provider_refs["id"]',
    ]


def test_bounds_the_depth_of_a_struct() -> None:
    checks = RequestChecks()
    assert checks.violations(start(nested(16))) == []
    [found] = checks.violations(start(nested(17)))
    assert (found.field, found.rule) == ("trigger" + ".a" * 16, "struct.too_deep")
    [found] = checks.violations(start({"l": [[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}))
    assert found.rule == "struct.too_deep"


def test_bounds_the_size_of_a_struct() -> None:
    trigger = Struct()
    trigger.update({"a": ""})
    room = MAX_STRUCT_BYTES - trigger.ByteSize() - 12  # 12: what longer lengths take
    checks = RequestChecks()
    assert checks.violations(start({"a": "x" * room})) == []
    [found] = checks.violations(start({"a": "x" * MAX_STRUCT_BYTES}))
    assert (found.field, found.rule) == ("trigger", "struct.too_large")
