"""What is said of a model on the command line: its price, and parts of its card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
from cyclopts import Parameter

from pictura.core.errors import BadRequest
from pictura.infra.config import ModelParts, ModelPrice, PriceRow, TokenRow


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Amounts:
    """What is billed beside, or in the place of, an amount for each picture."""

    row: Annotated[
        tuple[str, ...],
        Parameter(help="A picture by quality and size, high:1024x1024=0.133; either may be left out. Repeat for each."),
    ] = ()
    first_megapixel: Annotated[str, Parameter(help="The first megapixel of a picture.")] = ""
    further_megapixel: Annotated[str, Parameter(help="Each further one; else as much as the first.")] = ""
    per_input: Annotated[str, Parameter(help="Each picture sent.")] = ""
    image_out: Annotated[str, Parameter(help="A million tokens of drawn picture.")] = ""
    text_in: Annotated[str, Parameter(help="A million tokens of prompt.")] = ""
    cached_in: Annotated[str, Parameter(help="A million tokens of prompt that was read before.")] = ""
    image_in: Annotated[str, Parameter(help="A million tokens of pictures sent.")] = ""
    text_out: Annotated[str, Parameter(help="A million tokens of written answer.")] = ""
    tokens: Annotated[
        tuple[str, ...],
        Parameter(help="How many tokens a picture takes, high:1024x1024=4160; else as before. Repeat for each."),
    ] = ()
    currency: Annotated[str, Parameter(help="What the amounts are in, such as CNY.")] = "USD"
    rate: Annotated[str, Parameter(help="How many of that one dollar is, such as 7.10.")] = ""
    rate_date: Annotated[str, Parameter(help="When the rate was that.")] = ""
    source: Annotated[str, Parameter(help="Where the price is from: your contract, a page and its date.")] = ""

    def told(self, per_picture: str = "") -> ModelPrice:
        """In the admin API's words."""
        return ModelPrice(
            per_picture=per_picture,
            rows=tuple(PriceRow(amount=said.value, quality=said.quality, size=said.size) for said in _rows(self.row)),
            first_megapixel=self.first_megapixel,
            further_megapixel=self.further_megapixel,
            per_input=self.per_input,
            image_out=self.image_out,
            text_in=self.text_in,
            cached_in=self.cached_in,
            image_in=self.image_in,
            text_out=self.text_out,
            output_tokens=tuple(
                TokenRow(tokens=_whole(said.value), quality=said.quality, size=said.size) for said in _rows(self.tokens)
            ),
            currency=self.currency.upper(),
            rate=self.rate,
            rate_date=self.rate_date,
        )


NO_AMOUNTS = Amounts()


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Parts:
    """What is said of a model; whatever is not said is as on the card that it starts from."""

    base: Annotated[str, Parameter(help="A model to start from.")] = ""
    provider: Annotated[str, Parameter(help="Whose wire format it speaks, where there is no base.")] = ""
    native: Annotated[str, Parameter(help="What the vendor calls it.")] = ""
    alias: Annotated[tuple[str, ...], Parameter(help="Another name for it. Repeat for several.")] = ()
    size: Annotated[
        tuple[str, ...],
        Parameter(help="A size that may be asked for: 1024x1024, or 16:9 and 2K. Repeat for each."),
    ] = ()
    max_n: Annotated[int | None, Parameter(help="Pictures of one call to the vendor.")] = None
    notes: Annotated[str, Parameter(help="What a reader should know.")] = ""
    price: Annotated[str, Parameter(help="Dollars for each picture.")] = ""

    def told(self, amounts: Amounts) -> ModelParts:
        """In the admin API's words."""
        return ModelParts(
            base=self.base,
            provider=self.provider,
            native=self.native,
            aliases=self.alias or None,
            sizes=self.size or None,
            max_n=self.max_n,
            notes=self.notes or None,
            price=amounts.told(self.price) if self.price or amounts != NO_AMOUNTS else None,
            price_source=amounts.source,
        )


NO_PARTS = Parts()


class _Said(msgspec.Struct, frozen=True):
    value: str
    quality: str
    size: str


def _rows(texts: Sequence[str]) -> list[_Said]:
    """`high:1024x1024=0.133`, `high=0.133` and `2K=0.05`: a size begins with a digit."""
    found = []
    for text in texts:
        where, equals, value = text.rpartition("=")
        if not equals:
            raise BadRequest(f"{text!r} says no value; write it like high:1024x1024=0.133")
        quality, colon, size = where.partition(":")
        if not colon and quality[:1].isdigit():
            quality, size = "", quality
        found.append(_Said(value, quality, size))
    return found


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise BadRequest(f"--tokens: {text!r} is no count; write it like high:1024x1024=4160")
    return int(text)
