"""`make http-fuzz`: schemathesis holds a fresh stack's HTTP API to its OpenAPI document; exits 1 on a failure.

Left out, each for its reason:
- positive_data_acceptance: the API refuses by state (an ended execution), by rules that JSON Schema has no word
  for (no NUL, a token of this very list) and by documents; what it must take, the tests say.
- ensure_resource_availability: it looks for what it made in an account that it made up.
- RevokeApiKey and RotateApiKey: they would end the run's own key.
"""

import asyncio
import os
import sys
import tempfile
from pathlib import Path
from typing import Final

from services.local.stack import Stack
from tests.integration.api.over_http import Http, calling
from tests.support.stacks import ROOT, fresh_stack

_LEFT_OUT: Final = ("positive_data_acceptance", "ensure_resource_availability")
_OWN_KEYS: Final = ("RevokeApiKey", "RotateApiKey")
_FAULTS: Final = ("rpc_failed", "http_request_failed")


async def main(words: list[str]) -> int:
    """Runs it with `words` for schemathesis added; its exit code, or 1 if a fault of ours was logged."""
    async with fresh_stack(workers=1) as stack, calling(stack.gateway_url, stack.api_key) as http:
        await _fill(http)
        code = await _run(stack, words)
        logs = stack.state_dir / "logs"
        faults = [
            line
            for name in ("api.log", "gateway.log")
            for line in (logs / name).read_text(encoding="utf-8").splitlines()
            if any(fault in line for fault in _FAULTS)
        ]
    for line in faults:
        print(line[:3000], file=sys.stderr)
    return code or bool(faults)


async def _fill(http: Http) -> None:
    """Something of most kinds, so that lists are not empty and links lead somewhere."""
    for example in ("welcome", "abandoned_cart"):
        document = (ROOT / "examples" / f"{example}.yaml").read_text(encoding="utf-8")
        made = await http("POST", "/workflows", {"document": document, "publish": example == "welcome"})
        assert made.status == 201, made.body
    for name in ("jane", "john"):
        fields = {"external_id": name, "email": f"{name}@example.com", "tags": ["vip"]}
        contact = await http("POST", "/contacts", fields)
        started = await http("POST", "/workflows/welcome/execute", {"contact_id": contact.body["id"]})
        assert started.status == 201, started.body


async def _run(stack: Stack, words: list[str]) -> int:
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        f"{stack.gateway_url}/openapi.json",
        f"--header=Authorization: Bearer {stack.api_key}",
        "--exclude-checks=" + ",".join(_LEFT_OUT),
        *(f"--exclude-operation-id={name}" for name in _OWN_KEYS),
        "--max-examples=15",
        "--continue-on-failure",
        "--generation-database=none",
        "--no-color",
        *words,
    ]
    with tempfile.TemporaryDirectory() as scratch:
        environment = os.environ | {"NO_PROXY": "127.0.0.1", "HYPOTHESIS_STORAGE_DIRECTORY": scratch}
        process = await asyncio.create_subprocess_exec(*command, cwd=scratch, env=environment)
        return await process.wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:] or ["--max-time=150", "--seed=1"])))
