"""Inputs: from what a request names (an upload, a URL) to whole, checked bytes in the store.

What is wrong with a picture is found here, before any money is held and any provider is asked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec

from pictura.core import ids, media
from pictura.core.errors import BadRequest, NotFound, TooLarge
from pictura.core.media import Media
from pictura.core.model import ModelCard
from pictura.core.picture import Bytes
from pictura.core.request import ImageRequest, InputPicture, Upload
from pictura.core.size import bounds, outside
from pictura.infra.blobs import Blobs
from pictura.infra.fetch import Fetcher, FetchFailed
from pictura.infra.imaging import Imaging
from pictura.infra.spool import Spool
from pictura.providers.base import AskPicture

#: How much of a picture's start and end stands for the whole in a request's hash: a retry sends the same file again.
HASHED_BYTES = 64 * 1024


class Inputs(msgspec.Struct):
    """The pictures of one request, ready to be sent, and the spools to close when it has ended."""

    images: tuple[AskPicture, ...] = ()
    mask: AskPicture | None = None
    spools: list[Spool] = []
    keys: list[str] = []
    #: What was converted: `image=gif→png`.
    adjusted: list[str] = []

    @property
    def all(self) -> tuple[AskPicture, ...]:
        return (*self.images, self.mask) if self.mask else self.images

    def close(self) -> None:
        for spool in self.spools:
            spool.close()


class Intake:
    """`own_key(url)`: the blob's key where a URL is one of this house's own, else ""; raises NotFound where it was."""

    def __init__(self, blobs: Blobs, fetcher: Fetcher, imaging: Imaging, own_key: Callable[[str], str]) -> None:
        self._blobs = blobs
        self._fetcher = fetcher
        self._imaging = imaging
        self._own_key = own_key

    async def gather(self, request: ImageRequest, uploads: Sequence[Upload], card: ModelCard, cap_bytes: int) -> Inputs:
        """All inputs, checked against the card; the uploads are the job's from here on, to close with the rest.

        Raises BadRequest and its kin, naming the picture.
        """
        inputs = Inputs(spools=[upload.source for upload in uploads if isinstance(upload.source, Spool)])
        try:
            images = []
            for number, picture in enumerate(request.images, 1):
                name = "the picture" if len(request.images) == 1 else f"picture {number}"
                cap = min(cap_bytes, card.inputs.max_bytes)
                found = await self._one(picture, uploads, inputs, name, "image", cap)
                _check_pixels(found, name, card)
                images.append(await self._converted(found, inputs, name, card.inputs.formats, request.takes))
            inputs.images = tuple(images)
            if request.mask is not None and card.mask is not None:
                found = await self._one(request.mask, uploads, inputs, "the mask", "mask", card.mask.max_bytes)
                _check_format(found, "the mask", "mask", card.mask.formats)
                inputs.mask = found
                _check_mask(inputs)
        except BaseException:
            inputs.close()
            raise
        return inputs

    async def keep(self, job_id: str, request: ImageRequest, inputs: Inputs) -> ImageRequest:
        """Store the inputs, and give the request that names them by key."""
        stored = [await self._store(job_id, number, picture) for number, picture in enumerate(inputs.all)]
        inputs.keys = [picture.key for picture in stored]
        mask = stored.pop() if inputs.mask else None
        return msgspec.structs.replace(request, images=tuple(stored), mask=mask)

    def reopen(self, request: ImageRequest) -> Inputs:
        """The stored inputs of a job that is taken up again, as far as they are there: only a repeat needs them."""
        images = tuple(found for picture in request.images if (found := self._reopened(picture)))
        mask = None if request.mask is None else self._reopened(request.mask)
        keys = [picture.key for picture in (*request.images, request.mask) if picture is not None]
        return Inputs(images, mask, [], keys)

    async def forget(self, inputs: Inputs) -> None:
        """The job has ended: its inputs are not kept."""
        inputs.close()
        for key in inputs.keys:
            await self._blobs.delete(key)

    async def _one(
        self,
        picture: InputPicture,
        uploads: Sequence[Upload],
        inputs: Inputs,
        name: str,
        param: str,
        cap_bytes: int,
    ) -> AskPicture:
        source, told = await self._bytes(picture, uploads, inputs, name, param, cap_bytes)
        if source.size > cap_bytes:
            raise TooLarge(f"{name} has {source.size:,} bytes; at most {cap_bytes:,} are taken", param=param)
        found = _examined(source, name, param, told)
        url = picture.ref if picture.ref.startswith("http") else ""
        return AskPicture(source, found.type, found.width, found.height, url)

    async def _converted(
        self, picture: AskPicture, inputs: Inputs, name: str, formats: tuple[str, ...], promised: tuple[str, ...]
    ) -> AskPicture:
        """As PNG, where the dialect promises to take what the model does not."""
        if picture.format in formats or picture.format not in promised or "png" not in formats:
            _check_format(picture, name, "image", formats)
            return picture
        source = picture.source if isinstance(picture.source, Spool) else self._copied(picture.source)
        inputs.spools.append(source)
        try:
            made = await self._imaging.transcode(source, self._blobs.spool, format="png")
        except BadRequest as error:
            raise BadRequest(f"{name} cannot be taken: {error.message}", param="image") from None
        inputs.spools.append(made)
        inputs.adjusted.append(f"image={picture.format}→png")
        return AskPicture(made, "image/png", picture.width, picture.height)

    async def _bytes(
        self,
        picture: InputPicture,
        uploads: Sequence[Upload],
        inputs: Inputs,
        name: str,
        param: str,
        cap_bytes: int,
    ) -> tuple[Bytes, str]:
        """The bytes of a reference, and the media type somebody claimed for them."""
        if picture.ref.startswith("upload:"):
            upload = uploads[int(picture.ref.removeprefix("upload:"))]
            return upload.source, upload.media_type
        own = self._own(picture.ref, name, param)
        if own:
            return own, ""
        try:
            spool = await self._fetcher.picture(picture.ref, cap_bytes=cap_bytes)
        except FetchFailed as error:
            error.param = param
            raise
        inputs.spools.append(spool)
        return spool, spool.media_type

    def _own(self, url: str, name: str, param: str) -> Bytes | None:
        """The file that this house's own URL leads to; None: the URL is another's."""
        try:
            key = self._own_key(url)
        except NotFound as error:
            raise BadRequest(f"{name} is no URL that can be taken: {error.message}", param=param) from None
        try:
            return self._blobs.open(key) if key else None
        except NotFound:
            raise BadRequest(f"{name} is a URL of this house, but its file is no longer kept", param=param) from None

    async def _store(self, job_id: str, number: int, picture: AskPicture) -> InputPicture:
        kept = InputPicture(
            media_type=picture.media_type, width=picture.width, height=picture.height, bytes=picture.source.size
        )
        suffix = media.FORMATS[picture.media_type.partition("/")[2].split("+")[0]].extension
        key = f"in/{day_of(job_id)}/{job_id}-{number}.{suffix}"
        source = picture.source
        spool = source if isinstance(source, Spool) else self._copied(source)
        # Not worth a sync: after a power cut nothing is sent again that would need its inputs.
        await self._blobs.put(key, spool, durable=False)
        if spool is not source:
            spool.close()
        return msgspec.structs.replace(kept, key=key)

    def _copied(self, source: Bytes) -> Spool:
        spool = self._blobs.spool()
        for chunk in source.chunks():
            spool.write(chunk)
        return spool

    def _reopened(self, picture: InputPicture) -> AskPicture | None:
        try:
            return AskPicture(self._blobs.open(picture.key), picture.media_type, picture.width, picture.height)
        except NotFound:
            return None


def canonical_hash(request: ImageRequest, inputs: Inputs) -> str:
    """Equal for a request and its retry: everything that was asked, and the inputs by size, start and end."""
    digest = hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(request, images=(), mask=None), order="sorted"))
    for picture in inputs.all:
        digest.update(b"%d" % picture.source.size)
        digest.update(picture.source.read(0, HASHED_BYTES))
        digest.update(picture.source.read(-HASHED_BYTES, HASHED_BYTES))
    return digest.hexdigest()


def day_of(job_id: str) -> str:
    """The day a job was born, UTC: its blobs' folder, which can be found again knowing its id alone."""
    return datetime.fromtimestamp(ids.born_s(job_id), UTC).strftime("%Y-%m-%d")


def _examined(source: Bytes, name: str, param: str, told: str) -> Media:
    try:
        found = media.sniff(source.read, source.size)
        media.guard(found)
    except BadRequest as error:
        claim = f" (it was called {told[:60]})" if told else ""
        raise BadRequest(f"{name} cannot be taken{claim}: {error.message}", param=param) from None
    broken = media.flaw(source.read, source.size, found)
    if broken:
        raise BadRequest(f"{name} is not whole: {broken}", param=param)
    return found


def _check_format(picture: AskPicture, name: str, param: str, formats: tuple[str, ...]) -> None:
    if picture.format not in formats:
        raise BadRequest(
            f"{name} is {picture.format}; this model takes {', '.join(formats)}", param=param, allowed=formats
        )


def _check_pixels(picture: AskPicture, name: str, card: ModelCard) -> None:
    if outside(picture.width, picture.height, card.inputs):
        allowed = bounds(card.inputs)
        raise BadRequest(
            f"{name} has {picture.width}x{picture.height} pixels; {card.id} takes {', '.join(allowed)}",
            param="image",
            allowed=allowed,
        )


def _check_mask(inputs: Inputs) -> None:
    mask, first = inputs.mask, inputs.images[0] if inputs.images else None
    if mask is not None and first is not None and (mask.width, mask.height) != (first.width, first.height):
        raise BadRequest(
            f"the mask has {mask.width}x{mask.height} pixels, the first picture {first.width}x{first.height}; "
            "they must be equal",
            param="mask",
        )
