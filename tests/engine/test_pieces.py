"""What a vendor says between its pictures, and what it is told before them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pictura.core.model import ModelCard
from pictura.core.request import Turn
from pictura.core.result import ImageResult, Piece
from pictura.providers.base import Done
from tests.conftest import CARD, Drawn, Scripted, picture
from tests.engine.conftest import ask, open_engine


class Telling(Scripted):
    """Says `pieces` of whatever it draws."""

    name = "scripted"
    pieces: tuple[Piece, ...] = (Piece(text="first"), Piece(picture=0, signature="c2lnbmVk"))

    def _done(self, drawn: Drawn, count: int) -> Done:
        done = super()._done(drawn, count)
        done.pieces, done.texts, done.thought_tokens = self.pieces, ("first",), 7
        done.extras = {"safetyRatings": [{"category": "x"}]}
        return done


class Instructed(Scripted):
    name = "scripted"

    def instructed(self, card: ModelCard, native: str) -> bool:
        return True


async def drawn(data: Path, provider: Scripted, **said: Any) -> ImageResult:
    async with open_engine(data, provider) as engine:
        outcome = await engine.draw(ask(**said))
    assert outcome.result is not None, outcome.error
    return outcome.result


async def test_pieces_of_several_calls_stand_one_after_the_other(data: Path) -> None:
    result = await drawn(data, Telling(), n=2 * CARD.max_n)
    assert [(piece.text, piece.picture) for piece in result.pieces] == [
        ("first", None),
        ("", 0),
        ("first", None),
        ("", CARD.max_n),
    ]
    assert result.pieces[1].signature == "c2lnbmVk"
    assert (result.thought_tokens, result.extras) == (14, {"safetyRatings": [{"category": "x"}]})


async def test_what_is_said_in_an_ephemeral_job_is_told_and_not_kept(data: Path) -> None:
    async with open_engine(data, Telling()) as engine:
        turns = (Turn("user", ("a hare",)), Turn("model", ("a wolf",)))
        outcome = await engine.draw(ask(delivery="b64_ephemeral", system="be brief", turns=turns))
        assert outcome.result is not None
        assert outcome.result.texts == ("first",)
        assert outcome.result.pieces and outcome.result.extras
        rows = str([engine.database.read(lambda tx, t=t: tx.all(f"SELECT * FROM {t}")) for t in ("jobs", "attempts")])  # type: ignore[misc]
    for said in ("fox", "hare", "wolf", "brief", "first", "c2lnbmVk", "safetyRatings"):
        assert said not in rows.replace(f"'{CARD.id}'", "").replace(f'"{CARD.id}"', "")


async def test_a_broken_picture_leaves_the_others_in_their_places(data: Path) -> None:
    provider = Telling(Drawn(each=(picture(), b"junk", picture())))
    provider.pieces = (Piece(picture=2), Piece(text="and"), Piece(picture=1), Piece(picture=0))
    result = await drawn(data, provider)
    assert len(result.pictures) == 2
    assert result.pieces == (Piece(picture=1), Piece(text="and"), Piece(picture=0))


async def test_an_instruction_is_the_beginning_of_the_prompt(data: Path) -> None:
    provider = Scripted()
    turns = (Turn("user", ("a fox",)), Turn("model", ("why?",)), Turn("user", ("because",)))
    result = await drawn(data, provider, prompt="a fox\nbecause", turns=turns, system="in blue")
    asked = provider.calls[0].ask
    assert (asked.prompt, asked.system) == ("in blue\na fox\nbecause", "")
    assert asked.turns == (Turn("user", ("in blue",)), *turns)
    assert result.adjusted == ("systemInstruction→prompt",)


async def test_an_instruction_alone_is_the_prompt(data: Path) -> None:
    provider = Scripted()
    await drawn(data, provider, prompt="", system="in blue")
    assert provider.calls[0].ask.prompt == "in blue"


async def test_an_instruction_stays_one_where_it_is_known(data: Path) -> None:
    provider = Instructed()
    result = await drawn(data, provider, system="in blue")
    assert (provider.calls[0].ask.prompt, provider.calls[0].ask.system) == ("a fox", "in blue")
    assert result.adjusted == ()
