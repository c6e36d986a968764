from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from pictura.core.errors import BadRequest, Failed, Lost, Malformed, PicturaError
from pictura.core.request import mark
from pictura.infra.extract import Cut
from pictura.infra.http import Answer
from pictura.infra.spool import Spool
from pictura.providers.answers import (
    ID_CHARS,
    MESSAGE_CHARS,
    WORD_CHARS,
    close_unused,
    closed_on_error,
    code_of,
    document_of,
    items,
    kept_url,
    mapping,
    picture,
    question,
    readable,
    said,
    task_id,
    whole,
    word,
)
from pictura.providers.base import Channel, Raw
from tests.providers.conftest import Connect


@pytest.fixture
def channel(connect: Connect) -> Channel:
    secrets = {"access_key": "AKLT-1", "secret_key": "AKLT-1-and-more", "session": ""}
    return msgspec.structs.replace(connect("http://127.0.0.1:1"), secrets=secrets)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("No  such\n\tmodel.", "No such model."),
        ("AKLT-1 and AKLT-1-and-more are wrong", "*** and *** are wrong"),
        ("You wrote sk-proj-********wxyz, a task-force", "You wrote ***, a task-force"),
        ("\x1b[31mNo\0such\x85model.", "[31mNo such model."),
        ("x" * 2 * MESSAGE_CHARS, "x" * MESSAGE_CHARS),
        ("", "the provider gave no reason"),
        (["No."], "the provider gave no reason"),
        (None, "the provider gave no reason"),
    ],
)
def test_what_a_vendor_said_is_fit_to_be_passed_on(message: object, told: str, channel: Channel) -> None:
    assert said(message, channel) == told


def test_words_and_codes() -> None:
    assert word("content_filter") == code_of("content_filter") == "content_filter"
    assert (word(1301), code_of(1301)) == ("", "1301")
    for value in (None, True, ["a"], "a\nb", "a" * (WORD_CHARS + 1), 10**WORD_CHARS):
        assert word(value) == code_of(value) == ""


@pytest.mark.parametrize("value", [None, 7, ["a"], "", ".", "..", " . ", "a\nb", "a\0", "a" * (ID_CHARS + 1)])
def test_what_is_no_id_of_a_task(value: object) -> None:
    assert task_id(value) == ""


def test_an_id_of_a_task_is_left_as_it_is() -> None:
    assert task_id("../a?b#é") == "../a?b#é"


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("http://127.0.0.1:1/tasks/1?a=https://b.test/", "/tasks/1?a=https://b.test/"),
        ("https://eu.vendor.test/tasks/1", "https://eu.vendor.test/tasks/1"),
        ("http://eu.vendor.test/tasks/1", ""),
        ("https://vendor.test.evil.test/tasks/1", ""),
        ("https://eu.vendor.test@evil.test/tasks/1", ""),
        ("http://127.0.0.1:10/tasks/1", ""),
        ("http://127.0.0.1:1@evil.test/", ""),
        ("http://127.0.0.1:1/a/../b", ""),
        ("https://eu.vendor.test/a/%2E%2e/b", ""),
        ("https://eu.vendor.test/ \n", ""),
        (f"https://eu.vendor.test/{'a' * ID_CHARS}", ""),
        ("https://[::1", ""),
        ("/tasks/1", ""),
        (["https://eu.vendor.test/"], ""),
        (None, ""),
    ],
)
def test_a_url_is_asked_later_only_where_the_vendor_is(url: object, kept: str, channel: Channel) -> None:
    assert kept_url(url, channel, lambda host: host.endswith(".vendor.test")) == kept


def test_a_seed_is_a_whole_number() -> None:
    assert [whole(value) for value in (7, 2**70, True, 7.0, "7", None)] == [7, 2**70, None, None, None, None]


@pytest.mark.parametrize(
    ("raised", "told"), [(BadRequest("No."), Lost), (Malformed("No."), Lost), (Failed("No."), Failed)]
)
def test_a_question_that_failed_is_put_again(raised: PicturaError, told: type[PicturaError]) -> None:
    with pytest.raises(told, match="No"), question(Answer(status=400, headers={}, url="")):
        raise raised


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


@pytest.mark.parametrize(
    ("seed", "prompt", "told"), [(7, "a red fox", (7, "a red fox")), (True, None, (None, "")), ("7", 7, (None, ""))]
)
def test_what_is_said_of_a_picture(seed: object, prompt: object, told: tuple[int | None, str]) -> None:
    raw = picture(["https://files.example.com/1.png"], seed=seed, revised_prompt=prompt)
    assert raw is not None and (raw.seed, raw.revised_prompt) == told


def answered(body: bytes, status: int = 200, spool: Spool | None = None) -> Answer:
    return Answer(status=status, headers={}, url="https://api.example.com/", body=body, spool=spool)


def test_a_document_or_none() -> None:
    assert document_of(answered(b'{"a":1}')) == readable(answered(b'{"a":1}', 500)) == {"a": 1}
    assert document_of(answered(b"<html>")) == document_of(answered(b"[]")) == {}
    with pytest.raises(Malformed):
        readable(answered(b"<html>"))
    with pytest.raises(Lost):
        readable(answered(b"<html>", 502))


def test_what_came_with_an_error_is_forgotten(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with closed_on_error(answered(b"", spool=spool)):
        pass
    assert spool.read() == b""
    with pytest.raises(KeyError), closed_on_error(answered(b"", spool=spool)):
        raise KeyError
    with pytest.raises(ValueError, match="closed"):
        spool.read(0, 1)


def test_unused_pictures_are_closed_and_used_ones_are_not(tmp_path: Path) -> None:
    used, unused = Cut(Spool(tmp_path), ""), Cut(Spool(tmp_path), "")
    close_unused([used, unused], [Raw(spool=used.spool), Raw(url="https://files.example.com/1.png")])
    assert used.spool.read() == b""
    with pytest.raises(ValueError, match="closed"):
        unused.spool.read(0, 1)
    used.spool.close()
