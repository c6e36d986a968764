from __future__ import annotations

from collections.abc import Callable

import pytest

from pictura.sandbox.fields import Fields, Why, Wrong

Read = Callable[[Fields], object]


@pytest.mark.parametrize(
    ("values", "read", "found"),
    [
        ({"a": "x"}, lambda fields: fields.text("a"), "x"),
        ({}, lambda fields: fields.text("a"), ""),
        ({"a": None}, lambda fields: fields.text("a"), ""),
        ({"a": "low"}, lambda fields: fields.word("a", ("low", "high")), "low"),
        ({}, lambda fields: fields.word("a", ("low", "high"), "high"), "high"),
        ({"a": 3}, lambda fields: fields.whole("a", 1, 3), 3),
        ({}, lambda fields: fields.whole("a", 1, 3), None),
        ({"a": 1}, lambda fields: fields.number("a", 0.5, 1.5), 1),
        ({"a": 0.5}, lambda fields: fields.number("a", 0.5, 1.5), 0.5),
        ({"a": True}, lambda fields: fields.flag("a"), True),
        ({}, lambda fields: fields.flag("a", default=True), True),
        ({"a": {"b": 1}}, lambda fields: fields.inside("a").whole("b", 0, 1), 1),
        ({}, lambda fields: "b" in fields.inside("a"), False),
        ({"a": [1, "x"]}, lambda fields: fields.list("a"), [1, "x"]),
        ({}, lambda fields: fields.list("a"), []),
        ({"a": [{"b": "x"}]}, lambda fields: [entry.text("b") for entry in fields.objects("a")], ["x"]),
        ({"a": [1]}, lambda fields: fields.anything("a"), [1]),
        ({"a": 1, "b": None}, lambda fields: ("a" in fields, "b" in fields), (True, False)),
    ],
)
def test_what_is_read(values: dict[str, object], read: Read, found: object) -> None:
    assert read(Fields(values)) == found


@pytest.mark.parametrize(
    ("values", "read", "param", "why", "says"),
    [
        ({}, lambda fields: fields.text("a", required=True), "a", "missing", "required"),
        ({"a": " \n"}, lambda fields: fields.text("a", required=True), "a", "missing", "required"),
        ({"a": 1}, lambda fields: fields.text("a"), "a", "type", "a string"),
        ({"a": "xyz"}, lambda fields: fields.text("a", most_chars=2), "a", "length", "3 characters, at most 2"),
        ({"a": "mid"}, lambda fields: fields.word("a", ("low", "high")), "a", "value", "low, high"),
        ({}, lambda fields: fields.whole("a", 1, 3, required=True), "a", "missing", "required"),
        ({"a": True}, lambda fields: fields.whole("a", 0, 3), "a", "type", "an integer"),
        ({"a": 1.0}, lambda fields: fields.whole("a", 0, 3), "a", "type", "an integer"),
        ({"a": 4}, lambda fields: fields.whole("a", 1, 3), "a", "range", "from 1 to 3, not 4"),
        ({"a": "1"}, lambda fields: fields.number("a", 0, 3), "a", "type", "a number"),
        ({"a": -0.1}, lambda fields: fields.number("a", 0, 3), "a", "range", "not -0.1"),
        ({"a": 1}, lambda fields: fields.flag("a"), "a", "type", "a boolean"),
        ({"a": []}, lambda fields: fields.inside("a"), "a", "type", "an object"),
        ({}, lambda fields: fields.inside("a", required=True), "a", "missing", "required"),
        ({"a": {}}, lambda fields: fields.list("a"), "a", "type", "an array"),
        ({"a": [1, 2]}, lambda fields: fields.list("a", most=1), "a", "length", "0 to 1 entries, not 2"),
        ({}, lambda fields: fields.list("a", least=1), "a", "missing", "required"),
        ({"a": [{}, 1]}, lambda fields: fields.objects("a"), "a[1]", "type", "an object"),
    ],
)
def test_what_is_wrong(values: dict[str, object], read: Read, param: str, why: Why, says: str) -> None:
    with pytest.raises(Wrong) as caught:
        read(Fields(values))
    found = caught.value
    assert (found.param, found.field, found.why) == (param, param, why)
    assert param in found.message and says in found.message


def test_a_field_is_named_by_its_whole_path() -> None:
    fields = Fields({"parameters": {"references": [{"weight": 2}]}})
    (entry,) = fields.inside("parameters").objects("references")
    with pytest.raises(Wrong, match=r"parameters\.references\[0\]\.weight"):
        entry.number("weight", 0, 1)


def test_what_remains_is_unknown() -> None:
    fields = Fields({"a": {"b": 1, "c": None}, "d": None})
    inside = fields.inside("a")
    fields.refuse_rest()
    with pytest.raises(Wrong, match=r"a\.b is not a known field") as caught:
        inside.refuse_rest()
    assert caught.value.why == "unknown"
    inside.whole("b", 0, 1)
    inside.refuse_rest()
