"""Plug-ins of strangers: the examples of the how-to pages, installed beside Pictura and used as their pages say.

A distribution is built from a page's own code blocks, `pictura serve` runs as a process that finds it by its entry
points, and is used by the command line and over HTTP. Nothing of Pictura's own is touched.
"""

from __future__ import annotations

import asyncio
import json
import re
import tomllib
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from textwrap import dedent

import aiohttp
import msgspec
import pytest

from tests.doors.test_cli import ADMIN, GIVEN, TEST, Gateway, Home, serving, size_of
from tests.test_docs import DOCS, blocks

GENERATIONS = "/openai/v1/images/generations"
#: Three ways of being broken: it cannot be imported, it has a model of somebody else's name, it has no routes.
BROKEN = {
    "absent": "raise ValueError('no luck')",
    "twice": """
        from acme_images import Acme
        from msgspec.structs import replace

        class Plug(Acme):
            name = "twice"
            MODELS = (replace(Acme.MODELS[0], id="twice-1"), replace(Acme.MODELS[0], id="gpt-image-2"))
    """,
    "routeless": """
        from acme_images import AcmeSandbox

        class Plug(AcmeSandbox):
            name = "routeless"
            def routes(self): return self.nothing
    """,
}
DESCRIBED = """
[project]
name = "{name}"
version = "1"

[project.entry-points."pictura.{kind}"]
{name} = "{name}:Plug"
"""

Json = dict[str, object]


def install(site: Path, module: str, described: str) -> None:
    """What pip leaves of a distribution with one module."""
    project = tomllib.loads(described)["project"]
    points: Mapping[str, Mapping[str, str]] = project["entry-points"]
    (name,) = {point.partition(":")[0] for group in points.values() for point in group.values()}
    about = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    about.mkdir(parents=True)
    (site / f"{name}.py").write_text(module)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = [f"[{name}]\n" + "".join(f"{k} = {v}\n" for k, v in group.items()) for name, group in points.items()]
    (about / "entry_points.txt").write_text("".join(groups))


class Stranger:
    """A user who has the plug-ins installed."""

    def __init__(self, folder: Path) -> None:
        site = folder / "site"
        for page in ("add-a-provider.md", "add-a-dialect.md"):
            (module,), (described,) = (blocks(DOCS / "how-to" / page, language) for language in ("python", "toml"))
            install(site, module, described)
        self.home = Home(folder)
        self.variables = {"PYTHONPATH": str(site), "ACME_API_KEY": "the-key-of-acme", **GIVEN}

    def run(self, *arguments: str, stdin: str = "") -> str:
        """What a command says that goes well."""
        told = self.home.run(*arguments, stdin=stdin, **self.variables)
        assert told.code == 0, told.out + told.err
        return told.out


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Stranger:
    return Stranger(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="module")
def gateway(stranger: Stranger) -> Iterator[Gateway]:
    with serving(stranger.home, **stranger.variables) as gateway:
        yield gateway


@pytest.fixture
async def http(gateway: Gateway) -> AsyncIterator[aiohttp.ClientSession]:
    """With the test key, wherever it asks."""
    async with aiohttp.ClientSession(gateway.url, headers={"Authorization": f"Bearer {TEST}"}) as session:
        yield session


async def post(http: aiohttp.ClientSession, path: str, fields: Json, key: str = TEST) -> tuple[int, Json]:
    async with http.post(path, json=fields, headers={"Authorization": f"Bearer {key}"}) as answer:
        return answer.status, {**json.loads(await answer.read()), "headers": dict(answer.headers)}


async def get(http: aiohttp.ClientSession, path: str) -> Json:
    async with http.get(path) as answer:
        assert answer.status == 200, await answer.text()
        return msgspec.json.decode(await answer.read(), type=Json)


async def until(http: aiohttp.ClientSession, path: str, status: str) -> Json:
    """The task at this path, once it has this status."""
    async with asyncio.timeout(20):
        while True:
            task = await get(http, path)
            if task["status"] == status:
                return task
            await asyncio.sleep(0.05)


# -- a provider --


def test_it_is_listed_with_its_price(stranger: Stranger, gateway: Gateway) -> None:
    assert re.search(
        r"acme-1 +acme +generate +1024x1024 1536x1024 +\$0\.02 +live +acme", stranger.run("models", "acme")
    )


def test_the_command_line_of_its_page_draws(stranger: Stranger, gateway: Gateway) -> None:
    told = stranger.run("generate", "a red fox", "--model", "acme-1", "--size", "1536x1024", "--sandbox", "-o", "a.png")
    assert "acme-1 in the sandbox, free" in told
    assert size_of(stranger.home.folder / "a.png") == ("PNG", (1536, 1024))


@pytest.mark.parametrize(
    ("prompt", "status"),
    [
        ("[refuse]", 400),
        ("[refuse late]", 400),
        ("[fault:failed]", 502),
        ("[fault:empty]", 502),
        ("[fault:500]", 502),
        ("[fault:401]", 502),
        ("[fault:429]", 429),
        ("x" * 1001, 400),
    ],
)
async def test_its_errors_are_told(prompt: str, status: int, http: aiohttp.ClientSession) -> None:
    assert (await post(http, GENERATIONS, {"model": "acme-1", "prompt": prompt}))[0] == status


async def test_its_task_is_taken_back(http: aiohttp.ClientSession) -> None:
    _, begun = await post(http, f"{GENERATIONS}?async=true", {"model": "acme-1", "prompt": "[fault:long 60]"})
    path = f"{GENERATIONS}/{begun['id']}"
    async with asyncio.timeout(20):
        while (await get(http, path))["status"] not in ("failed", "cancelled"):
            async with http.delete(path) as answer:
                assert answer.status in (202, 200)  # it will stop; it has ended
            await asyncio.sleep(0.05)
    job = await administer(http, f"/api/jobs/{begun['id']}")
    assert job["state"] == "cancelled"


async def administer(http: aiohttp.ClientSession, path: str) -> Json:
    async with http.get(path, headers={"Authorization": f"Bearer {ADMIN}"}) as answer:
        return msgspec.json.decode(await answer.read(), type=Json)


async def test_its_own_wire_is_on_the_gateway_s_port(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    status, begun = await post(http, "/sandbox/acme/v1/tasks", {"model": "acme-1", "text": "a red fox"})
    assert status == 200
    task = await until(http, f"/sandbox/acme/v1/tasks/{begun['id']}", "done")
    assert str(task["url"]).startswith(f"{gateway.url}/sandbox/files/")
    status, wrong = await post(http, "/sandbox/acme/v1/tasks", {"model": "acme-1", "text": "a red fox"}, key=ADMIN)
    assert (status, wrong["code"]) == (401, "key")


async def test_it_is_live_through_a_channel(stranger: Stranger, gateway: Gateway, http: aiohttp.ClientSession) -> None:
    """The key in the environment made the channel; here it is led to the simulator, which plays the vendor."""
    assert re.search(r"acme +acme +environment +https://api\.acme\.example ", stranger.run("channels"))
    add = ("channels", "add", "acme", "--provider", "acme", "--base-url", f"{gateway.url}/sandbox/acme", "--private")
    await asyncio.to_thread(stranger.run, *add, stdin=f"{TEST}\n")
    fields: Json = {"model": "ACME-1", "prompt": "a red fox", "seed": 7}
    status, drawn = await post(http, "/imagerouter/v1/openai/images/generations", fields, key=ADMIN)
    assert (status, drawn["cost"]) == (200, 0.02)
    assert "x-pictura-sandbox" not in msgspec.convert(drawn["headers"], dict[str, str])
    (picture,) = msgspec.convert(drawn["data"], list[dict[str, str | None]])
    async with http.get(str(picture["url"])) as answer:
        assert (await answer.read())[8:12] == b"WEBP"
    live = await asyncio.to_thread(stranger.run, "doctor", "--live", "acme", stdin="y\n")
    assert "up to $0.02" in live and re.search(r"✓ acme: 1024x1024 png, .*, \$0\.02 \(job_", live)


# -- a plug-in that is broken --


def test_broken_plug_ins_are_reported_and_skipped(tmp_path: Path) -> None:
    stranger = Stranger(tmp_path)
    del stranger.variables["ACME_API_KEY"]  # the doctor would dial its address
    for name, module in BROKEN.items():
        kind = "simulators" if name == "routeless" else "providers"
        install(tmp_path / "site", dedent(module), DESCRIBED.format(name=name, kind=kind))
    with serving(stranger.home, **stranger.variables):
        told = stranger.run("doctor")
        assert re.search(r"! +plug-in +absent \(absent:Plug\): ValueError: no luck +mend or uninstall it", told)
        assert re.search(r"! +plug-in +twice \(twice:Plug\): HouseError: two models are called 'gpt-image-2'", told)
        assert re.search(r"! +plug-in +routeless \(routeless:Plug\): AttributeError", told)
        assert "acme-1" in stranger.run("models", "acme") and "twice" not in stranger.run("models")


# -- a dialect --


async def test_a_dialect_speaks(http: aiohttp.ClientSession) -> None:
    for path in ("/v1/postcards", "/postcard/v1/postcards"):
        status, drawn = await post(http, path, {"greeting": "a red fox", "quality": "fine"})
        assert status == 200 and drawn.keys() == {"postcards", "printed", "headers"}
    (card,) = msgspec.convert(drawn["postcards"], list[dict[str, str]])
    async with http.get(card["url"]) as answer:
        assert (await answer.read())[:3] == b"\xff\xd8\xff"
    status, refused = await post(http, "/v1/postcards", {})
    assert status == 400 and str(refused["sorry"]).startswith("prompt is required")
