"""The one tree of errors.

    PicturaError
    ├─ CallerError              4xx; never retried
    │  ├─ BadRequest            the request is wrong: says what, and what is allowed
    │  │  ├─ Missing            a field that cannot be left out
    │  │  ├─ OutOfBounds        too much of something, or too little
    │  │  ├─ Unsupported        a value this model does not take
    │  │  ├─ TooLarge           too many bytes
    │  │  ├─ WrongMediaType     a body of a kind that is not read here, or a compressed one
    │  │  ├─ TooSlow            a body that did not come
    │  │  └─ Conflict           it is there already, and nothing said that it may be replaced
    │  ├─ NotFound              no such file or path for this caller
    │  │  └─ UnknownJob         no such job, or somebody else's
    │  ├─ Cancelled             a job that its client took back
    │  ├─ TooLate               … or would, but it goes on
    │  ├─ UnknownModel          no card has this name
    │  │  └─ RetiredModel       a card has it, but its vendor switched it off
    │  ├─ Unauthorized          no key, a wrong one, an expired one
    │  ├─ Forbidden             the key may not do this
    │  ├─ InsufficientBalance   the hold does not fit into the balance
    │  │  └─ CapReached         … or into the key's own cap
    │  ├─ RateLimited           too fast, or too many at once
    │  └─ Refused               a vendor's safety system said no
    ├─ UpstreamError            the provider's side
    │  ├─ NotSent               nothing left this house: safe elsewhere
    │  ├─ Rejected              a no before work began: safe elsewhere
    │  │  └─ Throttled          … because there were too many
    │  ├─ Failed                accepted, then reported as failed
    │  ├─ Lost                  sent, no answer: possibly billed
    │  └─ Malformed             an answer without a picture
    └─ HouseError               5xx, ours

Each error answers three questions: whose fault it is (its branch), whether another channel may help
(`safe_elsewhere`), and whether somebody may have been billed (`possibly_billed`).
A message tells its reader what was wrong, what is allowed and what to do; it never holds a secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class PicturaError(Exception):
    """Root of the tree. `code` is our own stable word; dialects translate it into theirs."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    #: Another channel may be asked: it is certain that nobody was billed.
    safe_elsewhere: bool = False
    #: Somebody may have been billed: never resent by us, `x-should-retry: false` for the client.
    possibly_billed: bool = False

    def __init__(self, message: str, *, param: str | None = None, allowed: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.allowed = tuple(allowed)


class CallerError(PicturaError):
    code = "caller_error"
    status = 400


class BadRequest(CallerError):
    code = "invalid_request"


class Missing(BadRequest):
    """Something cannot be left out: `param`, or one of what `allowed` lists."""

    code = "missing_value"


class OutOfBounds(BadRequest):
    """There is too much of `param`, or too little: `count`, where `least` to `most` are taken."""

    code = "out_of_bounds"

    def __init__(
        self, message: str, *, param: str | None = None, count: int = 0, least: int = 0, most: int = 0
    ) -> None:
        super().__init__(message, param=param)
        self.count = count
        self.least = least
        self.most = most


class Unsupported(BadRequest):
    """A value that this model does not take: `param` names it, `allowed` lists what would be taken; nothing: ()."""

    code = "unsupported_value"


class TooLarge(BadRequest):
    code = "too_large"
    status = 413


class WrongMediaType(BadRequest):
    code = "unsupported_media_type"
    status = 415


class TooSlow(BadRequest):
    code = "request_timeout"
    status = 408


class Conflict(BadRequest):
    """Something of this name is there already; `param` names the field that says it may be replaced."""

    code = "conflict"
    status = 409


class NotFound(CallerError):
    code = "not_found"
    status = 404


class UnknownJob(NotFound):
    """No job of this id, as far as this caller may know."""

    code = "job_not_found"


class Cancelled(CallerError):
    """A job that its client took back: nothing came of it, and nothing is charged. 499 as in google.rpc."""

    code = "cancelled"
    status = 499


class TooLate(CallerError):
    """A job that cannot be taken back: it goes on, and what it draws is kept and charged."""

    code = "too_late"
    status = 409


class UnknownModel(CallerError):
    code = "model_not_found"
    status = 404


class RetiredModel(UnknownModel):
    """The vendor switched this model off. `successor` is the public id to use instead, where there is one."""

    code = "model_retired"
    status = 410

    def __init__(self, message: str, *, successor: str | None = None) -> None:
        super().__init__(message, param="model")
        self.successor = successor


class Unauthorized(CallerError):
    code = "unauthorized"
    status = 401


class Forbidden(CallerError):
    code = "forbidden"
    status = 403


class InsufficientBalance(CallerError):
    """`needed` and `available` are micro-USD."""

    code = "insufficient_balance"
    status = 402

    def __init__(self, message: str, *, needed: int = 0, available: int = 0) -> None:
        super().__init__(message)
        self.needed = needed
        self.available = available


class CapReached(InsufficientBalance):
    code = "cap_reached"


class RateLimited(CallerError):
    """`retry_after_s`: whole seconds after which the same request may pass."""

    code = "rate_limited"
    status = 429

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = max(1, retry_after_s)


class Refused(CallerError):
    """A safety system refused. `by` names the provider, `reason` is its own word. Never retried, never rephrased."""

    code = "content_refused"

    def __init__(self, message: str, *, reason: str = "", by: str = "", billed: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.by = by
        self.possibly_billed = billed


class UpstreamError(PicturaError):
    """The provider's side. `upstream_status` is its HTTP status where there was one.

    `config` marks what only the operator can mend (a wrong key, an empty account, an unknown model): the channel is
    set aside. `retry_after_s` is the rest the provider asked for.
    """

    code = "upstream_error"
    status = 502

    def __init__(
        self,
        message: str,
        *,
        upstream_status: int | None = None,
        upstream_code: str = "",
        retry_after_s: int | None = None,
        config: bool = False,
        unbilled: bool = False,
    ) -> None:
        super().__init__(message)
        self.upstream_status = upstream_status
        self.upstream_code = upstream_code
        self.retry_after_s = retry_after_s
        self.config = config
        if unbilled:
            self.safe_elsewhere, self.possibly_billed = True, False


class NotSent(UpstreamError):
    """Nothing left this house: DNS, connect, TLS, an open breaker."""

    code = "upstream_unreachable"
    status = 503
    safe_elsewhere = True


class Rejected(UpstreamError):
    """The provider said no before work began."""

    code = "upstream_rejected"
    safe_elsewhere = True


class Throttled(Rejected):
    """Too many requests for this account; `retry_after_s` where the provider said for how long."""

    code = "upstream_throttled"
    status = 429


class Failed(UpstreamError):
    """Accepted, then reported as failed. Sent again only where the provider file says `unbilled=True`."""

    code = "upstream_failed"
    possibly_billed = True


class Lost(UpstreamError):
    """Sent, and no answer that anybody can vouch for."""

    code = "upstream_lost"
    status = 504
    possibly_billed = True


class Malformed(UpstreamError):
    """An answer without a picture, or with a broken one."""

    code = "upstream_malformed"
    possibly_billed = True


class HouseError(PicturaError):
    """Ours."""

    code = "internal_error"
    status = 500
