"""Pictures by signed URL: whole or in parts, cached, and nothing else on this disk."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from urllib.parse import quote

import msgspec
import pytest
import pytest_asyncio

from tests.doors.door import TEST, Answer, Door, connected, head, look, read_answer

pytestmark = pytest.mark.asyncio(loop_scope="module")

FORMATS = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}


async def drawn_url(door: Door, format: str = "png") -> str:
    fields = {"model": "test/test", "prompt": "a fox", "size": "96x64", "response_format": "url"}
    return (await door.ask({**fields, "output_format": format}, key=TEST)).url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def url(shared_door: Door) -> AsyncIterator[str]:
    yield await drawn_url(shared_door)


def not_found(answer: Answer) -> bool:
    """Told in JSON, with a request id, and of nothing that lies here."""
    error = msgspec.json.decode(answer.body, type=dict[str, dict[str, str]])["error"]
    return (
        answer.status == 404 and error["request_id"] == answer.headers["x-request-id"] and "/" not in error["message"]
    )


@pytest.mark.parametrize("format", FORMATS)
async def test_the_whole(format: str, door: Door) -> None:
    url = await drawn_url(door, format)
    answer = await door.send("GET", url)
    assert (answer.status, answer.headers["content-type"]) == (200, FORMATS[format])
    assert (look(answer.body).type, look(answer.body).width) == (FORMATS[format], 96)
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert answer.headers["x-request-id"].startswith("req_")


async def test_what_goes_with_it(url: str, door: Door) -> None:
    headers = (await door.send("GET", url)).headers
    age = re.fullmatch(r"private, max-age=(\d+), immutable", headers["cache-control"])
    assert age and 24 * 3600 - 60 < int(age[1]) <= 24 * 3600
    assert headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in headers["content-security-policy"]
    assert headers["access-control-allow-origin"] == "*"


async def test_its_head_alone(url: str, door: Door) -> None:
    whole, answer = await door.send("GET", url), await door.send("HEAD", url)
    assert (answer.status, answer.body) == (200, b"")
    for name in ("content-length", "content-type", "etag", "accept-ranges"):
        assert answer.headers[name] == whole.headers[name]


@pytest.mark.parametrize(
    ("asked", "start", "end"), [("bytes=0-9", 0, 10), ("bytes=10-", 10, None), ("bytes=-10", -10, None)]
)
async def test_a_part(asked: str, start: int, end: int | None, url: str, door: Door) -> None:
    whole = (await door.send("GET", url)).body
    answer = await door.send("GET", url, headers={"Range": asked})
    assert (answer.status, answer.body) == (206, whole[start:end])
    first = start % len(whole)
    assert answer.headers["content-range"] == f"bytes {first}-{first + len(answer.body) - 1}/{len(whole)}"


async def test_a_part_that_is_not_there(url: str, door: Door) -> None:
    size = len((await door.send("GET", url)).body)
    answer = await door.send("GET", url, headers={"Range": f"bytes={size}-"})
    assert (answer.status, answer.headers["content-range"]) == (416, f"bytes */{size}")


async def test_a_part_of_something_that_has_changed(url: str, door: Door) -> None:
    """The etag is another: all of it comes."""
    whole = await door.send("GET", url)
    answer = await door.send("GET", url, headers={"Range": "bytes=0-9", "If-Range": '"another"'})
    assert (answer.status, answer.body) == (200, whole.body)
    same = {"Range": "bytes=0-9", "If-Range": whole.headers["etag"]}
    assert (await door.send("GET", url, headers=same)).status == 206


@pytest.mark.parametrize("said", ["{etag}", "W/{etag}", '"other, one", {etag}', 'W/"other",W/{etag}', "*"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_what_the_client_has_already(method: str, said: str, url: str, door: Door) -> None:
    etag = (await door.send("GET", url)).headers["etag"]
    asked = {"If-None-Match": said.format(etag=etag), "Range": "bytes=0-9"}
    answer = await door.send(method, url, headers=asked)
    assert (answer.status, answer.body) == (304, b"")
    assert answer.headers["etag"] == etag
    assert answer.headers["cache-control"].startswith("private, max-age=")
    assert "content-length" not in answer.headers


@pytest.mark.parametrize("said", ['"other"', "etag", "", '"*"'])
async def test_what_the_client_has_not(said: str, url: str, door: Door) -> None:
    whole = await door.send("GET", url)
    answer = await door.send("GET", url, headers={"If-None-Match": said})
    assert (answer.status, answer.body) == (200, whole.body)


async def test_a_picture_that_one_has_is_not_shown_by_a_forged_link(url: str, door: Door) -> None:
    forged = forgeries(url)["a wrong one"]
    assert not_found(await door.send("GET", forged, headers={"If-None-Match": "*"}))


async def test_any_host_and_no_key(url: str, door: Door) -> None:
    for headers in ({"Host": "api.imagerouter.io"}, {"Host": "unknown.example"}, {"Authorization": "Bearer sk-no"}):
        assert (await door.send("GET", url, headers=headers)).status == 200


async def test_only_reading(url: str, door: Door) -> None:
    for method in ("POST", "PUT", "DELETE"):
        assert (await door.send(method, url)).status == 405
    assert (await door.send("GET", url)).status == 200


async def test_an_expired_link(url: str, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    links = door.house.links
    key = url.partition("/files/")[2].partition("?")[0]
    monkeypatch.setattr(links, "_ttl_s", -1)
    answer = await door.send("GET", links.sign(door.url, key))
    assert not_found(answer)
    assert b"has expired" in answer.body


def forgeries(url: str) -> dict[str, str]:
    path, _, query = url.partition("?")
    expires, signature = (pair.partition("=")[2] for pair in query.split("&"))
    other = path[:-5] + ("0" if path[-5] != "0" else "1") + path[-4:]
    return {
        "no signature": path,
        "an empty one": f"{path}?e={expires}&s=",
        "a wrong one": f"{path}?e={expires}&s={signature[:-1]}{'A' if signature[-1] != 'A' else 'B'}",
        "of another file": f"{other}?{query}",
        "good for longer": f"{path}?e={int(expires) + 1}&s={signature}",
        "good for ever": f"{path}?e=999999999999999999999&s={signature}",
        "good for a word": f"{path}?e=tomorrow&s={signature}",
        "in other digits": f"{path}?e={quote('١٢٣')}&s={signature}",
        "not ASCII": f"{path}?e={expires}&s={quote('é')}",
    }


async def test_forged_links(url: str, door: Door) -> None:
    for name, forged in forgeries(url).items():
        assert not_found(await door.send("GET", forged)), name


@pytest.mark.parametrize(
    "key",
    [
        "../secret",
        "../pictura.db",
        "out/2026-11-20/../../../secret",
        "out/../../secret",
        "/etc/passwd",
        "//etc/passwd",
        "out",
        "",
        ".",
        "tmp/spool-1-1",
        "out/2026-11-20/job\0.png",
        "out/2026-11-20/job.png/",
        "out/2026-11-20/job.p\n",
        "out\\2026-11-20\\job.png",
        "out/2026-11-20/" + "x" * 5000,
    ],
)
async def test_a_good_signature_opens_no_other_folder(key: str, door: Door) -> None:
    """Nobody can sign such a key; if somebody could, it would still lead nowhere."""
    (door.folder / "blobs" / "tmp" / "spool-1-1").write_bytes(b"somebody's upload")
    signed = door.house.links.sign(door.url, key)
    query = signed.rpartition("?")[2]
    try:
        for written in (quote(key), quote(key, safe="")):
            async with connected(door.port) as (reader, writer):  # clients tidy up the dots
                writer.write(head("GET", f"/files/{written}?{query}"))
                assert not_found(await read_answer(reader))
    finally:
        (door.folder / "blobs" / "tmp" / "spool-1-1").unlink()


async def test_a_file_that_is_no_longer_kept(door: Door) -> None:
    url = await drawn_url(door)
    await door.house.blobs.delete(url.partition("/files/")[2].partition("?")[0])
    answer = await door.send("GET", url)
    assert not_found(answer)
    assert b"no longer kept" in answer.body
