"""Who comes, from where and with which key; what a log may show of it."""

from __future__ import annotations

import re

import pytest
from starlette.types import Scope

from pictura.core.errors import BadRequest
from pictura.doors.http.visit import Visit, networks

TRUSTED = networks(["10.0.0.0/8", "fd00::/8"])


def visit(peer: str = "203.0.113.9", query: str = "", path: str = "/v1/images/generations", **headers: str) -> Visit:
    """Underscores in header names stand for hyphens."""
    scope: Scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": query.encode("latin-1"),
        "headers": [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()],
        "client": (peer, 50_000) if peer else None,
        "server": ("192.0.2.1", 4000),
        "scheme": "http",
    }
    return Visit(scope, TRUSTED)


FORWARDED = {"x_forwarded_for": "198.51.100.7", "x_forwarded_proto": "https", "x_forwarded_host": "img.example.com"}


def test_a_stranger_s_forwarded_headers_are_not_believed() -> None:
    seen = visit(host="pictura.example", **FORWARDED)
    assert (seen.host, seen.scheme, seen.address) == ("pictura.example", "http", "203.0.113.9")


@pytest.mark.parametrize("peer", ["10.1.2.3", "fd00::1"])
def test_a_trusted_proxy_s_are(peer: str) -> None:
    seen = visit(peer, host="10.0.0.1", **FORWARDED)
    assert (seen.host, seen.scheme, seen.address) == ("img.example.com", "https", "198.51.100.7")


@pytest.mark.parametrize(
    ("chain", "address"),
    [
        ("1.1.1.1, 198.51.100.7", "198.51.100.7"),
        ("1.1.1.1, 198.51.100.7, 10.9.9.9", "198.51.100.7"),
        ("10.0.0.5, 198.51.100.7, 10.9.9.9, 10.8.8.8", "198.51.100.7"),
        ("10.0.0.5, 10.9.9.9", "10.0.0.5"),
        ("", "10.1.2.3"),
        (" , ", "10.1.2.3"),
        ("not an address", "not an address"),
    ],
)
def test_in_a_chain_the_nearest_that_is_not_trusted_counts(chain: str, address: str) -> None:
    """A client may write into this header what it likes: only what trusted proxies added is looked at."""
    assert visit("10.1.2.3", x_forwarded_for=chain).address == address


@pytest.mark.parametrize(("told", "scheme"), [("https", "https"), ("https, http", "https"), ("javascript", "http")])
def test_schemes(told: str, scheme: str) -> None:
    assert visit("10.1.2.3", x_forwarded_proto=told).scheme == scheme


def test_a_peer_without_an_address() -> None:
    """A Unix socket."""
    assert visit("", x_forwarded_for="1.1.1.1").address == ""


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"authorization": "Bearer sk-1"}, ""),
        ({"authorization": "bearer   sk-1 "}, ""),
        ({"authorization": "sk-1"}, ""),
        ({"x_api_key": "sk-1"}, ""),
        ({"x_goog_api_key": " sk-1 "}, ""),
        ({"api_key": "sk-1"}, ""),
        ({}, "alt=sse&key=sk-1"),
        ({"authorization": "Bearer sk-1", "x_api_key": "sk-2"}, "key=sk-3"),
        ({"x_api_key": "sk-1"}, "key=sk-3"),
    ],
    ids=str,
)
def test_where_a_key_is_carried(headers: dict[str, str], query: str) -> None:
    assert visit(query=query, **headers).key == "sk-1"


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer ", "Basic c2stMQ=="])
def test_no_key(authorization: str) -> None:
    assert visit(authorization=authorization).key == ""


@pytest.mark.parametrize("text", ["Bearer sk-\xe9", "Bearer sk\x07", "Bearer sk-1\tsk-2"])
def test_what_no_key_holds(text: str) -> None:
    with pytest.raises(BadRequest):
        _ = visit(authorization=text).key


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("", ""),
        ("key=sk-1&alt=sse", "?key=***&alt=sse"),
        ("s=abc&e=17", "?s=***&e=17"),
        ("api_key=1&Token=2&ACCESS_KEY=3&a_secret=4", "?api_key=***&Token=***&ACCESS_KEY=***&a_secret=***"),
        ("name=a%20b&size=auto", "?name=a+b&size=auto"),
        ("name=a%0d%0aFAKE%20LINE", "?name=a%0D%0AFAKE+LINE"),
    ],
)
def test_what_a_log_shows(query: str, shown: str) -> None:
    assert visit(query=query).shown_target() == f"/v1/images/generations{shown}"


def test_a_path_stays_on_its_line() -> None:
    shown = visit(path="/v1/models/狐\r\nFAKE LINE\x00\udcff").shown_target()
    assert shown.isascii() and shown.isprintable() and " " not in shown


def test_ids_are_new_and_sort_by_time() -> None:
    ids = [visit().id for _ in range(3)]
    assert len(set(ids)) == 3
    assert all(re.fullmatch(r"req_[0-9a-z]{26}", found) for found in ids)


def test_networks() -> None:
    assert [str(network) for network in networks(["10.0.0.1/8", "192.0.2.7"])] == ["10.0.0.0/8", "192.0.2.7/32"]
    with pytest.raises(BadRequest, match=r"trusted_proxies: '10\.0\.0' is no network"):
        networks(["10.0.0"])
