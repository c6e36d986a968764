"""The command line as it is used: real processes, a home of their own, a gateway on a real port."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import signal
import socket
import stat
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import msgspec
import pytest
from PIL import Image

from pictura import __version__
from pictura.core.datasheet import Pictures
from pictura.doors.cli import main, profile
from pictura.doors.cli.datasheet import takes
from pictura.doors.cli.profile import Entry
from tests.doors.door import until
from tests.upstream import KEY, Upstream, running, when

ADMIN = "sk-pic-given-0123456789abcdef"
TEST = "sk-test-given-0123456789abcdef"
GIVEN = {"PICTURA_ADMIN_KEY": ADMIN, "PICTURA_TEST_KEY": TEST}
#: Long enough for a machine that does other things as well; nothing is measured by it.
PATIENCE_S = 60

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and modes of files are POSIX")


class Told(msgspec.Struct):
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str


class Home:
    """A user with an empty home and an empty current folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "work"
        self.home = folder / "home"
        self.folder.mkdir()
        self.home.mkdir()

    @property
    def profile(self) -> Path:
        return self.home / ".config" / "pictura" / "profile.toml"

    def environment(self, **extra: str) -> dict[str, str]:
        """Nothing of ours: no provider's key, no profile, no proxy."""
        return {"HOME": str(self.home), "PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "", **extra}

    def run(self, *arguments: str, stdin: str = "", **extra: str) -> Told:
        ran = subprocess.run(
            [sys.executable, "-m", "pictura", *arguments],
            cwd=self.folder,
            env=self.environment(**extra),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert "Traceback" not in ran.stderr, ran.stderr
        return Told(ran.returncode, ran.stdout, ran.stderr)

    def json(self, *arguments: str) -> list[dict[str, object]]:
        told = self.run(*arguments, "--json")
        assert told.code == 0, told.err
        return msgspec.json.decode(told.out, type=list[dict[str, object]])

    def keys(self) -> dict[str, str]:
        found: dict[str, str] = tomllib.loads(self.profile.read_text())["gateway"][0]
        return found


class Gateway:
    """A `pictura serve` that listens."""

    def __init__(self, process: subprocess.Popen[str], greeting: str) -> None:
        self.process = process
        self.greeting = greeting

    @property
    def url(self) -> str:
        found = re.search(r"http://\S+", self.greeting)
        assert found, self.greeting
        return found[0]

    def line(self) -> str:
        """The next line that it says."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def stop(self, number: int = signal.SIGTERM) -> Told:
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return Told(self.process.returncode, out, err)


@contextmanager
def serving(home: Home, *arguments: str, **extra: str) -> Iterator[Gateway]:
    """`pictura serve` on a free port, from the moment at which it has said all it says at first."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pictura", "serve", "--port", "0", *arguments],
        cwd=home.folder,
        env=home.environment(**extra),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Gateway(process, _greeting(process))
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _greeting(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None and process.stderr is not None
    said = ""
    while "Docs:" not in said:
        line = process.stdout.readline()
        if not line:
            raise AssertionError(f"it did not start: {said}{process.stderr.read()}")
        said += line
    return said


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture(scope="module")
def inhabited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home with a gateway that runs, for tests that change nothing others look at."""
    home = Home(tmp_path_factory.mktemp("inhabited"))
    with serving(home):
        yield home


def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock.getsockname()[1]


port = pytest.fixture(taken_port)


def size_of(picture: Path) -> tuple[str | None, tuple[int, int]]:
    with Image.open(picture) as image:
        return image.format, image.size


# -- starting --


def test_the_first_start_says_what_a_newcomer_needs(home: Home) -> None:
    with serving(home, "--data", "data", "--first-picture", "first-picture.webp") as gateway:
        keys = home.keys()
        assert keys == {
            "url": gateway.url,
            "data": str(home.folder / "data"),
            "admin_key": keys["admin_key"],
            "test_key": keys["test_key"],
        }
        assert keys["admin_key"].startswith("sk-pic-") and keys["test_key"].startswith("sk-test-")
        assert gateway.greeting.count(keys["admin_key"]) == 1
        assert str(home.profile) in gateway.greeting and "Docs:" in gateway.greeting
        assert stat.S_IMODE(home.profile.stat().st_mode) == 0o600
        assert not home.profile.is_relative_to(home.folder / "data")
        assert gateway.line() == "\n"
        said = gateway.line()
        assert said.startswith("First picture: first-picture.webp  1024x1024 webp, ") and said.endswith(" s\n")
        assert size_of(home.folder / "first-picture.webp") == ("WEBP", (1024, 1024))
        jobs = home.json("jobs")
        assert [(job["state"], job["sandbox"]) for job in jobs] == [("succeeded", True)]
        assert keys["test_key"] not in gateway.stop().err


def test_the_curl_line_works_as_it_is_pasted(home: Home) -> None:
    with serving(home) as gateway:
        (line,) = [line.strip() for line in gateway.greeting.splitlines() if line.strip().startswith("curl ")]
        program, url, *rest = shlex.split(line)
        headers = dict(rest[i + 1].split(": ", 1) for i, word in enumerate(rest) if word == "-H")
        body = rest[rest.index("-d") + 1]
        assert program == "curl"
        told = _post(url, body, headers)
        picture = json.loads(told)["data"][0]["url"]
        assert picture.startswith(gateway.url)


def _post(url: str, body: str, headers: Mapping[str, str]) -> bytes:
    import urllib.request

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url, body.encode(), dict(headers))
    with opener.open(request, timeout=PATIENCE_S) as answer:
        found: bytes = answer.read()
    return found


def test_a_later_start_shows_no_key_and_points_at_the_profile(home: Home) -> None:
    with serving(home) as gateway:
        keys = home.keys()
        assert gateway.stop().code == 0
    with serving(home) as gateway:
        assert keys["admin_key"] not in gateway.greeting and keys["test_key"] not in gateway.greeting
        assert str(home.profile) in gateway.greeting
        assert home.keys() == {**keys, "url": gateway.url}
        assert home.run("keys").code == 0


def test_keys_of_the_environment_become_the_first_keys_and_are_not_told(home: Home) -> None:
    with serving(home, **GIVEN) as gateway:
        assert ADMIN not in gateway.greeting and TEST not in gateway.greeting
        assert "$PICTURA_TEST_KEY" in gateway.greeting
        assert ADMIN not in home.profile.read_text() and TEST not in home.profile.read_text()
        assert home.run("keys", **GIVEN).code == 0
        assert home.run("keys", "--key", ADMIN).code == 0
        refused = home.run("keys")
        assert refused.code == 1 and "no admin key" in refused.err
        told = gateway.stop()
        assert ADMIN not in told.err and TEST not in told.err
    with serving(home, **GIVEN) as gateway:
        assert ADMIN not in gateway.greeting


def test_a_home_that_cannot_be_written_keeps_nothing_and_says_so(home: Home) -> None:
    (home.home / ".config").write_text("not a folder")
    with serving(home) as gateway:
        assert "sk-pic-" in gateway.greeting
        assert "keep them now" in gateway.greeting and str(home.profile) not in gateway.greeting
        assert "could not be written" in gateway.stop().err


def test_the_profile_lies_where_the_desktop_wants_it(home: Home) -> None:
    elsewhere = home.home / "settings"
    with serving(home, XDG_CONFIG_HOME=str(elsewhere)):
        assert (elsewhere / "pictura" / "profile.toml").exists() and not home.profile.exists()


def test_a_taken_port_is_told_before_anything_is_touched(home: Home, port: int) -> None:
    told = home.run("serve", "--port", str(port))
    assert told.code == 1 and told.out == ""
    assert told.err == (
        f"pictura: port {port} on 127.0.0.1 is taken by another program; stop it, or choose another with --port\n"
    )
    assert list(home.folder.iterdir()) == [] and not home.profile.exists()


def test_a_data_folder_belongs_to_one_process(home: Home) -> None:
    with serving(home) as gateway:
        told = home.run("serve", "--port", "0")
        assert told.code == 1 and told.out == ""
        assert len(told.err.splitlines()) == 1 and f"(process {gateway.process.pid})" in told.err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[server\n", "is not TOML"),
        ("[server]\npublic_ulr = ''\n", "public_ulr"),
        ("[jobs]\ntimeout_s = 'long'\n", "$.jobs.timeout_s"),
        ("[[channel]]\nname = 'a'\nprovider = 'acme'\n", "channel 'a': provider 'acme' is not known"),
        ("[[channel]]\nname = 'a'\nprovider = 'openai'\napi_key_env = 'NOT_SET'\n", "NOT_SET is not set"),
    ],
)
def test_wrong_settings_are_told_in_one_line(home: Home, text: str, says: str) -> None:
    (home.folder / "mine.toml").write_text(text)
    told = home.run("serve", "--port", "0", "--config", "mine.toml")
    assert told.code == 1 and told.out == ""
    assert len(told.err.splitlines()) == 1 and says in told.err


def test_settings_of_the_current_folder_are_found(home: Home) -> None:
    (home.folder / "pictura.toml").write_text("[server]\nwrong = 1\n")
    assert "pictura.toml" in home.run("serve", "--port", "0").err
    assert "nowhere.toml cannot be read" in home.run("serve", "--port", "0", "--config", "nowhere.toml").err


def test_a_failed_first_start_gives_no_keys_away(home: Home) -> None:
    """Keys are made when all else stands: else they would be in the database, and nobody would have seen them."""
    (home.folder / "pictura.toml").write_text("[[channel]]\nname = 'a'\nprovider = 'acme'\n")
    assert home.run("serve", "--port", "0").code == 1
    (home.folder / "pictura.toml").unlink()
    with serving(home) as gateway:
        assert home.keys()["admin_key"] in gateway.greeting


def test_a_broken_database_is_told(home: Home) -> None:
    (home.folder / "data").mkdir()
    (home.folder / "data" / "pictura.db").write_bytes(b"this is no database" * 100)
    told = home.run("serve", "--port", "0")
    assert told.code == 1 and "the database in data cannot be used" in told.err


# -- stopping --


def channel(upstream: Upstream) -> str:
    return (
        f"[[channel]]\nname = 'main'\nprovider = 'openai'\napi_key = '{KEY}'\nbase_url = '{upstream.url}'\n"
        "allow_private_network = true\n"
    )


@asynccontextmanager
async def drawing(home: Home, *arguments: str) -> AsyncIterator[tuple[Gateway, asyncio.Event, asyncio.Task[Told]]]:
    """A gateway whose provider has got a request of `pictura generate`, and answers it once the event is set."""
    go_on = asyncio.Event()
    async with running(Upstream(when(go_on))) as upstream:
        (home.folder / "pictura.toml").write_text(channel(upstream))
        with serving(home, *arguments, PICTURA_LOG="debug") as gateway:
            generating = asyncio.create_task(
                asyncio.to_thread(home.run, "generate", "a fox", "-o", "fox.png", "-s", "64x64")
            )
            await until(lambda: upstream.seen, PATIENCE_S)
            yield gateway, go_on, generating
            go_on.set()
            await generating


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_what_is_in_flight_is_finished_first(home: Home, number: int) -> None:
    """The client is answered, its picture kept; its URL is another request, which the next start answers."""
    async with drawing(home) as (gateway, go_on, generating):
        gateway.process.send_signal(number)
        await until(lambda: not _accepts(gateway.url), PATIENCE_S)
        assert gateway.process.poll() is None
        go_on.set()
        assert "is drawn and kept: http" in (await generating).err
        told = await asyncio.to_thread(gateway.process.communicate, None, PATIENCE_S)
        assert gateway.process.returncode == 0, told
        assert KEY not in told[1] and home.keys()["admin_key"] not in told[1]
    with serving(home):
        (job,) = home.json("jobs")
        assert job["state"] == "succeeded" and job["pictures"]


def _accepts(url: str) -> bool:
    host, _, port = url.removeprefix("http://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), 1).close()
    except OSError:
        return False
    return True


async def test_ctrl_c_twice_stops_at_once_and_loses_nothing(home: Home) -> None:
    async with drawing(home) as (gateway, _, _):
        for _ in range(2):
            gateway.process.send_signal(signal.SIGINT)
            await asyncio.sleep(0.3)
        await asyncio.to_thread(gateway.process.wait, PATIENCE_S)
        assert gateway.process.returncode == 130
    with serving(home):
        (job,) = home.json("jobs")
        assert job["state"] == "failed" and "billed" in json.dumps(job["error"])


# -- drawing --


def test_a_picture_is_drawn_and_saved_with_what_it_took(inhabited: Home) -> None:
    told = inhabited.run("generate", "a red fox", "-m", "test/test", "-s", "64x48", "-o", "fox.png", "--seed", "5")
    assert told.code == 0, told.err
    assert told.out.startswith("fox.png  64x48 png, ")
    assert re.search(r"^test/test in the sandbox, free, \d+\.\d s$", told.out, re.MULTILINE)
    assert size_of(inhabited.folder / "fox.png") == ("PNG", (64, 48))


def test_files_are_named_after_the_prompt_and_overwrite_none(inhabited: Home) -> None:
    for _ in range(2):
        assert inhabited.run("generate", "Ein Fuchs, 雪!", "-m", "test/test", "-s", "64x64", "-n", "2").code == 0
    names = sorted(path.name for path in inhabited.folder.glob("ein-fuchs*"))
    assert names == [f"ein-fuchs-雪{number}.webp" for number in ("-2", "-3", "-4", "")]
    assert not list(inhabited.folder.glob("*.part"))


def test_what_is_not_as_asked_is_said(inhabited: Home) -> None:
    told = inhabited.run("generate", "x", "-m", "test/test", "-s", "9x9", "-o", "near.png", "--option", "mood=good")
    assert "adjusted: size=9x9→" in told.out and "ignored: mood" in told.out


def test_several_pictures_of_one_name_are_numbered(inhabited: Home) -> None:
    assert inhabited.run("generate", "x", "-m", "test/test", "-s", "64x64", "-n", "2", "-o", "both.jpg").code == 0
    assert [size_of(inhabited.folder / f"both-{number}.jpg")[0] for number in (1, 2)] == ["JPEG", "JPEG"]


def test_a_picture_is_edited(inhabited: Home) -> None:
    for name, colour in (("a.png", "red"), ("b.png", "blue")):
        Image.new("RGB", (64, 64), colour).save(inhabited.folder / name)
    Image.new("RGBA", (64, 64)).save(inhabited.folder / "mask.png")
    told = inhabited.run(
        "edit", "more snow", "-i", "a.png", "-i", "b.png", "--mask", "mask.png", "-s", "1024x1024", "-o", "edited.webp"
    )
    assert told.code == 0, told.err
    assert size_of(inhabited.folder / "edited.webp") == ("WEBP", (1024, 1024))
    job = inhabited.json("jobs")[0]
    assert (job["operation"], job["prompt"]) == ("edit", "more snow")


@pytest.mark.parametrize("command", [("generate", "x"), ("edit", "x", "-i", "a.png")])
@pytest.mark.parametrize(
    ("output", "says"),
    [
        ("nowhere/fox.png", "there is no folder nowhere"),
        ("shelf", "shelf is a folder; name a file in it"),
        ("a.png/fox.png", "there is no folder a.png"),
    ],
)
def test_nothing_is_drawn_that_cannot_be_saved(
    inhabited: Home, command: tuple[str, ...], output: str, says: str
) -> None:
    Image.new("RGB", (64, 64), "red").save(inhabited.folder / "a.png")
    (inhabited.folder / "shelf").mkdir(exist_ok=True)
    before = [job["id"] for job in inhabited.json("jobs")]
    told = inhabited.run(*command, "-m", "test/test", "-o", output)
    assert told.code == 1 and says in told.err
    assert [job["id"] for job in inhabited.json("jobs")] == before


def test_what_could_not_be_saved_can_still_be_had(inhabited: Home) -> None:
    (inhabited.folder / "late.png").mkdir()
    told = inhabited.run("generate", "x", "-m", "test/test", "-s", "64x64", "--format", "png", "-o", "late.webp")
    assert told.code == 1, told.out
    job = inhabited.json("jobs", "--limit", "1")[0]
    assert f"the picture of {job['id']} is drawn and kept: http" in told.err


async def test_what_is_drawn_live_shows_its_cost(home: Home) -> None:
    async with running(Upstream()) as upstream:
        (home.folder / "pictura.toml").write_text(channel(upstream) + "price = {per_picture = '0.0421'}\n")
        with serving(home):
            live = await asyncio.to_thread(home.run, "generate", "a fox", "-s", "1024x1024")
            assert re.search(r"^gpt-image-2, \$0\.0421, ", live.out, re.MULTILINE), live
            assert len(upstream.seen) == 1
            sandbox = await asyncio.to_thread(home.run, "generate", "a fox", "--sandbox")
            assert "in the sandbox, free" in sandbox.out
            other = await asyncio.to_thread(home.run, "generate", "a fox", "-m", "test/test", "-s", "64x64")
            assert "in the sandbox, free" in other.out
            assert len(upstream.seen) == 1


def test_without_a_gateway_one_is_started_for_the_picture(home: Home) -> None:
    told = home.run("generate", "a fox", "-o", "fox.webp", OPENAI_API_KEY="sk-real", **GIVEN)
    assert told.code == 0, told.err
    assert "no gateway runs here" in told.out and "in the sandbox, free" in told.out
    assert size_of(home.folder / "fox.webp")[0] == "WEBP"
    assert [path.name for path in home.folder.iterdir()] == ["fox.webp"] and not home.profile.exists()


# -- the listing commands --


def test_what_inputs_may_be_in_words() -> None:
    kind = Pictures(0, 10, ("jpeg", "png"), 10_000_000, min_edge=300, max_ratio=2.5)
    told = "up to 10: jpeg png, 10 MB each, sides of at least 300 pixels, aspects from 1:2.5 to 2.5:1"
    assert takes(kind) == told


def test_models_are_listed_and_filtered(inhabited: Home) -> None:
    told = inhabited.run("models", "gpt-image-2")
    assert told.code == 0 and "gpt-image-2" in told.out and "sandbox only" in told.out and "$" in told.out
    everything = inhabited.json("models")
    assert len(everything) > 50
    assert "no model is called like 'no-such'" in inhabited.run("models", "no-such").out
    assert inhabited.run("models", "list", "gpt-image-2").out == told.out


def test_a_model_is_shown_with_what_it_takes_and_costs(inhabited: Home) -> None:
    told = inhabited.run("models", "show", "openai/gpt-image-2")
    assert told.code == 0, told.err
    for pattern in (
        r"id +gpt-image-2",
        r"prompt +must +text of at most 32,000 characters",
        r"size +WIDTHxHEIGHT, edges 1 to 3840, up to 8.3 megapixels, in steps of 16; best 1024x1024",
        r"quality +auto, low, medium, high +auto",
        r"image +up to 16: png jpeg webp, 50 MB each",
        r"picture sent +\$8.00 a million tokens",
        r"comes to +1024x1024",
        r"high +\$0.21072",
        r"price from +litellm 1.109.1, .* third party",
        r"card +built in",
    ):
        assert re.search(pattern, told.out), pattern
    (whole,) = [msgspec.json.decode(inhabited.run("models", "show", "gpt-image-2", "--json").out)]
    assert whole["supported_parameters"]["n"] == {"type": "range", "min": 1, "max": 10}
    listed = inhabited.json("models", "openai")
    assert whole in listed


def test_whoever_may_only_draw_may_look_at_models(inhabited: Home) -> None:
    key = inhabited.keys()["test_key"]
    assert "gpt-image-2" in inhabited.run("models", "gpt-image-2", "--key", key).out
    refused = inhabited.run("models", "set-price", "gpt-image-2", "0.04", "--key", key)
    assert refused.code == 1 and "needs the scope 'admin'" in refused.err


def test_a_price_is_said_and_taken_back(inhabited: Home) -> None:
    told = inhabited.run("models", "set-price", "openai/dall-e-3", "0.05", "--source", "our contract")
    assert told.out == "dall-e-3: $0.05, sandbox only\n", told.err
    shown = inhabited.run("models", "show", "dall-e-3").out
    assert "our contract (the operator)" in shown and "the console has the last word" in shown
    yuan = ("--currency", "cny", "--rate", "6.80", "--rate-date", "2026-11-20")
    told = inhabited.run("models", "set-price", "dall-e-3", "--row", "hd:1792x1024=0.9", "--row", "1K=0.3", *yuan)
    assert told.out == "dall-e-3: $0.044118 to $0.132353, sandbox only\n", told.err
    shown = inhabited.run("models", "show", "dall-e-3").out
    assert re.search(r"picture +hd 1792x1024 +\$0.132353 \(CNY 0.90\)", shown)
    assert "CNY, 6.80 for a dollar (2026-11-20)" in shown
    for wrong, says in (
        (("cheap",), "'cheap' is not an amount"),
        (("--row", "hd"), "'hd' says no value"),
        (("--tokens", "high=many"), "'many' is no count"),
        ((), "price is empty"),
        (("0.3", "--currency", "CNY"), "how many CNY one dollar is"),
    ):
        refused = inhabited.run("models", "set-price", "dall-e-3", *wrong)
        assert refused.code == 1 and says in refused.err
    assert inhabited.run("models", "remove", "dall-e-3").out == "dall-e-3: $0.04 to $0.12, built in\n"
    refused = inhabited.run("models", "remove", "dall-e-3")
    assert refused.code == 1 and "the console says nothing of 'dall-e-3'" in refused.err


def test_a_price_by_tokens_keeps_how_many_a_picture_takes(inhabited: Home) -> None:
    tokens = ("--image-out", "15", "--text-in", "5", "--image-in", "8")
    assert inhabited.run("models", "set-price", "gpt-image-2", *tokens).code == 0
    assert re.search(r"high +\$0.10536", inhabited.run("models", "show", "gpt-image-2").out)
    told = inhabited.run("models", "set-price", "gpt-image-2", *tokens, "--tokens", "high:1K=1000", "--tokens", "9")
    assert told.code == 1 and "'9' says no value" in told.err
    told = inhabited.run("models", "set-price", "gpt-image-2", *tokens, "--tokens", "high:1K=1000")
    assert told.out == "gpt-image-2: $0.015, sandbox only\n", told.err
    assert inhabited.run("models", "remove", "gpt-image-2").code == 0


def test_a_model_is_added_drawn_and_taken_away(inhabited: Home) -> None:
    add = ("models", "add", "acme/poster", "--base", "gpt-image-2", "--alias", "poster", "--size", "1024x1024")
    told = inhabited.run(*add, "--price", "0.30", "--notes", "for the print shop")
    assert told.out == "acme/poster: $0.30, sandbox only\n", told.err
    assert "for the print shop" in inhabited.run("models", "show", "poster").out
    # What else was said of it stays when its price is said anew.
    assert inhabited.run("models", "set-price", "poster", "0.40").out == "acme/poster: $0.40, sandbox only\n"
    assert "for the print shop" in inhabited.run("models", "show", "poster").out
    assert inhabited.run("generate", "a fox", "-m", "poster", "-o", "poster.png").code == 0
    assert "adjusted: size=512x512" in inhabited.run("generate", "a fox", "-m", "poster", "-s", "512x512").out
    assert inhabited.run("models", "remove", "acme/poster").out == "acme/poster is gone\n"


def test_a_model_that_is_here_is_replaced_only_where_that_is_said(inhabited: Home) -> None:
    add = ("models", "add", "DALL-E-3", "--price", "0.30")
    refused = inhabited.run(*add)
    assert refused.code == 1 and "dall-e-3 of openai is here already (built in); nothing was changed" in refused.err
    assert "--replace" in refused.err
    assert inhabited.run(*add, "--replace").out == "dall-e-3: $0.30, sandbox only\n"
    shown = inhabited.run("models", "show", "dall-e-3").out
    assert re.search(r"card +built in, and the console has the last word", shown)
    assert "dall-e-3 (console: price)" in inhabited.run("doctor").out
    assert inhabited.run("models", "remove", "dall-e-3").code == 0


def test_a_model_is_shown_by_all_its_names_and_as_what_each_is(inhabited: Home) -> None:
    shown = inhabited.run("models", "show", "seedream-4.5").out
    assert re.search(r"called there +doubao-seedream-4-5-251128, .*Seedream:4.5 \(omnirouters\)", shown)
    (aliases,) = re.findall(r"^aliases +(.+)$", shown, re.MULTILINE)
    assert "doubao-seedream-4-5-251128" not in aliases


def test_what_a_model_makes_is_saved_as_what_it_is(inhabited: Home) -> None:
    Image.new("RGB", (512, 512), "red").save(inhabited.folder / "logo.png")
    vectorise = ("edit", "-i", "logo.png", "-m", "fal-recraft-vectorize", "--sandbox")
    for wanted, saved in (((), "edited.svg"), (("-o", "drawn"), "drawn.svg"), (("-o", "whole.svg"), "whole.svg")):
        told = inhabited.run(*vectorise, *wanted)
        assert told.code == 0, told.err
        assert told.out.startswith(f"{saved}  ")
        assert (inhabited.folder / saved).read_bytes().lstrip().startswith((b"<svg", b"<?xml"))
    refused = inhabited.run(*vectorise, "-o", "logo-2.webp")
    assert refused.code == 1 and "is not had from fal-recraft-vectorize; allowed: svg" in refused.err


def test_keys_come_and_go(inhabited: Home) -> None:
    made = inhabited.run("keys", "new", "an app", "--test", "--cap", "2.50", "--per", "week", "--expires", "30d")
    assert made.code == 0, made.err
    key = re.search(r"sk-test-\w+", made.out)
    id_ = re.search(r"key_\w+", made.out)
    assert key and id_
    assert inhabited.run("generate", "x", "-m", "test/test", "-o", "x.png", "--key", key[0]).code == 0
    listed = inhabited.run("keys")
    assert "an app" in listed.out and "$2.50 a week" in listed.out and key[0] not in listed.out
    changed = inhabited.run("keys", "change", id_[0], "--models", "gpt-*", "--cap", "none", "--expires", "never")
    assert changed.code == 0 and "works, gpt-*" in changed.out
    assert inhabited.run("keys", "disable", id_[0]).code == 0
    refused = inhabited.run("generate", "x", "-m", "test/test", "--key", key[0])
    assert refused.code == 1 and "is disabled" in refused.err
    assert inhabited.run("keys", "enable", id_[0]).code == 0


def test_money_is_deposited_and_shown(inhabited: Home) -> None:
    assert inhabited.run("projects", "new", "A shop", "--prepaid", "--id", "shop").code == 0
    assert "$12.50" in inhabited.run("balance", "deposit", "12.50", "--project", "shop", "--note", "by bank").out
    assert "$10.00" in inhabited.run("balance", "deposit", "--project", "shop", "--", "-2.50").out
    shown = inhabited.run("balance", "--project", "shop")
    assert "prepaid" in shown.out and "by bank" in shown.out and "correction" in shown.out
    assert "shop" in inhabited.run("projects").out
    assert "house (the house itself)" in inhabited.run("balance", "--project", "house").out


async def test_channels_are_added_and_removed(home: Home) -> None:
    async with running(Upstream()) as upstream:
        with serving(home):
            assert "there is none" in (await asyncio.to_thread(home.run, "channels")).out
            add = ("channels", "add", "mine", "--provider", "openai", "--base-url", upstream.url, "--private")
            told = await asyncio.to_thread(home.run, *add, "--models", "ours=theirs", stdin=f"{KEY}\n")
            assert told.code == 0 and KEY not in told.out + told.err
            drawn = await asyncio.to_thread(home.run, "generate", "x", "-m", "ours", "-s", "64x64")
            assert drawn.code == 0 and "at a cost nobody knows" in drawn.out
            assert upstream.seen[0].headers["authorization"] == f"Bearer {KEY}"
            assert upstream.seen[0].fields["model"] == "theirs"
            priced = await asyncio.to_thread(home.run, "models", "set-price", "ours", "0.04")
            assert priced.code == 1 and "only a channel knows ours" in priced.err
            told = await asyncio.to_thread(home.run, *add, "--api-key-env", "MINE", "--weight", "3", MINE="sk-2")
            assert told.code == 0
            listed = await asyncio.to_thread(home.run, "channels")
            assert "mine" in listed.out and "ready" in listed.out and "sk-2" not in listed.out
            (home.folder / "flow.json").write_text('{"1": {"class_type": "KSampler", "inputs": {"seed": "{{seed}}"}}}')
            engine = ("channels", "add", "engine", "--provider=comfyui", "--no-key", "--option", "workflow=@flow.json")
            assert (await asyncio.to_thread(home.run, *engine)).code == 0
            told = await asyncio.to_thread(home.run, "channels", "--json")
            options = {channel["name"]: channel["options"] for channel in msgspec.json.decode(told.out)}
            assert options["engine"]["workflow"]["1"]["class_type"] == "KSampler"
            refused = await asyncio.to_thread(home.run, *engine[:-1], "workflow=@nowhere.json")
            assert refused.code == 1 and "nowhere.json cannot be read" in refused.err
            assert (await asyncio.to_thread(home.run, "channels", "remove", "mine")).code == 0
            refused = await asyncio.to_thread(home.run, "channels", "remove", "mine")
            assert refused.code == 1 and "no channel 'mine'" in refused.err


def test_jobs_are_listed_and_shown(inhabited: Home) -> None:
    assert inhabited.run("generate", "a lighthouse", "-m", "test/test", "-s", "64x64", "-o", "l.png").code == 0
    assert "a lighthouse" in inhabited.run("jobs").out
    job = inhabited.json("jobs", "--limit", "1")[0]
    shown = inhabited.run("jobs", "show", str(job["id"]))
    assert "sandbox-test: done" in shown.out and "/files/" in shown.out
    cancelled = inhabited.run("jobs", "cancel", str(job["id"]))
    assert cancelled.code == 1 and "too late" in cancelled.out
    resolved = inhabited.run("jobs", "resolve", str(job["id"]), "release")
    assert resolved.code == 1 and "succeeded" in resolved.err


def test_the_doctor_says_what_it_found(inhabited: Home) -> None:
    told = inhabited.run("doctor")
    assert told.code == 0, told.out
    assert "✓  sandbox" in told.out and "!  channels" in told.out and "OPENAI_API_KEY" in told.out
    assert {check["level"] for check in inhabited.json("doctor")} == {"ok", "warning"}


def test_the_doctor_misses_a_gateway_and_a_closed_profile(home: Home) -> None:
    home.profile.parent.mkdir(parents=True)
    home.profile.write_text("")
    home.profile.chmod(0o644)
    told = home.run("doctor", "--url", "http://127.0.0.1:9")
    assert told.code == 1 and "✗  gateway" in told.out


# -- errors --


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("generate",), "PROMPT"),
        (("generat", "x"), 'Did you mean "generate"'),
        (("generate", "x", "--colour", "red"), "--colour"),
        (("generate", "x", "--n", "many"), "--n"),
        (("generate", "x", "--option", "red"), "name=value"),
        (("generate", "x", "--format", "bmq"), "No picture format"),
        (("generate", "x", "--url", "http://127.0.0.1:9", "--key", "k"), "no answer from http://127.0.0.1:9"),
        (("generate", "x", "--url", "localhost:4000"), "write http://127.0.0.1:4000"),
        (("generate", "x", "--url", "http://127.0.0.1:99999"), "ports: 0 to 65535"),
        (("serve", "--port", "99999"), "there is no port 99999; choose one from 0"),
        (("generate", "x", "--key", "k", "--live"), "leave --sandbox and --live out"),
        (("keys", "--url", "http://127.0.0.1:9"), "no admin key for http://127.0.0.1:9"),
        (("keys", "new", "x", "--expires", "soon"), "write 2027-01-31"),
        (("jobs", "--limit", "0"), '"0" for --limit. Must be >= 1.'),
        (("balance", "--limit", "1001"), '"1001" for --limit. Must be <= 1000.'),
        (("edit", "x", "-i", "nowhere.png", "--url", "http://127.0.0.1:9"), "nowhere.png: No such file"),
    ],
)
def test_an_error_is_one_line_and_exit_code_1(home: Home, arguments: tuple[str, ...], says: str) -> None:
    told = home.run(*arguments)
    assert told.code == 1
    assert len(told.err.splitlines()) == 1 and told.err.startswith("pictura: ") and says in told.err, told.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("generate", "x", "-m", "no-such-model"), "no-such-model"),
        (("edit", "x", "-i", "text.txt"), "text.txt: "),
        (("keys", "new", "x", "--cap", "much"), "12.50"),
        (("keys", "new", "x", "--expires", "2020-01-01"), "which is past"),
        (("jobs", "--before", "nope"), "must be the id of a job"),
        (("keys", "disable", "key_0"), "no key 'key_0'"),
        (("channels", "add", "x", "--provider", "acme", "--no-key"), "openai"),
        (("channels", "add", "x", "--provider", "openai", "--api-key-env", "NOT_SET"), "NOT_SET is not set"),
        (("jobs", "show", "job_0"), "no job 'job_0'"),
        (("balance", "--project", "nobody"), "no project 'nobody'"),
        (("keys", "--key", "sk-pic-nobody"), "not known here"),
    ],
)
def test_what_the_gateway_refuses_is_told_in_its_words(inhabited: Home, arguments: tuple[str, ...], says: str) -> None:
    (inhabited.folder / "text.txt").write_text("no picture")
    told = inhabited.run(*arguments)
    assert told.code == 1
    assert len(told.err.splitlines()) == 1 and says in told.err, told.err


def test_something_else_that_listens_is_not_taken_for_a_gateway(home: Home, port: int) -> None:
    home.profile.parent.mkdir(parents=True)
    home.profile.write_text(f'[[gateway]]\nurl = "http://127.0.0.1:{port}"\nadmin_key = "{ADMIN}"\n')
    told = home.run("keys")
    assert told.code == 1 and "no gateway runs here" in told.err


def test_a_broken_profile_is_told(home: Home) -> None:
    home.profile.parent.mkdir(parents=True)
    home.profile.write_text("[[gateway]]\n")
    told = home.run("keys")
    assert told.code == 1 and "mend it, or move it away" in told.err


# -- in this process --


@pytest.mark.parametrize("command", ["serve", "generate", "edit", "models", "keys", "channels", "balance", "jobs"])
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"pictura {command}" in capsys.readouterr().out


def test_help_and_version_load_no_server(home: Home) -> None:
    code = (
        "import sys\nfrom pictura.doors.cli import main\n"
        "try:\n    main([sys.argv[1]])\nexcept SystemExit as ended:\n    assert ended.code == 0\n"
        "heavy = {'aiohttp', 'uvicorn', 'starlette', 'sqlalchemy', 'pyvips', 'cryptography'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    for flag in ("--help", "--version"):
        ran = subprocess.run(
            [sys.executable, "-c", code, flag],
            env=home.environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == __version__


def test_the_profile_keeps_what_it_was_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    odd = 'a "quoted" \\ folder\nof two lines 雪'
    first = profile.remember(Entry("http://127.0.0.1:1", odd, "sk-a", "sk-t"), first=True)
    assert profile.entries() == [first]
    other = profile.remember(Entry("http://127.0.0.1:2", "/other"), first=False)
    assert profile.entries() == [other, first]
    moved = profile.remember(Entry("http://127.0.0.1:3", odd), first=False)
    assert (moved.url, moved.admin_key, moved.test_key) == ("http://127.0.0.1:3", "sk-a", "sk-t")
    assert profile.entries() == [moved, other]
    anew = profile.remember(Entry("http://127.0.0.1:3", odd, "sk-b", ""), first=True)
    assert profile.entries() == [anew, other]
    assert stat.S_IMODE(profile.path().stat().st_mode) == 0o600
