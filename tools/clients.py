"""`make clients`: makes, installs and type-checks the clients of the HTTP API in build/clients.

The Python one comes from openapi-python-client, the TypeScript one from openapi-typescript and openapi-fetch,
both of services/gateway/rest/openapi.json; examples/clients has a program for each, and pins for npm.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from services.gateway.rest import streaming
from tools.openapi import PAGE

ROOT: Final = Path(__file__).resolve().parent.parent
BUILD: Final = ROOT / "build" / "clients"
PYTHON: Final = BUILD / "python" / "venv" / "bin" / "python"
"""The interpreter of the environment that the Python client is installed in."""
JAVASCRIPT: Final = BUILD / "typescript" / "dist" / "journey.js"
EXAMPLES: Final = ROOT / "examples" / "clients"
_KEPT: Final = frozenset({"version", "integrity", "dependencies", "peerDependencies", "dev", "bin"})
"""What of a package in npm's lock file is pinned: neither where it comes from nor who made it."""
_QUIET: Final = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")


def make_python() -> None:
    """Makes it in an environment of its own, and holds it and its example to mypy --strict."""
    folder = _emptied("python")
    made = folder / "client"
    _run(sys.executable, "-m", "venv", folder / "venv")
    pip = (PYTHON, "-m", "pip", "install", "-q", "--disable-pip-version-check")
    _run(*pip, "--require-hashes", "-r", ROOT / "requirements" / "clients.txt")
    settings = ("--config", EXAMPLES / "python" / "generator.yaml", "--fail-on-warning", "--meta", "pdm")
    generator = PYTHON.with_name("openapi-python-client")
    document = folder / "openapi.json"
    document.write_text(json.dumps(_without_streams(json.loads(PAGE.read_text(encoding="utf-8")))))
    _run(generator, "generate", "--path", document, "--output-path", made, *settings, cwd=folder)
    _run(*pip, "--no-deps", "--no-build-isolation", made)
    checked = ("--strict", f"--python-executable={PYTHON}", "--config-file=", "--cache-dir=.mypy_cache")
    mypy = (sys.executable, "-m", "mypy", *checked)
    _run(*mypy, "-p", "wayfarer_client", cwd=folder)
    _run(*mypy, EXAMPLES / "python" / "journey.py", cwd=folder)


def make_typescript() -> None:
    """Makes it and compiles its example, strictly; needs node and npm."""
    folder = _emptied("typescript")
    for name in ("package.json", "tsconfig.json", "journey.ts"):
        shutil.copy(EXAMPLES / "typescript" / name, folder)
    shutil.copy(EXAMPLES / "typescript" / "pins.json", folder / "package-lock.json")
    _run("npm", "ci", *_QUIET, cwd=folder)
    tools, names = folder / "node_modules" / ".bin", ("--root-types", "--root-types-no-schema-prefix")
    _run(tools / "openapi-typescript", PAGE, *names, "--output", "wayfarer.d.ts", cwd=folder)
    _run(tools / "tsc", "--project", ".", cwd=folder)


def pin() -> None:
    """Writes which packages, by their hashes, package.json comes to today."""
    folder = _emptied("pins")
    shutil.copy(EXAMPLES / "typescript" / "package.json", folder)
    _run("npm", "install", "--package-lock-only", *_QUIET, cwd=folder)
    lock: dict[str, Any] = json.loads((folder / "package-lock.json").read_text(encoding="utf-8"))
    for name, package in lock["packages"].items():
        if name:
            lock["packages"][name] = {key: package[key] for key in package if key in _KEPT}
    text = json.dumps(lock, indent=1, ensure_ascii=False) + "\n"
    (EXAMPLES / "typescript" / "pins.json").write_text(text, encoding="utf-8")


def _without_streams(document: dict[str, Any]) -> dict[str, Any]:
    """Python's generator takes a stream for one JSON object: better no method than such a one."""
    for operations in document["paths"].values():
        for verb, one in list(operations.items()):
            contents = [answer.get("content", {}) for answer in one["responses"].values()]
            if any(streaming.MEDIA_TYPE in content for content in contents):
                del operations[verb]
    return document


def _emptied(name: str) -> Path:
    folder = BUILD / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _run(*words: str | Path, cwd: Path = ROOT) -> None:
    subprocess.run(words, cwd=cwd, check=True)


def main() -> None:
    """Makes both clients; exits 1 if one cannot be made."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pin", action="store_true", help="only pin npm's packages anew")
    try:
        if parser.parse_args().pin:
            pin()
            return
        make_python()
        make_typescript()
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        sys.exit(f"the clients could not be made: {error}")


if __name__ == "__main__":
    main()
