"""The live smoke test, against scripted providers on loopback and nobody else: what it tells, asks, spends and says."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import msgspec
import pytest

from pictura.core.errors import Rejected
from pictura.core.plugins import discover
from pictura.core.size import AUTO, FreePixels, ListedPixels, OwnSize, Shapes, Size, Sizes, fit
from pictura.doors.desk.live import sizes_to_try
from pictura.doors.desk.shapes import Page, Trial, Tried
from pictura.providers.base import Provider
from pictura.sandbox.base import SECRET
from pictura.store.channels import ChannelRecord
from tests.doors.door import ADMIN, GENERIC, SHARED, STUDIO, TEST, Answer, Door
from tests.doors.test_cli import Home, channel, serving
from tests.upstream import Behaviour, Upstream, page, reset_after_reading, running, say

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATH = "/api/doctor/live"


async def planned(door: Door, names: str = "") -> list[Trial]:
    answer = await door.send("GET", f"{PATH}?names={names}", key=ADMIN)
    assert answer.status == 200, answer.body
    return msgspec.json.decode(answer.body, type=Page[Trial]).data


async def ask(door: Door, trial: Trial, key: str = ADMIN) -> Answer:
    return await door.ask(trial, path=PATH, key=key)


async def tried(door: Door, name: str) -> Tried:
    (trial,) = await planned(door, name)
    answer = await ask(door, trial)
    assert answer.status == 200, answer.body
    return msgspec.json.decode(answer.body, type=Tried)


def record(door: Door, upstream: Upstream, name: str, **said: object) -> None:
    """A further channel of OpenAI's format, without a price of its own."""
    fields: dict[str, object] = {
        "provider": "openai",
        "base_url": upstream.url,
        "secrets": {"api_key": "sk-of-the-live-test"},
        "allow_private": True,
        **said,
    }
    door.house.channels.add(ChannelRecord(name=name, **fields))  # type: ignore[arg-type]


# -- what is told beforehand --


async def test_the_cheapest_and_smallest_picture_of_each_channel_is_told(door: Door, upstream: Upstream) -> None:
    jobs = len(door.jobs())
    main, spare = await planned(door, "openai")
    assert (main.channel, main.provider, main.cost) == ("main", "openai", "0.04")
    assert (spare.channel, spare.model, spare.size, spare.quality) == ("spare", SHARED, "816x816", "low")
    assert await planned(door, "spare") == [spare]
    assert upstream.seen == [] and len(door.jobs()) == jobs


async def test_of_several_models_the_cheapest_one_is_told(door: Door, upstream: Upstream) -> None:
    record(door, upstream, "cards")
    (trial,) = await planned(door, "cards")
    everything = [card for card in door.house.providers["openai"].MODELS if card.status != "retired"]
    assert trial.model == "gpt-image-1-mini" and trial.model in {card.id for card in everything}
    assert trial.cost is not None and 0 < float(trial.cost) < 0.01


async def test_what_nobody_knows_the_price_of_is_told_so(door: Door, upstream: Upstream) -> None:
    record(door, upstream, "unpriced", models={GENERIC: ""})
    (trial,) = await planned(door, "unpriced")
    assert (trial.model, trial.size, trial.cost) == (GENERIC, "1024x1024", None)
    record(door, upstream, "mixed", models={GENERIC: "", "gpt-image-2": ""})
    (mixed,) = await planned(door, "mixed")
    assert mixed.model == "gpt-image-2" and mixed.cost is not None


async def test_a_channel_that_draws_nothing_from_words_is_not_tried(door: Door, upstream: Upstream) -> None:
    record(door, upstream, "upscaler", provider="stability", models={"stable-image-upscale-fast": ""})
    (trial,) = await planned(door, "upscaler")
    assert trial.model == "" and "from words alone" in trial.why
    assert (await ask(door, trial)).status == 400


async def test_unknown_and_disabled_channels_are_named(door: Door, upstream: Upstream) -> None:
    record(door, upstream, "off", enabled=False)
    for name in ("off", "nobody", "main,nobody", "sandbox-openai"):
        answer = await door.send("GET", f"{PATH}?names={name}", key=ADMIN)
        assert answer.status == 404 and b"there are: main" in answer.body


async def test_every_provider_has_a_picture_to_try(door: Door, upstream: Upstream) -> None:
    """Of all models that ours have, with the sizes and options that their cards name."""
    found, _ = discover("pictura.providers", "pictura.providers", Provider)  # type: ignore[type-abstract]
    names = [name for name, provider in found.items() if provider.live and provider.MODELS and name != "test"]
    for name in names:
        record(door, upstream, f"try-{name}", provider=name)
    trials = await planned(door, ",".join(f"try-{name}" for name in names))
    assert [trial.provider for trial in trials if not trial.model] == []
    assert upstream.seen == []


async def test_every_vendor_draws_it(door: Door, upstream: Upstream) -> None:
    """Each is played by its simulator, which is reached like a vendor: through the gateway's own port, with a key."""
    native = {name: provider for name, provider in door.house.providers.items() if provider.sandbox_path}
    for name, provider in native.items():
        first, *others = provider.env or ("api_key",)
        secrets = {first: TEST, **dict.fromkeys(others, SECRET)}
        record(door, upstream, f"{name}-played", provider=name, base_url=played(door, provider), secrets=secrets)
    came = await asyncio.gather(*(tried(door, f"{name}-played") for name in native))
    assert [one for one in came if one.error is not None] == []
    assert all(one.width and one.height for one in came) and len(came) > 15


def played(door: Door, provider: Provider) -> str:
    return f"{door.url}/sandbox{provider.sandbox_path}"


@pytest.mark.parametrize(
    ("sizes", "tried"),
    [
        (FreePixels(step=16, min_pixels=655_360, presets=("1024x1024",)), [(816, 816), (1024, 1024)]),
        (FreePixels(step=32, min_edge=250, max_edge=1440), [(256, 256)]),
        (FreePixels(step=8), [(512, 512)]),
        (FreePixels(presets=("1536x1024", "1024x1024", "auto")), [(1024, 1024)]),
        (ListedPixels(values=("1792x1024", "512x512", "1024x1024")), [(512, 512)]),
    ],
)
async def test_the_smallest_pixels(sizes: Sizes, tried: list[tuple[int, int]]) -> None:
    found = sizes_to_try(sizes)
    assert [(size.width, size.height) for size in found] == tried
    assert [fit(size, sizes) for size in found] == list(found)


@pytest.mark.parametrize(
    ("sizes", "tried"),
    [
        (Shapes(aspects=("16:9", "1:1"), tiers=("2K", "512", "1K")), Size(aspect="1:1", tier="512")),
        (Shapes(aspects=("16:9", "4:3")), AUTO),
        (Shapes(tiers=("4k", "2k")), Size(tier="2k")),
        (OwnSize(), AUTO),
    ],
)
async def test_the_smallest_shape(sizes: Sizes, tried: Size) -> None:
    assert sizes_to_try(sizes) == (tried,)


# -- what is drawn --


async def test_it_draws_through_the_channel_that_was_named(door: Door, upstream: Upstream) -> None:
    """`main` serves this model too, and would be asked before it."""
    before = door.purse("default").balance
    came = await tried(door, "spare")
    assert (came.channel, came.model, came.media_type) == ("spare", SHARED, "image/png")
    assert (came.width, came.height, came.cost, came.error) == (816, 816, "0.04", None)
    assert came.bytes > 0 and came.seconds >= 0
    (seen,) = upstream.seen
    assert (seen.fields["size"], seen.fields["quality"], seen.fields.get("n", 1)) == ("816x816", "low", 1)
    assert door.purse("default").balance == before - 40_000
    shown = await door.send("GET", f"/api/jobs/{came.job}", key=ADMIN)
    assert b'"channel":"spare"' in shown.body and b'"state":"succeeded"' in shown.body


async def test_it_draws_what_was_told_or_nothing(door: Door, upstream: Upstream) -> None:
    (trial,) = await planned(door, "spare")
    for changed in ({"cost": "0.01"}, {"model": "gpt-image-1.5"}, {"size": "64x64"}, {"channel": "nobody"}):
        answer = await ask(door, msgspec.structs.replace(trial, **changed))
        assert answer.status == 400 and b"ask for the plan again" in answer.body
    assert upstream.seen == []


async def test_a_channel_that_rests_is_tried(door: Door, upstream: Upstream) -> None:
    door.house.health.failed("spare", SHARED, Rejected("no such key", upstream_status=401, config=True))
    assert (await tried(door, "spare")).error is None
    assert len(upstream.seen) == 1


async def test_a_test_key_spends_nothing(door: Door, upstream: Upstream) -> None:
    await door.new_key("sk-test-with-rights", kind="test", scopes=("draw", "admin"))
    (trial,) = await planned(door, "spare")
    answer = await ask(door, trial, key="sk-test-with-rights")
    assert answer.status == 400 and b"spends no money" in answer.body
    assert upstream.seen == []


@pytest.mark.parametrize(
    ("behaviour", "kind", "billed", "advice"),
    [
        (say(401, message="Incorrect API key"), "Rejected", False, "give the channel another one"),
        (say(402), "Rejected", False, "account at the vendor is empty"),
        (say(404), "Rejected", False, "in the channel's models"),
        (say(409), "Rejected", False, "look at the account"),
        (say(429), "Throttled", False, "wait"),
        (say(400, code="moderation_blocked"), "Refused", False, "safety settings"),
        (say(400), "BadRequest", False, "card and the vendor disagree"),
        (say(500), "Failed", True, "usage page"),
        (page(502), "Lost", True, "usage page"),
        (reset_after_reading, "Lost", True, "usage page"),
    ],
)
async def test_an_error_says_what_to_do(
    behaviour: Behaviour, kind: str, billed: bool, advice: str, door: Door, upstream: Upstream
) -> None:
    upstream.always = behaviour
    came = await tried(door, "spare")
    assert came.error is not None and came.cost is None
    assert (came.error.kind, came.error.possibly_billed) == (kind, billed)
    assert advice in came.advice
    assert len(upstream.seen) == 1


async def test_an_address_where_nobody_listens(door: Door, upstream: Upstream) -> None:
    record(door, upstream, "nowhere", base_url="http://127.0.0.1:9/v1", models={"gpt-image-2": ""})
    came = await tried(door, "nowhere")
    assert came.error is not None and came.error.kind == "NotSent" and "base_url" in came.advice


async def test_a_project_that_pays_before_has_to_have_something(door: Door, upstream: Upstream) -> None:
    await door.house.database.write(lambda tx: tx.run("UPDATE projects SET prepaid = 1 WHERE id = 'default'"))
    door.house.keys.load()
    try:
        came = await tried(door, "spare")
    finally:
        await door.house.database.write(lambda tx: tx.run("UPDATE projects SET prepaid = 0 WHERE id = 'default'"))
        door.house.keys.load()
    assert came.error is not None and came.error.kind == "InsufficientBalance" and "deposit" in came.advice
    assert upstream.seen == [] and door.purse(STUDIO).held == 0


# -- the command --


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def settings(home: Home, upstream: Upstream, *, price: str = "0.0421", models: str = "'gpt-image-2'") -> None:
    told = channel(upstream) + f"models = [{models}]\n"
    priced = f"price = {{per_picture = '{price}'}}\n" if price else ""
    (home.folder / "pictura.toml").write_text(told + priced)


async def test_it_says_first_and_asks_before_it_spends(home: Home) -> None:
    async with running(Upstream()) as upstream:
        settings(home, upstream)
        with serving(home):
            for answer in ("n\n", "\n", "", "perhaps\n"):
                told = await asyncio.to_thread(home.run, "doctor", "--live", "main", stdin=answer)
                assert told.code == 1 and "nothing was paid" in told.out
                assert re.search(r"^main +openai +gpt-image-2 +816x816 low +up to \$0\.0421$", told.out, re.MULTILINE)
                assert "Draw this picture, for up to $0.0421? [y/N]" in told.out
            assert upstream.seen == [] and home.json("jobs") == []
            told = await asyncio.to_thread(home.run, "doctor", "--live", stdin="y\n")
            assert told.code == 0, told.err
            assert re.search(r"✓ main: 816x816 png, [\d.]+ KB, \d+\.\d s, \$0\.0421 \(job_\w+\)\n", told.out)
            assert len(upstream.seen) == 1


async def test_yes_skips_the_question(home: Home) -> None:
    async with running(Upstream()) as upstream:
        settings(home, upstream, price="", models="'somebody/new-model'")
        with serving(home):
            asked = await asyncio.to_thread(home.run, "doctor", "--live", "openai")
            assert "Draw this picture, cost unknown? [y/N]" in asked.out and upstream.seen == []
            told = await asyncio.to_thread(home.run, "doctor", "--live", "openai", "--yes")
            assert told.code == 0 and "[y/N]" not in told.out
            assert re.search(r"^main +openai +somebody/new-model +1024x1024 +cost unknown$", told.out, re.MULTILINE)
            assert re.search(r"✓ main: 1024x1024 png, .*, cost unknown \(job_", told.out)
            (came,) = await asyncio.to_thread(home.json, "doctor", "--live", "-y")
            assert (came["width"], came["cost"], came["error"]) == (1024, None, None)


async def test_an_error_is_told_with_what_to_do(home: Home) -> None:
    async with running(Upstream(say(401, message="Incorrect API key"))) as upstream:
        settings(home, upstream)
        with serving(home):
            told = await asyncio.to_thread(home.run, "doctor", "--live", "-y")
    assert told.code == 1
    assert re.search(r"✗ main: .*Incorrect API key.*\(job_\w+\)\n  .*give the channel another one\n", told.out)


async def test_without_a_gateway_one_is_opened_for_it(home: Home) -> None:
    async with running(Upstream()) as upstream:
        settings(home, upstream)
        told = await asyncio.to_thread(home.run, "doctor", "--live", stdin="yes\n")
        assert told.code == 0, told.err
        assert "✓ main: 816x816 png" in told.out and len(upstream.seen) == 1
    assert [path.name for path in home.folder.iterdir()] == ["pictura.toml"] and not home.profile.exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("openai",), "channels are named with --live"),
        (("--live", "--json"), "say --yes as well"),
        (("--live", "nobody"), "no enabled channel or provider of one is called 'nobody'; there are: none"),
    ],
)
async def test_what_cannot_be_is_one_line(home: Home, arguments: tuple[str, ...], says: str) -> None:
    told = home.run("doctor", *arguments)
    assert told.code == 1 and len(told.err.splitlines()) == 1 and says in told.err


async def test_without_a_channel_it_says_how_to_get_one(home: Home) -> None:
    told = home.run("doctor", "--live", "--yes")
    assert told.code == 1 and "no channel is there to be tried" in told.out
    told = home.run("doctor", "--live", "--yes", "--json")
    assert (told.code, told.out) == (1, "[]\n")
