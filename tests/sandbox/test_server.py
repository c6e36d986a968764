from __future__ import annotations

import asyncio
import errno
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from aiohttp import ClientConnectionError, ClientOSError, ClientSession

from pictura.infra.spool import Spool
from pictura.sandbox.base import BASE_HEADER, Shelf, Studio
from pictura.sandbox.chance import seed_from
from pictura.sandbox.server import Sandbox
from tests.sandbox.conftest import KEY


async def draw(http: ClientSession, address: str, prompt: str) -> tuple[int, str]:
    body = {"model": "any", "prompt": prompt, "size": "64x64"}
    async with http.post(f"{address}/plain/v1/draw", json=body) as answer:
        return answer.status, await answer.text()


def below(folder: Path) -> list[Path]:
    return list(folder.rglob("*"))


async def test_every_simulator_has_its_path(address: str, http: ClientSession) -> None:
    async with http.post(f"{address}/openai/v1/images/generations", json={}) as answer:
        assert answer.status == 400
    assert (await draw(http, address, "a fox"))[0] == 200
    async with http.get(f"{address}/nobody") as answer:
        assert answer.status == 404


async def test_it_listens_on_loopback_until_it_is_closed(http: ClientSession) -> None:
    sandbox = Sandbox(accepts=lambda key: True)
    address = await sandbox.start()
    assert address.startswith("http://127.0.0.1:")
    assert (await draw(http, address, "a fox"))[0] == 200
    await sandbox.close()
    with pytest.raises(ClientConnectionError):
        await draw(http, address, "a fox")
    await sandbox.close()


async def test_two_sandboxes_do_not_meet(address: str) -> None:
    other = Sandbox(accepts=lambda key: True)
    assert await other.start() != address
    await other.close()


async def test_urls_lead_to_whoever_forwards(address: str, http: ClientSession) -> None:
    """… and a picture is known again under any address by which it was got."""
    door = "https://img.example.com/sandbox"
    body = {"prompt": "a fox"}
    polling = []
    for headers in ({BASE_HEADER: door}, {}):
        async with http.post(f"{address}/bfl/v1/flux-dev", json=body, headers={"x-key": KEY, **headers}) as answer:
            polling.append((await answer.json())["polling_url"])
    assert polling[0].startswith(f"{door}/bfl/v1/get_result?id=")
    assert polling[1].startswith(f"{address}/bfl/v1/get_result?id=")


async def test_a_picture_is_known_by_every_address_it_has(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as threads:
        studio = Studio(lambda key: True, tmp_path, threads)
        studio.own_address = "http://127.0.0.1:1"
        source = Spool(tmp_path, "image/png")
        source.write(b"a picture")
        url = studio.publish(source)
        assert url.startswith("http://127.0.0.1:1/files/")
        for elsewhere in (url, url.replace("http://127.0.0.1:1", "https://img.example.com/sandbox")):
            lying = studio.lying(elsewhere)
            assert lying is not None and lying.read() == b"a picture"
        assert studio.lying(f"{url}-expired") is None and studio.lying("https://example.com/a.png") is None
        source.close()
        studio.shelf.close()


async def test_closing_leaves_no_file_behind(
    http: ClientSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    sandbox = Sandbox(accepts=lambda key: True)
    address = await sandbox.start()
    body = {"model": "dall-e-3", "prompt": "a fox"}
    async with http.post(f"{address}/openai/v1/images/generations", json=body) as answer:
        assert answer.status == 200
    assert len(below(tmp_path)) == 2, "its folder, and the picture that has a URL"
    await sandbox.close()
    assert below(tmp_path) == []


async def test_what_a_killed_process_left_behind_is_gone_but_for_memories(tmp_path: Path) -> None:
    for left in ("7.spool", "acme/a-name"):
        (tmp_path / left).parent.mkdir(exist_ok=True)
        (tmp_path / left).touch()
    sandbox = Sandbox(accepts=lambda key: True, folder=tmp_path)
    await sandbox.start()
    await sandbox.close()
    assert below(tmp_path) == [tmp_path / "acme", tmp_path / "acme" / "a-name"]


async def test_closing_does_not_wait_for_a_stalled_answer(http: ClientSession) -> None:
    sandbox = Sandbox(accepts=lambda key: True)
    address = await sandbox.start()
    stalled = asyncio.create_task(draw(http, address, "[fault:stall]"))
    slow = asyncio.create_task(draw(http, address, "[fault:slow 9000]"))
    await draw(http, address, "the others have arrived before this")
    await sandbox.close()
    with pytest.raises(ClientConnectionError):
        await stalled
    assert (await slow)[0] == 200


@pytest.mark.parametrize(
    ("fault", "status", "start"),
    [
        ("401", 401, '{"error":'),
        ("402", 402, '{"error":'),
        ("429", 429, '{"error":'),
        ("500", 500, '{"error":'),
        ("502page", 502, "<html>"),
        ("garbage", 200, "{this is not JSON"),
        ("empty", 200, '{"pictures":[]}'),
        ("slow 0.01", 200, '{"pictures":[{'),
        ("unheard of", 200, '{"pictures":[{'),
    ],
)
async def test_faults_on_demand(address: str, http: ClientSession, fault: str, status: int, start: str) -> None:
    found, body = await draw(http, address, f"a fox [fault:{fault}] in the snow")
    assert found == status
    assert body.startswith(start)


async def test_a_rate_limit_says_when_to_come_back(address: str, http: ClientSession) -> None:
    body = {"model": "any", "prompt": "[fault:429]"}
    async with http.post(f"{address}/plain/v1/draw", json=body) as answer:
        assert answer.headers["Retry-After"] == "2"


async def test_a_reset_connection(address: str, http: ClientSession) -> None:
    with pytest.raises(ClientOSError) as error:
        await draw(http, address, "[fault:reset]")
    assert error.value.errno == errno.ECONNRESET


async def test_a_stalled_answer_ends_with_its_caller(address: str, http: ClientSession) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(draw(http, address, "[fault:stall]"), 0.05)
    assert (await draw(http, address, "a fox"))[0] == 200


def test_a_full_shelf_gives_up_its_oldest_picture(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, places=2)
    source = Spool(tmp_path, "image/png")
    source.write(b"x" * 100_000)
    for _ in range(5):
        shelf.put(source)
    source.close()
    assert len(below(tmp_path)) == 2
    shelf.close()
    assert below(tmp_path) == []


def test_a_seed_depends_on_every_part() -> None:
    assert seed_from("model", "prompt") == seed_from("model", "prompt")
    assert len({seed_from("ab", "c"), seed_from("a", "bc"), seed_from("a", "b", "c"), seed_from("abc")}) == 4
    assert 0 <= seed_from("x") < 2**31
