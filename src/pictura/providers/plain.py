"""The house's own plain wire, which the sandbox speaks for every vendor that it does not imitate natively.

POST {base_url}/v1/draw    Authorization: Bearer <test key>
{"model", "prompt", "n", "size", "aspect", "tier", "seed", "quality", "background",
 "output_format", "output_compression", "images": [data URLs], "mask": data URL, "client_id"}
→ 200 {"pictures": [{"b64_json", "seed"}]}
→ 4xx, 5xx {"error": {"code", "message"}}; code "content_refused" is a refusal
"""

from __future__ import annotations

from collections.abc import Mapping

from pictura.core.datasheet import LOSSY
from pictura.core.errors import Malformed, PicturaError, Refused
from pictura.infra.http import Answer
from pictura.infra.payload import json_payload
from pictura.providers.answers import close_unused, closed_on_error, document_of, items, mapping, picture, said
from pictura.providers.base import Ask, Channel, Done, Provider, Raw, error_from, retry_after, unreadable

REFUSED = "content_refused"
#: Where the plain simulator lives, below the sandbox's own address.
SANDBOX_PATH = "/plain"


class PlainProvider(Provider):
    """Base of the providers whose channels lead to the sandbox. It has no name, so nobody can configure it."""

    compresses = LOSSY

    async def start(self, ask: Ask, via: Channel) -> Done:
        answer = await via.send(
            "POST",
            "/v1/draw",
            headers={"Authorization": f"Bearer {self._key(via)}"},
            body=json_payload(_fields(ask)),
            picture_keys=frozenset({"b64_json"}),
        )
        with closed_on_error(answer):
            return self._done(answer, via)

    def _key(self, via: Channel) -> str:
        """Any of them: a sandbox channel has the test key wherever its vendor wants a secret."""
        return next(iter(via.secrets.values()), "")

    def _done(self, answer: Answer, via: Channel) -> Done:
        if answer.status != 200:
            raise self._error(answer, via)
        pictures = [raw for entry in items(mapping(answer.json()).get("pictures")) if (raw := _raw(entry, answer))]
        if not pictures:
            raise Malformed(f"{via.name} answered without a picture", upstream_status=answer.status)
        close_unused(answer.pictures, pictures)
        return Done(pictures=tuple(pictures))

    def _error(self, answer: Answer, via: Channel) -> PicturaError:
        error = mapping(document_of(answer).get("error"))
        if not error:
            return unreadable(answer)
        code, message = str(error.get("code", "")), said(error.get("message"), via)
        if code == REFUSED:
            return Refused(message, reason=code, by="sandbox")
        return error_from(answer.status, message, code, retry_after(answer))


def _fields(ask: Ask) -> dict[str, object]:
    seed = ask.params.get("seed")  # -1 is some vendors' word for "any"
    return {
        "model": ask.native,
        "prompt": ask.prompt,
        "n": ask.n,
        "size": str(ask.size) if ask.size.width else "",
        "aspect": ask.size.aspect,
        "tier": ask.size.tier,
        "seed": seed if isinstance(seed, int) and seed >= 0 else None,
        "quality": ask.params.get("quality", ""),
        "background": ask.params.get("background", ""),
        "output_format": ask.output_format,
        "output_compression": ask.output_compression,
        "images": [image.data_url for image in ask.images],
        "mask": ask.mask and ask.mask.data_url,
        "client_id": ask.client_id,
    }


def _raw(entry: Mapping[str, object], answer: Answer) -> Raw | None:
    return picture([entry.get("b64_json")], answer.pictures, seed=entry.get("seed"))
