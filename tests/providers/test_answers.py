from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from pictura.core.request import mark
from pictura.infra.extract import Cut
from pictura.infra.spool import Spool
from pictura.providers.answers import MESSAGE_CHARS, close_unused, items, mapping, picture, said
from pictura.providers.base import Channel, Raw


@pytest.fixture
def channel(connect: Callable[[str], Channel]) -> Channel:
    secrets = {"access_key": "AKLT-1", "secret_key": "AKLT-1-and-more", "session": ""}
    return msgspec.structs.replace(connect("http://127.0.0.1:1"), secrets=secrets)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("No  such\n\tmodel.", "No such model."),
        ("AKLT-1 and AKLT-1-and-more are wrong", "*** and *** are wrong"),
        ("You wrote sk-proj-********wxyz, a task-force", "You wrote ***, a task-force"),
        ("x" * 2 * MESSAGE_CHARS, "x" * MESSAGE_CHARS),
        ("", "the provider gave no reason"),
        (["No."], "the provider gave no reason"),
        (None, "the provider gave no reason"),
    ],
)
def test_what_a_vendor_said_is_fit_to_be_passed_on(message: object, told: str, channel: Channel) -> None:
    assert said(message, channel) == told


def test_other_json_than_expected_is_empty() -> None:
    assert mapping({"a": 1}) == {"a": 1}
    assert mapping([1]) == mapping(None) == {}
    assert items([{"a": 1}, "b", None]) == [{"a": 1}]
    assert items({"a": 1}) == items(None) == []


def test_the_first_value_that_stands_for_a_picture(tmp_path: Path) -> None:
    cuts = [Cut(Spool(tmp_path), "b64_json"), Cut(Spool(tmp_path), "url", flaw="odd")]
    url = "https://files.example.com/1.png"
    assert picture([None, "", mark(1), url], cuts) == Raw(spool=cuts[1].spool, flaw="odd")
    assert picture([url, mark(0)], cuts) == Raw(url=url)
    assert picture(["ftp://files.example.com/1.png", "pictura-cut:7", 5], cuts) is None
    close_unused(cuts, [])


def test_unused_pictures_are_closed_and_used_ones_are_not(tmp_path: Path) -> None:
    used, unused = Cut(Spool(tmp_path), ""), Cut(Spool(tmp_path), "")
    close_unused([used, unused], [Raw(spool=used.spool), Raw(url="https://files.example.com/1.png")])
    assert used.spool.read() == b""
    with pytest.raises(ValueError, match="closed"):
        unused.spool.read(0, 1)
    used.spool.close()
