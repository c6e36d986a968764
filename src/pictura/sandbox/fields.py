"""Reading a vendor's request strictly: each field is taken out as it is checked, and what remains is unknown to it.

    fields = Fields(await visit.json()[0])
    prompt = fields.text("prompt", most_chars=800, required=True)
    parameters = fields.inside("parameters")
    fields.refuse_rest()

What is wrong is a `Wrong`, in plain words; each simulator tells it in its vendor's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pictura.core.errors import BadRequest

Why = Literal["missing", "type", "value", "range", "length", "unknown"]

_KINDS = {
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    list: "an array",
    dict: "an object",
}


class Wrong(BadRequest):
    """`param`: the field by its whole path (`parameters.n`); `why`: what is wrong with it."""

    def __init__(self, param: str, why: Why, message: str) -> None:
        super().__init__(message, param=param)
        self.field = param
        self.why = why


class Fields:
    """The fields of an object; `path` is where it stands in the body. null is as good as absent."""

    def __init__(self, values: Mapping[str, object], path: str = "") -> None:
        self._values = {name: value for name, value in values.items() if value is not None}
        self._path = path

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def where(self, name: str) -> str:
        return f"{self._path}{name}"

    def take(self, name: str, kind: type, *, required: bool = False) -> object:
        """The field's value, None where it is absent. A `float` may be written as an integer."""
        value = self._values.pop(name, None)
        if value is None:
            if required:
                raise Wrong(self.where(name), "missing", f"{self.where(name)} is required")
            return None
        fits = type(value) is kind or (kind is float and type(value) is int)
        if not fits:
            raise Wrong(self.where(name), "type", f"{self.where(name)} must be {_KINDS[kind]}")
        return value

    def text(self, name: str, *, most_chars: int = 100_000, required: bool = False) -> str:
        """ "" where it is absent; a required one is not empty."""
        value = str(self.take(name, str, required=required) or "")
        if required and not value.strip():
            raise Wrong(self.where(name), "missing", f"{self.where(name)} is required")
        if len(value) > most_chars:
            message = f"{self.where(name)} has {len(value)} characters, at most {most_chars} are taken"
            raise Wrong(self.where(name), "length", message)
        return value

    def word(self, name: str, words: Sequence[str], default: str = "") -> str:
        value = str(self.take(name, str) or default)
        if value and value not in words:
            raise Wrong(self.where(name), "value", f"{self.where(name)} must be one of {', '.join(words)}")
        return value

    def whole(self, name: str, low: int, high: int, *, required: bool = False) -> int | None:
        value = self.take(name, int, required=required)
        return None if value is None else int(self._within(name, value, low, high))

    def number(self, name: str, low: float, high: float) -> float | None:
        value = self.take(name, float)
        return None if value is None else self._within(name, value, low, high)

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.take(name, bool)
        return default if value is None else bool(value)

    def inside(self, name: str, *, required: bool = False) -> Fields:
        """The fields of an object among the fields; call its `refuse_rest` too."""
        value = self.take(name, dict, required=required)
        return Fields(value if isinstance(value, dict) else {}, f"{self.where(name)}.")

    def list(self, name: str, *, least: int = 0, most: int = 100) -> Sequence[object]:
        value = self.take(name, list, required=least > 0)
        found = value if isinstance(value, list) else []
        if not least <= len(found) <= most:
            message = f"{self.where(name)} must hold {least} to {most} entries, not {len(found)}"
            raise Wrong(self.where(name), "length", message)
        return found

    def objects(self, name: str, *, least: int = 0, most: int = 100) -> Sequence[Fields]:
        """The entries of a list of objects, each with its fields."""
        entries = self.list(name, least=least, most=most)
        found = []
        for place, entry in enumerate(entries):
            where = f"{self.where(name)}[{place}]"
            if not isinstance(entry, dict):
                raise Wrong(where, "type", f"{where} must be an object")
            found.append(Fields(entry, f"{where}."))
        return found

    def anything(self, name: str) -> object:
        """A field of whatever kind, None where it is absent."""
        return self._values.pop(name, None)

    def refuse_rest(self) -> None:
        for name in self._values:
            raise Wrong(self.where(name), "unknown", f"{self.where(name)} is not a known field")

    def _within(self, name: str, value: object, low: float, high: float) -> float:
        assert isinstance(value, int | float)
        if not low <= value <= high:
            message = f"{self.where(name)} must be from {low:g} to {high:g}, not {value:g}"
            raise Wrong(self.where(name), "range", message)
        return value
