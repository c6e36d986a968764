"""Which channels are well enough to be asked. Counts per channel and model; forgets at restart.

Three reasons to rest: the provider asked for it (`Retry-After`), calls keep failing (a breaker that lets one trial
through after a while), or the account itself is refused (401, 402, …: set aside, told to the operator, tried again
later, each time after a longer while).
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from pictura.core.errors import Failed, Lost, Malformed, NotSent, PicturaError, Rejected, UpstreamError

#: Failures in a row after which a channel rests.
FAILURES_TO_REST = 5
REFUSALS_TO_SET_ASIDE = 3
FAILURE_REST_S = 30.0
#: Where a provider says "too many" without saying for how long.
UNASKED_REST_S = 2.0
LONGEST_ASKED_REST_S = 3600.0
FIRST_ASIDE_S = 60.0
LONGEST_ASIDE_S = 1800.0


class Condition(msgspec.Struct):
    """How one channel does with one model."""

    failures: int = 0
    refusals: int = 0
    asides: int = 0
    rest_until: float = 0.0
    on_trial: bool = False
    why: str = ""


class Health:
    """`notice(channel, text)` is called when a channel is set aside, and when it is well again."""

    def __init__(self, notice: Callable[[str, str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._notice = notice
        self._clock = clock
        self._conditions: dict[tuple[str, str], Condition] = {}

    def rests_s(self, channel: str, model: str) -> float:
        """Seconds for which this channel should not be asked for this model; 0: ask."""
        condition = self._conditions.get((channel, model))
        if condition is None:
            return 0.0
        left = condition.rest_until - self._clock()
        if left <= 0 and condition.on_trial:
            return 1.0
        return max(0.0, left)

    def begin(self, channel: str, model: str) -> None:
        """A call is about to be made: after a rest, the first one is a trial and others wait for its outcome."""
        condition = self._conditions.get((channel, model))
        if condition is not None and condition.rest_until:
            condition.on_trial = True

    def succeeded(self, channel: str, model: str) -> None:
        condition = self._conditions.get((channel, model))
        if condition is None or self._still_rests(condition):
            return
        del self._conditions[channel, model]
        if condition.asides:
            self._notice(channel, f"answers again for {model}")

    def failed(self, channel: str, model: str, error: PicturaError) -> None:
        """Only the provider's side counts: a caller's mistake or a refusal says nothing about the channel."""
        condition = self._conditions.setdefault((channel, model), Condition())
        condition.on_trial = False
        if not isinstance(error, UpstreamError):
            if not self._still_rests(condition):
                condition.rest_until = 0.0
        elif error.config:
            self._refused(channel, model, condition, error)
        elif isinstance(error, Rejected):
            asked = UNASKED_REST_S if error.retry_after_s is None else float(error.retry_after_s)
            self._rest(condition, min(asked, LONGEST_ASKED_REST_S), error.message)
        elif isinstance(error, NotSent | Failed | Lost | Malformed):
            condition.failures += 1
            if condition.failures >= FAILURES_TO_REST:
                self._rest(condition, FAILURE_REST_S, error.message)

    def abandoned(self, channel: str, model: str) -> None:
        """A call was taken back before it said anything about the channel."""
        condition = self._conditions.get((channel, model))
        if condition is not None:
            condition.on_trial = False

    def forget(self, channel: str) -> None:
        """The operator changed this channel: what was known of it no longer counts."""
        for where in [where for where in self._conditions if where[0] == channel]:
            del self._conditions[where]

    def resting(self) -> dict[tuple[str, str], Condition]:
        now = self._clock()
        return {where: condition for where, condition in self._conditions.items() if condition.rest_until > now}

    def _still_rests(self, condition: Condition) -> bool:
        """A call from before the rest has ended: that says nothing about how the channel does now."""
        return condition.rest_until > self._clock()

    def _refused(self, channel: str, model: str, condition: Condition, error: UpstreamError) -> None:
        condition.refusals += 1
        if condition.refusals < REFUSALS_TO_SET_ASIDE:
            return
        pause = min(FIRST_ASIDE_S * 2**condition.asides, LONGEST_ASIDE_S)
        condition.asides += 1
        self._rest(condition, pause, error.message)
        self._notice(
            channel,
            f"set aside for {pause:.0f} s ({model}): it keeps answering {error.upstream_status}: {error.message}",
        )

    def _rest(self, condition: Condition, seconds: float, why: str) -> None:
        condition.rest_until = self._clock() + seconds
        condition.why = why
