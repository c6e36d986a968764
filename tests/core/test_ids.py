"""Identifiers: ours sort by time, others' are checked."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pictura.core import ids
from pictura.core.errors import BadRequest


def test_an_id_has_its_prefix_and_26_characters() -> None:
    made = ids.new("job")
    assert made.startswith("job_")
    assert len(made) == 30
    assert not set(made.removeprefix("job_")) - set("0123456789abcdefghjkmnpqrstvwxyz")


def test_ids_differ() -> None:
    assert len({ids.new("job") for _ in range(1000)}) == 1000


def test_an_id_knows_its_birthday(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_795_000_000_999_000_000)
    assert ids.born_s(ids.new("job")) == 1_795_000_000
    assert ids.born_s(ids.at(1_795_000_000.5, "job")) == 1_795_000_000


@pytest.mark.parametrize("other", ["", "job_", "job_0", "abc", "img_short", "UPPERCASEID", "chatcmpl-Aa0123456789"])
def test_other_ids_have_no_birthday(other: str) -> None:
    assert ids.born_s(other) == 0


@given(st.integers(0, 2**47), st.integers(0, 2**37))
def test_ids_sort_by_time(born_ms: int, moment_s: int) -> None:
    patch = pytest.MonkeyPatch()
    with patch.context() as patched:
        patched.setattr(time, "time_ns", lambda: born_ms * 1_000_000)
        made = ids.new("job")
    assert (ids.at(moment_s, "job") < made) == (moment_s * 1000 <= born_ms)


@pytest.mark.parametrize("good", ["gpt-image-2", "vendor/Name:free", "画像", "a", "x" * 200])
def test_what_may_be_an_id(good: str) -> None:
    assert ids.check(good, "model") == good


@pytest.mark.parametrize(
    "bad",
    ["", "x" * 201, "two words", "line\n", "nul\0", "\x7f", "\x85", "no\u00a0break", "\u2028", "\u202e", "\ud800"],
)
def test_what_may_not_be_an_id(bad: str) -> None:
    with pytest.raises(BadRequest, match="model must be 1 to 200 printable characters") as caught:
        ids.check(bad, "model")
    assert caught.value.param == "model"
