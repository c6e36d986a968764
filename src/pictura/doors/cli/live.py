"""`pictura doctor --live`: one real picture through each channel, its price told before anybody is asked."""

from __future__ import annotations

from collections.abc import Sequence

from pictura.core.errors import BadRequest
from pictura.core.money import show, usd
from pictura.doors.cli.client import PICTURE_S, Client
from pictura.doors.cli.profile import Entry
from pictura.doors.cli.reach import Reach
from pictura.doors.cli.tables import agreed, as_json, money, table, waiting
from pictura.doors.desk.shapes import Page, Trial, Tried

_PATH = "/api/doctor/live"


def try_channels(names: Sequence[str], *, yes: bool, json: bool, reach: Reach) -> int:
    """Say what would be drawn, ask, draw. 0 where every channel drew, else 1."""
    if json and not yes:
        raise BadRequest("with --json nobody can be asked; say --yes as well, if it may cost money")
    if reach.find() is not None:
        return _try(reach.administer(), names, yes=yes, json=json)
    return _try_here(names, yes=yes, json=json)


def _try_here(names: Sequence[str], *, yes: bool, json: bool) -> int:
    """With a gateway for this alone: its own data, this machine's channels."""
    from pictura.doors.cli.local import with_gateway
    from pictura.doors.cli.serve import USUAL_CONFIG
    from pictura.infra.config import Settings, environment, load

    told = load(USUAL_CONFIG if USUAL_CONFIG.exists() else None)

    def work(here: Entry) -> int:
        return _try(Client(here.url, here.admin_key), names, yes=yes, json=json)

    return with_gateway(work, Settings(channel=told.channel, aliases=told.aliases), environment())


def _try(client: Client, names: Sequence[str], *, yes: bool, json: bool) -> int:
    trials = client.ask("GET", _PATH, Page[Trial], query={"names": ",".join(names)}).data
    drawable = [trial for trial in trials if trial.model]
    if not json:
        table(("channel", "provider", "model", "picture", "cost"), [_row(trial) for trial in trials], _NOTHING)
    if drawable and not yes and not agreed(_question(drawable)):
        print("nothing was asked of anybody, and nothing was paid")
        return 1
    came = [_draw(client, trial, quiet=json) for trial in drawable]
    if json:
        as_json(came)
    return int(not came or len(came) < len(trials) or any(tried.error for tried in came))


_NOTHING = "no channel is there to be tried; set a provider's key in the environment, or: pictura channels add"


def _row(trial: Trial) -> tuple[str, ...]:
    if not trial.model:
        return trial.channel, trial.provider, f"not tried: {trial.why}", "", ""
    picture = " ".join(filter(None, (trial.size, trial.quality)))
    return trial.channel, trial.provider, trial.model, picture, _price(trial)


def _price(trial: Trial) -> str:
    return "cost unknown" if trial.cost is None else f"up to {money(trial.cost)}"


def _question(trials: Sequence[Trial]) -> str:
    what = "this picture" if len(trials) == 1 else f"these {len(trials)} pictures"
    return f"Draw {what}, {_total(trials)}?"


def _total(trials: Sequence[Trial]) -> str:
    known = [usd(trial.cost) for trial in trials if trial.cost is not None]
    unknown = len(trials) - len(known)
    if not known:
        return "cost unknown"
    return f"for up to {show(sum(known))}" + (f", and {unknown} at a cost unknown" if unknown else "")


def _draw(client: Client, trial: Trial, *, quiet: bool) -> Tried:
    with waiting(f"{trial.model} draws through {trial.channel}"):
        tried = client.ask("POST", _PATH, Tried, body=trial, timeout_s=PICTURE_S)
    if not quiet:
        print(_said(tried))
    return tried


def _said(tried: Tried) -> str:
    job = f" ({tried.job})" if tried.job else ""
    if tried.error is not None:
        billed = "; it may have been billed" if tried.error.possibly_billed else ""
        return f"✗ {tried.channel}: {tried.error.message}{billed}{job}\n  {tried.advice}"
    format = tried.media_type.partition("/")[2] or "picture, handed on unseen"
    pixels = f"{tried.width}x{tried.height} " if tried.width else ""
    cost = "cost unknown" if tried.cost is None else money(tried.cost)
    return f"✓ {tried.channel}: {pixels}{format}, {tried.bytes / 1000:,.1f} KB, {tried.seconds:.1f} s, {cost}{job}"
