"""The house has floors, and imports go downward only. Read from the source, so that no import hides in a function."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import pictura

ROOT = Path(pictura.__file__).parent
#: Of each part of the house, the parts that it may import (itself always).
MAY: dict[str, frozenset[str]] = {
    "core": frozenset(),
    "infra": frozenset({"core"}),
    "store": frozenset({"core", "infra"}),
    "providers": frozenset({"core", "infra"}),
    "dialects": frozenset({"core"}),
    "engine": frozenset({"core", "infra", "store", "providers"}),
    "sandbox": frozenset({"core", "infra"}),
    "doors": frozenset({"core", "infra", "store", "providers", "dialects", "engine", "sandbox"}),
}
FILES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py") if path.parent != ROOT)


def imports(source: str, package: str) -> Iterator[tuple[int, str]]:
    """Line and full name of every module that `source`, which lies in `package`, imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*above, *(node.module or "").split(".")]).strip(".")
            # `from pictura import store` names the module in the second half.
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def wrong(file: str, source: str) -> list[str]:
    """A sentence for every import of `file` (below `pictura/`) that leads upward."""
    part, *_ = file.split("/")
    package = ".".join(["pictura", *file.split("/")[:-1]])
    found = []
    for line, name in imports(source, package):
        target = name.split(".")[1] if name.startswith("pictura.") else ""
        if target in MAY and target != part and target not in MAY[part]:
            below = ", ".join(sorted(MAY[part])) or "nothing of pictura"
            found.append(
                f"{file}:{line} imports {name}, but {part} may import {below} only: move what both need down to the "
                f"lowest floor that needs it, or hand it in from above as an argument"
            )
    return found


@pytest.mark.parametrize("file", FILES)
def test_imports_lead_downward(file: str) -> None:
    problems = wrong(file, (ROOT / file).read_text())
    assert not problems, "\n".join(problems)


def test_every_part_of_the_house_has_its_floor() -> None:
    parts = {file.split("/")[0] for file in FILES}
    assert parts == set(MAY), f"say in MAY what these may import: {sorted(parts ^ set(MAY))}"


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("core/size.py", "from pictura.infra.db import Tx"),
        ("core/size.py", "import pictura.infra.db"),
        ("core/size.py", "from pictura import infra"),
        ("core/size.py", "def f():\n    from ..infra import db"),
        ("dialects/openai.py", "from pictura.infra.spool import Spool"),
        ("providers/fal.py", "from pictura.store import jobs"),
        ("engine/run.py", "from pictura.sandbox.server import Sandbox"),
        ("sandbox/openai.py", "from pictura.providers.base import Ask"),
        ("store/migrations/env.py", "from pictura.engine import plan"),
    ],
)
def test_an_import_that_leads_upward_is_seen(file: str, source: str) -> None:
    (sentence,) = wrong(file, source)
    assert "hand it in from above" in sentence


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("store/jobs.py", "from pictura.store import ledger\nfrom pictura.core.errors import BadRequest"),
        ("store/jobs.py", "from . import ledger\nfrom ..core import errors"),
        ("doors/house.py", "from pictura.sandbox.server import Sandbox\nimport os, json"),
        ("core/size.py", "from pictura import __version__"),
    ],
)
def test_an_import_that_leads_downward_is_not(file: str, source: str) -> None:
    assert not wrong(file, source)
