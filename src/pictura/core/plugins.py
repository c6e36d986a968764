"""Finding plug-ins: modules of a package of ours, and entry points of anybody's. The only registration there is."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import TypeVar

import msgspec

Kind = TypeVar("Kind")
Made = TypeVar("Made")


class Broken(msgspec.Struct, frozen=True):
    """A plug-in that could not be loaded; `pictura doctor` tells of it, everything else goes on without it."""

    where: str
    why: str


def discover(package: str, group: str, kind: type[Kind]) -> tuple[dict[str, type[Kind]], list[Broken]]:
    """All concrete subclasses of `kind` with a `name`, by name: first those in `package`, then entry points `group`.

    A module of ours that fails is our fault and raises; a third party's is reported and skipped.
    """
    found: dict[str, type[Kind]] = {}
    broken: list[Broken] = []
    root = importlib.import_module(package)
    for module in pkgutil.iter_modules(root.__path__):
        if not module.name.startswith("_"):
            _collect(importlib.import_module(f"{package}.{module.name}"), kind, found)
    for point in entry_points(group=group):
        try:
            loaded = point.load()
            found[_free_name(loaded, kind, found)] = loaded
        except (Exception, SystemExit) as error:  # whatever a stranger's module does, the house stands
            broken.append(Broken(f"{point.name} ({point.value})", _told(error)))
    return found, broken


def build(
    classes: Mapping[str, type[Kind]], make: Callable[[type[Kind]], Made]
) -> tuple[dict[str, Made], list[Broken]]:
    """What `make` gives for each class, by name. Where it fails for one of ours it raises; a stranger's is skipped."""
    made: dict[str, Made] = {}
    broken: list[Broken] = []
    for name, cls in classes.items():
        try:
            made[name] = make(cls)
        except (Exception, SystemExit) as error:
            if cls.__module__.startswith("pictura."):
                raise
            broken.append(Broken(f"{name} ({cls.__module__}:{cls.__qualname__})", _told(error)))
    return made, broken


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _collect(module: object, kind: type[Kind], found: dict[str, type[Kind]]) -> None:
    for member in vars(module).values():
        own = inspect.isclass(member) and member.__module__ == getattr(module, "__name__", "")
        if own and issubclass(member, kind) and not inspect.isabstract(member) and vars(member).get("name"):
            found[_name_of(member, kind)] = member


def _free_name(candidate: object, kind: type[Kind], found: dict[str, type[Kind]]) -> str:
    """A stranger's name. One that is taken would be handed the keys that were meant for its owner."""
    name = _name_of(candidate, kind)
    if inspect.isabstract(candidate):
        raise TypeError(f"{candidate!r} lacks {', '.join(sorted(getattr(candidate, '__abstractmethods__', ())))}")
    if name in found:
        raise ValueError(f"the name {name!r} is taken by {found[name].__module__}")
    return name


def _name_of(candidate: object, kind: type[Kind]) -> str:
    if not (inspect.isclass(candidate) and issubclass(candidate, kind)):
        raise TypeError(f"{candidate!r} is not a subclass of {kind.__name__}")
    name = getattr(candidate, "name", "")
    if not isinstance(name, str) or not name:
        raise TypeError(f"{candidate!r} has no name")
    return name
