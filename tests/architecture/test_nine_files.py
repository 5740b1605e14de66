"""The README's walk along one action is true: the files exist, and each still hands on to the next."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WALK = (
    ("proto/wayfarer/execution/v1/execution_service.proto", "rpc StartExecution"),
    ("services/execution_api/execution_servicer.py", "self._starts.start("),
    ("execution_engine/store/enrollment.py", "async def enroll("),
    ("dispatcher/claim.py", "leases.claim("),
    ("dispatcher/worker.py", "self._committer"),
    ("execution_engine/advance.py", "def advance("),
    ("dispatcher/dispatch.py", "execute_batch("),
    ("services/executors/servicer.py", "async def ExecuteBatch("),
    ("services/executors/crm/add_tag.py", "ACTION"),
)


def test_the_walk_exists_and_hands_on() -> None:
    for path, mark in WALK:
        assert mark in (ROOT / path).read_text(), f"{path} no longer has {mark!r}"


def test_the_readme_links_the_walk_in_order() -> None:
    readme = (ROOT / "README.md").read_text()
    places = [readme.find(f"]({path})") for path, _ in WALK]
    assert -1 not in places, f"not linked: {[p for (p, _), at in zip(WALK, places, strict=True) if at < 0]}"
    assert places == sorted(places)


def test_every_link_of_the_docs_leads_somewhere() -> None:
    for page in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links {target}"
