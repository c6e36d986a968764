"""URLs of pictures: what they begin with, how long they are good, and that nobody else can make one."""

from __future__ import annotations

import time
from urllib.parse import parse_qs, urlsplit

import pytest

from pictura.core.errors import NotFound
from pictura.doors.links import Links
from pictura.infra.config import ServerSettings, Settings, StorageSettings
from pictura.infra.crypto import Vault

KEY = "out/2026-11-20/job_01m7wg65xyye7ape3qv3q4bcsv-0-0.webp"
SERVER = ("192.0.2.1", 4000)
VAULT = Vault(b"the secret of the tests")


def links(public_url: str = "", ttl_hours: float = 24, vault: Vault = VAULT) -> Links:
    server = ServerSettings(public_url=public_url, hosts={"Images.example.com": "openai"})
    return Links(vault, Settings(server=server, storage=StorageSettings(url_ttl_hours=ttl_hours)))


def query(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def test_a_signed_link_is_good() -> None:
    url = links().sign("https://img.example.com", KEY)
    assert url.startswith(f"https://img.example.com/files/{KEY}?")
    assert 24 * 3600 - 5 <= links().check(KEY, query(url)) <= 24 * 3600
    assert links().own_key(url) == KEY


def test_a_vendor_is_given_a_link_only_where_it_could_fetch_it() -> None:
    assert links().public(KEY) == ""
    url = links(public_url="https://img.example.com").public(KEY)
    assert url.startswith(f"https://img.example.com/files/{KEY}?")
    assert links().own_key(url) == KEY


@pytest.mark.parametrize("base", ["http://127.0.0.1:4000", "https://another.example", "http://[::1]:1"])
def test_a_link_is_known_again_under_any_base(base: str) -> None:
    url = links().sign("https://img.example.com", KEY)
    assert links().own_key(url.replace("https://img.example.com", base)) == KEY


@pytest.mark.parametrize("base", ["http://127.0.0.1:4000", "https://IMAGES.example.com", "https://img.example.com:1"])
def test_a_bad_link_under_a_host_of_this_house(base: str) -> None:
    known = links(public_url="https://img.example.com")
    with pytest.raises(NotFound, match="has expired"):
        known.own_key(links(ttl_hours=-1).sign(base, KEY))
    with pytest.raises(NotFound, match="not one of this house's"):
        known.own_key(f"{base}/files/{KEY}?e=99999999999&s=AAAA")
    assert known.own_key(f"{base}/files/{KEY}") == ""


@pytest.mark.parametrize(
    "url",
    [
        "https://img.example.com/other/x.png",
        f"https://img.example.com/files/{KEY}",
        f"https://img.example.com/files/{KEY}?e=99999999999&s=AAAA",
        f"https://img.example.com/files/{KEY}?e=&s=",
        "http://[::1/files/x",
        "",
    ],
)
def test_what_is_not_this_house_s(url: str) -> None:
    assert links().own_key(url) == ""


def test_another_secret_makes_another_house() -> None:
    url = links(vault=Vault(b"the secret of somebody else")).sign("https://img.example.com", KEY)
    assert links().own_key(url) == ""


def test_replicas_that_share_a_secret_know_each_other_s_links() -> None:
    url = links(public_url="https://a.example").sign("https://a.example", KEY)
    assert links(public_url="https://b.example", vault=Vault(b"the secret of the tests")).own_key(url) == KEY


def test_an_expired_link() -> None:
    url = links(ttl_hours=-1).sign("https://img.example.com", KEY)
    with pytest.raises(NotFound, match="expired"):
        links().check(KEY, query(url))
    assert links().own_key(url) == ""


def test_a_link_s_life_is_the_settings() -> None:
    url = links(ttl_hours=0.5).sign("", KEY)
    assert 1790 <= int(query(url)["e"]) - time.time() <= 1801


@pytest.mark.parametrize(
    "change",
    [
        {"e": "1"},
        {"e": "0x10"},
        {"e": "٣"},
        {"e": "²"},
        {"e": "9" * 13},
        {"e": ""},
        {"s": ""},
        {"s": "é"},
        {"s": "A"},
    ],
    ids=str,
)
def test_a_changed_link(change: dict[str, str]) -> None:
    told = query(links().sign("", KEY)) | change
    with pytest.raises(NotFound):
        links().check(KEY, told)


def test_the_signature_is_of_this_file() -> None:
    told = query(links().sign("", KEY))
    with pytest.raises(NotFound):
        links().check(KEY.replace("0-0", "0-1"), told)


@pytest.mark.parametrize(
    ("scheme", "host", "base"),
    [
        ("http", "localhost:4000", "http://localhost:4000"),
        ("http", "LOCALHOST", "http://LOCALHOST"),
        ("http", "127.0.0.1:4000", "http://127.0.0.1:4000"),
        ("https", "[::1]:8443", "https://[::1]:8443"),
        ("http", "[::1]", "http://[::1]"),
        ("https", "images.example.com", "https://images.example.com"),
        ("https", "Images.Example.com:8443", "https://Images.Example.com:8443"),
        ("https", "api.imagerouter.io", "https://api.imagerouter.io"),
        ("http", "evil.example", "http://192.0.2.1:4000"),
        ("http", "evil.example:80", "http://192.0.2.1:4000"),
        ("http", "", "http://192.0.2.1:4000"),
        ("http", "images.example.com.evil.example", "http://192.0.2.1:4000"),
        ("http", "127.0.0.1@evil.example", "http://192.0.2.1:4000"),
        ("http", "evil.example/127.0.0.1", "http://192.0.2.1:4000"),
        ("http", "127.0.0.1:80@evil.example", "http://192.0.2.1:4000"),
        ("http", "localhost:80/@evil.example", "http://192.0.2.1:4000"),
    ],
)
def test_what_a_url_begins_with(scheme: str, host: str, base: str) -> None:
    """A Host header is repeated only where it is known: whoever sends it chooses it."""
    known = links()
    known.know(["API.imagerouter.io"])
    assert known.base(scheme, host, SERVER) == base


def test_a_server_at_an_ipv6_address() -> None:
    assert links().base("http", "", ("::1", 4000)) == "http://[::1]:4000"


def test_the_public_url_counts_most() -> None:
    assert links("https://img.example.com/").base("http", "localhost:4000", SERVER) == "https://img.example.com"
