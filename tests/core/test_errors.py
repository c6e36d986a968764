"""The tree of errors: as it is drawn, and what each says about blame, retries and money."""

from __future__ import annotations

import inspect
import re

import pytest

from pictura.core import errors
from pictura.core.errors import (
    CallerError,
    CapReached,
    Failed,
    HouseError,
    InsufficientBalance,
    Lost,
    Malformed,
    NotSent,
    PicturaError,
    RateLimited,
    Refused,
    Rejected,
    RetiredModel,
    Throttled,
    Unsupported,
    UpstreamError,
)

ALL = [cls for cls in vars(errors).values() if inspect.isclass(cls) and issubclass(cls, PicturaError)]


def drawn() -> dict[str, str]:
    """Class → parent, as the drawing at the top of the file has it."""
    parents: dict[str, str] = {}
    above: dict[int, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^    ([│ ]*(?:[├└]─ )?)([A-Z][A-Za-z]+)\b", line)
        if found:
            depth = len(found[1])
            above[depth] = found[2]
            if depth:
                parents[found[2]] = above[max(level for level in above if level < depth)]
                above = {level: name for level, name in above.items() if level <= depth}
    return parents


def test_the_tree_is_as_drawn() -> None:
    parents = drawn()
    assert len(parents) > 15
    for name, parent in parents.items():
        assert getattr(errors, name).__bases__ == (getattr(errors, parent),)


def test_every_error_has_a_word_of_its_own() -> None:
    codes = [cls.code for cls in ALL]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("cls", ALL)
def test_blame_is_told_by_the_status(cls: type[PicturaError]) -> None:
    if issubclass(cls, CallerError):
        assert 400 <= cls.status < 500
    elif issubclass(cls, HouseError):
        assert cls.status == 500
    elif cls is not Throttled:
        assert cls.status >= 500


@pytest.mark.parametrize("cls", ALL)
def test_whoever_may_have_billed_is_not_replaced(cls: type[PicturaError]) -> None:
    assert not (cls.safe_elsewhere and cls.possibly_billed)


def test_who_may_be_asked_instead() -> None:
    assert {cls for cls in ALL if cls.safe_elsewhere} == {NotSent, Rejected, Throttled}
    assert {cls for cls in ALL if cls.possibly_billed} == {Failed, Lost, Malformed}


def test_a_provider_can_vouch_that_nobody_was_billed() -> None:
    error = Failed("no", unbilled=True)
    assert error.safe_elsewhere
    assert not error.possibly_billed
    assert not Failed.safe_elsewhere
    assert Failed.possibly_billed


def test_a_refusal_may_be_billed_but_is_never_taken_elsewhere() -> None:
    assert Refused("no", billed=True).possibly_billed
    assert not Refused("no").possibly_billed
    assert not Refused("no").safe_elsewhere


def test_what_errors_carry() -> None:
    assert Unsupported("no", param="size", allowed=["a"]).allowed == ("a",)
    assert RateLimited("slow", retry_after_s=0).retry_after_s == 1
    assert RetiredModel("gone", successor="next").param == "model"
    short = CapReached("no", needed=2, available=1)
    assert isinstance(short, InsufficientBalance)
    assert (short.needed, short.available) == (2, 1)
    upstream = UpstreamError("no", upstream_status=503, upstream_code="x", retry_after_s=7, config=True)
    assert (upstream.upstream_status, upstream.upstream_code, upstream.retry_after_s) == (503, "x", 7)
    assert upstream.config
    assert str(upstream) == upstream.message == "no"
