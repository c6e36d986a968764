"""The documentation says what the code does: pages are what the code writes, links lead somewhere, examples run."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import shlex
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType

import msgspec
import pytest
from cyclopts.exceptions import CycloptsError
from PIL import Image

from pictura.core.money import MICROS_PER_USD
from pictura.core.price import Order, bill
from pictura.core.size import Size
from pictura.doors.cli import app, profile
from pictura.doors.cli.profile import Entry
from pictura.doors.house import House, open_house
from pictura.doors.http.app import application
from pictura.doors.http.server import Server, listen
from pictura.infra.config import Environment, Settings, load
from pictura.providers.comfyui import fill, read_workflow
from pictura.providers.openai import OpenAI
from pictura.sandbox import base as sandbox

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "bench").glob("*.md"), *(ROOT / "src").rglob("*.md")])
READMES = (ROOT / "README.md", ROOT / "README.zh-CN.md")
#: Where the pages say the gateway is.
ADDRESS = "http://127.0.0.1:4000"
ENV = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "LANG": "C.UTF-8"}

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
needs_curl = pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed here")


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def prose(page: Path) -> str:
    """Everything outside code blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[str]:
    """The lines of its shell blocks, without comments."""
    lines = [re.sub(r"\s+#.*", "", line) for block in blocks(page, "sh") for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# -- pages --


def test_the_reference_is_what_the_code_says() -> None:
    written: Mapping[str, str] = generator().pages()
    kept = {path.name: path.read_text() for path in (DOCS / "reference").iterdir()}
    drifted = sorted(name for name in written.keys() | kept.keys() if written.get(name) != kept.get(name))
    assert not drifted, f"{', '.join(drifted)} in docs/reference do not say what the code says; run: make docs"


@pages
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith(("http://", "https://")):
            continue
        file, _, anchor = target.partition("#")
        found = (page.parent / file).resolve() if file else page
        assert found.exists(), f"{target}: there is no such file"
        assert not anchor or anchor in anchors(found), f"{target}: there is no such heading"


def anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub names them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    names = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return names | set(re.findall(r'<a id="([^"]+)">', page.read_text()))


@pages
def test_nothing_of_the_machine_or_the_making_stands_in_it(page: Path) -> None:
    text = page.read_text()
    assert not re.search(r"(?<![\w.~-])/(?:root|home|Users|work|workspace|tmp)/", text)
    told = re.sub(r"`[^`\n]*`", "", text)  # a vendor may call an option of his what he likes
    assert not re.search(r"\b(?:TODO|FIXME|founder|helper|session|lorem ipsum)\b", told, re.IGNORECASE)


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "README.md").read_text()
    missing = [str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md") if str(page.relative_to(DOCS)) not in index]
    assert missing == ["README.md"]


@pytest.mark.parametrize("page", sorted((DOCS / "decisions").iterdir()), ids=lambda page: page.stem)
def test_a_decision_says_what_why_and_how_to_reverse_it(page: Path) -> None:
    number, headings = page.name[:3], re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE)
    assert re.match(rf"# {number} .+\n\n\d{{4}}-\d\d-\d\d · \w+\n", page.read_text())
    assert headings == ["Context", "Decision", "Consequences", "How to reverse"]


def test_both_readmes_are_one() -> None:
    english, chinese = (page.read_text() for page in READMES)
    assert commands(READMES[0]) == commands(READMES[1])
    assert blocks(READMES[0], "text") == blocks(READMES[1], "text")
    assert [len(found) for found in re.findall(r"^(#+) ", english, re.MULTILINE)] == [
        len(found) for found in re.findall(r"^(#+) ", chinese, re.MULTILINE)
    ]
    targets = [set(re.findall(r"\]\(([^)]+)\)", text)) for text in (english, chinese)]
    assert targets[0] ^ targets[1] == {"README.md", "README.zh-CN.md"}
    assert len(re.findall(r"^\|", english, re.MULTILINE)) == len(re.findall(r"^\|", chinese, re.MULTILINE))


@pytest.mark.parametrize("page", READMES, ids=lambda page: page.name)
def test_the_figures_have_their_place(page: Path) -> None:
    assert re.search(r"^<!-- figures:begin -->\n.+?\n<!-- figures:end -->$", page.read_text(), re.MULTILINE | re.DOTALL)


def test_the_picture_is_small() -> None:
    file = DOCS / "pictures" / "first.webp"
    with Image.open(file) as picture:
        assert picture.width == 768
    assert file.stat().st_size < 60_000


def test_the_prices_in_the_how_to_are_the_cards() -> None:
    card = next(card for card in OpenAI.MODELS if card.id == "gpt-image-2")
    assert card.price is not None
    told = dict(
        re.findall(r"^\| `(low|medium|high)`.*\| ([\d.]+) \|$", (DOCS / "how-to/openai-key.md").read_text(), re.M)
    )
    order = {quality: Order(sizes=(Size(width=1024, height=1024),), quality=quality) for quality in told}
    assert told == {quality: f"{bill(card.price, order[quality]) / MICROS_PER_USD:.3f}" for quality in order}
    assert len(told) == 3


# -- settings and commands --


@pages
def test_settings_are_understood(page: Path, tmp_path: Path) -> None:
    for block in blocks(page, "toml"):
        if "[project]" not in block:
            (tmp_path / "pictura.toml").write_text(block)
            load(tmp_path / "pictura.toml")


@pages
def test_commands_are_understood(page: Path) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for line in commands(page):
        words = [word for word in shlex.split(line.partition(" | ")[0]) if not re.match(r"[A-Z_]+=", word)]
        if words[:1] == ["make"]:
            assert words[1] in targets, line
        elif words and Path(words[0]).name == "pictura":
            try:
                app.parse_args(words[1:], print_error=False, exit_on_error=False)
            except CycloptsError as error:
                pytest.fail(f"{line}\n{error}")


# -- a gateway to try them on --


@asynccontextmanager
async def gateway(data: Path, environment: Mapping[str, str] | None = None) -> AsyncIterator[tuple[House, str]]:
    """A house behind a socket, and its address."""
    with listen("127.0.0.1", 0) as sock:
        async with open_house(data, Settings(), Environment(environment or {})) as house:
            server = Server(application(house))
            serving = asyncio.create_task(server.serve([sock]))
            await server.listening.wait()
            try:
                yield house, f"http://127.0.0.1:{sock.getsockname()[1]}"
            finally:
                server.should_exit = True
                await serving


async def run(script: str, folder: Path, **variables: str) -> str:
    """What a shell script prints; fails with it where one of its commands fails, a curl with a 4xx or 5xx included."""
    (folder / ".curlrc").write_text("silent\nshow-error\nfail-with-body\nnoproxy = *\n")
    process = await asyncio.create_subprocess_exec(
        "bash", "-ec", f"set -o pipefail\n{script}",
        cwd=folder, env={**ENV, "HOME": str(folder), **variables},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    printed, _ = await process.communicate()
    assert process.returncode == 0, f"{script}\n{printed.decode()}"
    return printed.decode()


@pytest.fixture
async def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Path, str]]:
    """A home folder whose profile knows a running gateway, and the gateway's address."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    async with gateway(tmp_path / "data") as (house, address):
        profile.remember(
            Entry(address, str(tmp_path / "data"), house.first_keys.admin, house.first_keys.test), first=True
        )
        yield tmp_path, address


def pasted(lines: Iterable[str], address: str) -> str:
    """The commands of a page as somebody would paste them who has that gateway running."""
    kept = [line for line in lines if not re.match(r"make |\S+=\S*… make |\.venv/bin/pictura serve", line)]
    text = "\n".join(f"! {line}" if "[refuse]" in line else line for line in kept)
    return text.replace(ADDRESS, address).replace(".venv/bin/pictura", "pictura")


@needs_curl
@pytest.mark.parametrize("page", ["README.md", "docs/quick-start.md"])
async def test_the_first_steps_work_when_pasted(page: str, home: tuple[Path, str]) -> None:
    folder, address = home
    printed = await run(pasted(commands(ROOT / page), address), folder)
    assert "a-lighthouse-at-dusk.webp" in printed or "lighthouse.png" in printed
    assert f"{address}/files/out/" in printed


@needs_curl
async def test_the_move_from_imagerouter_works_when_pasted(home: tuple[Path, str]) -> None:
    folder, address = home
    test_key = profile.entries()[0].test_key
    script = pasted(commands(DOCS / "how-to/move-from-imagerouter.md"), address)
    printed = await run(script, folder, PICTURA_TEST_KEY=test_key, IMAGEROUTER_API_KEY="0123456789abcdef" * 4)
    assert '"latency":' in printed and '"json":[' in printed and "supported_params" in printed


@needs_curl
async def test_the_move_from_other_routers_works_when_pasted(home: tuple[Path, str]) -> None:
    folder, address = home
    test_key = profile.entries()[0].test_key
    script = pasted(commands(DOCS / "how-to/move-from-other-routers.md"), address)
    printed = await run(script, folder, PICTURA_TEST_KEY=test_key, ROUTER_API_KEY="sk-an-old-key-of-the-app")
    for said in ('"task_id":', "操作成功", "billing_subscription", "token_usage", "quota_type", '"candidates":['):
        assert said in printed


@needs_curl
async def test_a_long_picture_is_fetched_when_pasted(home: tuple[Path, str]) -> None:
    folder, address = home
    script = pasted(commands(DOCS / "how-to/long-pictures.md"), address)
    printed = await run(script, folder, PICTURA_TEST_KEY=profile.entries()[0].test_key)
    assert '"status":"queued"' in printed
    assert printed.count('"status":"completed"') >= 2
    assert f"{address}/files/out/" in printed


async def test_money_and_keys_work_when_pasted(home: tuple[Path, str]) -> None:
    folder, address = home
    pasteable = re.compile(r"pictura (?:keys|projects|balance|channels|doctor|jobs)(?! show| resolve| change)")
    lines = [*commands(DOCS / "how-to/openai-key.md"), *commands(DOCS / "how-to/operate.md")]
    lines += commands(DOCS / "how-to/openai-compatible-upstream.md")
    chosen = [line for line in lines if pasteable.match(line) and "--url" not in line]
    script = "\n".join(f"echo sk-a-key-of-nobody | {line}" if "channels add" in line else line for line in chosen)
    printed = await run(pasted([script], address), folder)
    assert "team-red: balance $20.00" in printed
    assert re.search(r"gpu-box +openai +console +http://10\.0\.0\.7:8000/v1", await run("pictura channels", folder))


@needs_curl
async def test_prices_and_models_work_when_pasted(home: tuple[Path, str]) -> None:
    folder, address = home
    known = profile.entries()[0]
    script = pasted(commands(DOCS / "how-to/prices.md"), address)
    printed = await run(script, folder, PICTURA_TEST_KEY=known.test_key, PICTURA_ADMIN_KEY=known.admin_key)
    for told in ("dall-e-3: $0.05", "seedream-4.5: $0.035211", "house-style: $0.30", "lora-7: $0.002", "is gone"):
        assert told in printed
    assert '"usd":"0.21072"' in printed and "poster.png  1024x1024 png" in printed


async def test_the_models_of_the_settings_in_the_how_to_are_there(tmp_path: Path) -> None:
    (tmp_path / "pictura.toml").write_text("\n".join(blocks(DOCS / "how-to/prices.md", "toml")))
    settings = load(tmp_path / "pictura.toml")
    async with open_house(tmp_path / "data", settings, Environment()) as house:
        posters = house.planner.find("posters")
        assert (posters.card.id, posters.provider, posters.origin) == ("house-style", "volcengine", "file")
        assert {listing.origin for listing in house.catalog.all()} == {"built-in", "file"}


async def test_the_workflow_of_the_how_to_is_taken(home: tuple[Path, str]) -> None:
    folder, address = home
    page = DOCS / "how-to/comfyui.md"
    (workflow,) = blocks(page, "json")
    (folder / "flux.json").write_text(workflow)
    assert "flux: comfyui at http://127.0.0.1:8188" in await run(pasted(commands(page), address), folder)


def test_the_workflow_of_the_how_to_can_be_filled() -> None:
    (workflow,) = blocks(DOCS / "how-to/comfyui.md", "json")
    filled = fill(read_workflow(workflow), {"prompt": "a fox", "n": 2, "seed": 7, "width": 64})
    assert "{{" not in msgspec.json.encode(filled).decode()
    assert filled["4"].inputs["text"] == "a fox"
    assert filled["5"].inputs["guidance"] == 3.5
    assert filled["7"].inputs == {"width": 64, "height": 1024, "batch_size": 2}
    assert filled["8"].inputs["steps"] == 20


async def test_the_sdk_example_draws(home: tuple[Path, str]) -> None:
    folder, address = home
    (example,) = blocks(DOCS / "quick-start.md", "python")
    (folder / "example.py").write_text(example.replace(ADDRESS, address))
    await run("python example.py", folder, PICTURA_TEST_KEY=profile.entries()[0].test_key)
    with Image.open(folder / "fox.png") as picture:
        assert picture.size == (1024, 1024)


def masked(printed: str) -> str:
    """Without what differs from start to start."""
    for pattern, told in ((r"(sk-pic-|sk-test-)\w+", r"\1…"), (r"[\d,]+ KB", "N KB"), (r"\d+\.\d s", "N s")):
        printed = re.sub(pattern, told, printed)
    return printed.strip()


async def test_the_first_start_says_what_the_readme_says(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("pictura")
    if not program.exists():
        pytest.skip("pictura is not installed beside this Python")
    process = await asyncio.create_subprocess_exec(
        program, "serve", "--port", "0", "--first-picture", "first-picture.webp",
        cwd=tmp_path, env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    printed = ""
    while "First picture:" not in printed:
        line = (await process.stdout.readline()).decode()
        assert line, f"it ended without a first picture:\n{printed}"
        printed += line
    process.send_signal(signal.SIGTERM)
    await process.communicate()
    printed = re.sub(r"http://127\.0\.0\.1:\d+", ADDRESS, printed)
    places = {str(tmp_path): "~", str(program): ".venv/bin/pictura", f"{ROOT}/": ""}
    for here, there in places.items():
        printed = printed.replace(here, there)
    (told,) = blocks(READMES[0], "text")
    assert masked(printed) == masked(told)


# -- the sandbox --


@pytest.mark.parametrize("place", range(4))
async def test_the_sandbox_page_s_sdks_draw(place: int, home: tuple[Path, str]) -> None:
    folder, address = home
    example = blocks(DOCS / "how-to" / "sandbox.md", "python")[place]
    bare = ADDRESS.removeprefix("http://")
    (folder / "example.py").write_text(example.replace(bare, address.removeprefix("http://")))
    assert await run("python example.py", folder, PICTURA_TEST_KEY=profile.entries()[0].test_key)


@needs_curl
async def test_the_sandbox_page_s_curl_draws(home: tuple[Path, str]) -> None:
    folder, address = home
    (line,) = [line for line in commands(DOCS / "how-to" / "sandbox.md") if line.startswith("curl")]
    printed = await run(pasted([line], address), folder, PICTURA_TEST_KEY=profile.entries()[0].test_key)
    assert f'"polling_url":"{address}/sandbox/bfl/v1/get_result?id=' in printed


def test_the_sandbox_page_names_every_trouble() -> None:
    page = (DOCS / "how-to" / "sandbox.md").read_text()
    marks = re.findall(r"\[(?:fault|once):[^\]]+\]|\[refuse[^\]]*\]", sandbox.__doc__ or "")
    assert len(marks) > 10 and [mark for mark in marks if f"`{mark}`" not in page] == []
