"""Finding plug-ins: in a package of ours, and behind the entry points of an installed distribution of a stranger's."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from pictura.core.plugins import Broken, build, discover
from pictura.dialects.base import Dialect
from pictura.providers.base import Provider

GROUP = "test.kinds"
BASE = """
    from abc import ABC, abstractmethod

    class Kind(ABC):
        name = ""
        @abstractmethod
        def work(self): ...

    class Good(Kind):
        def work(self): ...
"""

Write = Callable[[str, str], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes modules of packages that exist for one test."""
    before = set(sys.modules)

    def write(path: str, text: str) -> None:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text))

    write("kinds/__init__.py", "")
    write("kinds/base.py", BASE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


def install(write: Write, entry_points: str) -> None:
    """A distribution as pip would leave it."""
    write("strangers-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: strangers\nVersion: 1\n")
    write("strangers-1.dist-info/entry_points.txt", f"[{GROUP}]\n{entry_points}")


def found() -> tuple[list[str], list[Broken]]:
    from kinds.base import Kind  # type: ignore[import-not-found]

    classes, broken = discover("kinds", GROUP, Kind)
    assert all(name == cls.name for name, cls in classes.items())
    return sorted(classes), broken


def test_modules_of_the_package_are_found(write: Write) -> None:
    write("kinds/one.py", "from kinds.base import Good\nclass One(Good): name = 'one'\nclass Two(Good): name = 'two'")
    assert found() == (["one", "two"], [])


def test_bases_imports_and_nameless_classes_are_none(write: Write) -> None:
    write("kinds/one.py", "from kinds.base import Good\nclass One(Good): name = 'one'\nclass Part(Good): pass")
    write("kinds/two.py", "from kinds.one import One\nclass Heir(One): pass")
    write("kinds/_three.py", "from kinds.base import Good\nclass Three(Good): name = 'three'")
    write("kinds/four.py", "from kinds.base import Kind\nclass Four(Kind): name = 'four'")
    assert found() == (["one"], [])


def test_a_module_of_ours_that_fails_is_our_fault(write: Write) -> None:
    write("kinds/one.py", "import no_such_module")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        found()


def test_a_strangers_class_is_found(write: Write) -> None:
    write("strange.py", "from kinds.base import Good\nclass Strange(Good): name = 'strange'")
    install(write, "strange = strange:Strange")
    assert found() == (["strange"], [])


@pytest.mark.parametrize(
    ("module", "why"),
    [
        ("raise ValueError('no luck')", "ValueError: no luck"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("Strange = 3", "TypeError: 3 is not a subclass of Kind"),
        ("class Strange: name = 'x'", "is not a subclass of Kind"),
        ("from kinds.base import Good\nclass Strange(Good): pass", "has no name"),
        ("from kinds.base import Good\nclass Strange(Good): name = 3", "has no name"),
        ("from kinds.base import Kind\nclass Strange(Kind): name = 'x'", "lacks work"),
        ("from kinds.base import Good\nclass Strange(Good): name = 'one'", "the name 'one' is taken by kinds.one"),
        ("Other = 1", "AttributeError"),
    ],
)
def test_a_strangers_broken_class_is_reported_and_skipped(write: Write, module: str, why: str) -> None:
    write("kinds/one.py", "from kinds.base import Good\nclass One(Good): name = 'one'")
    write("strange.py", module)
    write("sound.py", "from kinds.base import Good\nclass Sound(Good): name = 'sound'")
    install(write, "a = strange:Strange\nb = sound:Sound")
    names, (broken,) = found()
    assert names == ["one", "sound"]
    assert broken.where == "a (strange:Strange)"
    assert why in broken.why


class Fails:
    def __init__(self) -> None:
        raise ValueError("no luck")


def test_what_a_strangers_class_does_when_it_is_made_is_reported_and_skipped() -> None:
    classes: dict[str, type[object]] = {"sound": dict, "strange": Fails}
    made, broken = build(classes, lambda cls: cls())
    assert made == {"sound": {}}
    assert broken == [Broken("strange (tests.core.test_plugins:Fails)", "ValueError: no luck")]


def test_a_class_of_ours_that_cannot_be_made_is_our_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fails, "__module__", "pictura.providers.fails")
    with pytest.raises(ValueError, match="no luck"):
        build({"ours": Fails}, lambda cls: cls())


@pytest.mark.parametrize(
    ("package", "kind", "one"),
    [("pictura.providers", Provider, "openai"), ("pictura.dialects", Dialect, "openai")],
)
def test_our_own_are_all_sound(package: str, kind: type[object], one: str) -> None:
    classes: dict[str, type[object]]
    classes, broken = discover(package, package, kind)
    assert not broken
    assert isinstance(classes[one](), kind)
    assert all(isinstance(cls(), kind) for cls in classes.values())
