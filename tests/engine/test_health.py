"""Which channels are well enough to be asked, by a clock that the tests move."""

from __future__ import annotations

import pytest

from pictura.core.errors import (
    BadRequest,
    Failed,
    Lost,
    Malformed,
    NotSent,
    PicturaError,
    Refused,
    Rejected,
    Throttled,
)
from pictura.engine.health import (
    FAILURE_REST_S,
    FAILURES_TO_REST,
    FIRST_ASIDE_S,
    LONGEST_ASIDE_S,
    LONGEST_ASKED_REST_S,
    UNASKED_REST_S,
    Health,
)
from tests.engine.conftest import Clock

WRONG_KEY = Rejected("the key is wrong", upstream_status=401, config=True)


class Patient:
    """One channel and one model, and what the operator was told."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.notices: list[str] = []
        self.health = Health(lambda channel, text: self.notices.append(f"{channel} {text}"), self.clock)

    def rests(self, channel: str = "main", model: str = "fox") -> float:
        return self.health.rests_s(channel, model)

    def call(self, error: PicturaError | None = None) -> None:
        self.health.begin("main", "fox")
        if error is None:
            self.health.succeeded("main", "fox")
        else:
            self.health.failed("main", "fox", error)

    def fail(self, times: int, error: PicturaError) -> None:
        for _ in range(times):
            self.call(error)


@pytest.fixture
def patient() -> Patient:
    return Patient()


def test_whoever_is_not_known_is_well(patient: Patient) -> None:
    assert patient.rests() == 0
    patient.call()
    assert patient.rests() == 0
    assert patient.health.resting() == {}


@pytest.mark.parametrize(("asked", "rests"), [(7, 7), (0, 0), (None, UNASKED_REST_S), (10**6, LONGEST_ASKED_REST_S)])
def test_a_channel_rests_as_long_as_it_asked_for(patient: Patient, asked: int | None, rests: float) -> None:
    patient.call(Throttled("slow", retry_after_s=asked))
    assert patient.rests() == rests
    patient.clock.now += rests
    assert patient.rests() == 0


def test_a_rest_is_of_one_channel_and_one_model(patient: Patient) -> None:
    patient.call(Throttled("slow", retry_after_s=7))
    assert patient.rests("main", "wolf") == 0
    assert patient.rests("other", "fox") == 0
    assert list(patient.health.resting()) == [("main", "fox")]


@pytest.mark.parametrize("error", [NotSent("x"), Failed("x"), Lost("x"), Malformed("x")])
def test_the_breaker_opens_after_some_failures_in_a_row(patient: Patient, error: PicturaError) -> None:
    patient.fail(FAILURES_TO_REST - 1, error)
    assert patient.rests() == 0
    patient.call(error)
    assert patient.rests() == FAILURE_REST_S
    assert patient.health.resting()["main", "fox"].why == "x"


def test_a_success_in_between_is_a_new_beginning(patient: Patient) -> None:
    patient.fail(FAILURES_TO_REST - 1, Lost("x"))
    patient.call()
    patient.fail(FAILURES_TO_REST - 1, Lost("x"))
    assert patient.rests() == 0
    assert patient.notices == []  # it was never set aside


@pytest.mark.parametrize("error", [BadRequest("x"), Refused("x")])
def test_a_callers_mistake_says_nothing_about_a_channel(patient: Patient, error: PicturaError) -> None:
    patient.fail(20, error)
    assert patient.rests() == 0


def test_after_a_rest_one_trial_is_let_through(patient: Patient) -> None:
    patient.fail(FAILURES_TO_REST, Lost("x"))
    patient.clock.now += FAILURE_REST_S
    assert patient.rests() == 0
    patient.health.begin("main", "fox")
    assert patient.rests() > 0
    patient.health.succeeded("main", "fox")
    assert patient.rests() == 0
    patient.fail(FAILURES_TO_REST - 1, Lost("x"))
    assert patient.rests() == 0


def test_a_trial_that_fails_is_another_rest(patient: Patient) -> None:
    patient.fail(FAILURES_TO_REST, Lost("x"))
    patient.clock.now += FAILURE_REST_S
    patient.call(Lost("x"))
    assert patient.rests() == FAILURE_REST_S


@pytest.mark.parametrize("error", [BadRequest("x"), Refused("x")])
def test_a_trial_that_was_the_callers_mistake_shows_a_channel_that_answers(
    patient: Patient, error: PicturaError
) -> None:
    patient.fail(FAILURES_TO_REST, Lost("x"))
    patient.clock.now += FAILURE_REST_S
    patient.call(error)
    assert patient.rests() == 0
    patient.health.begin("main", "fox")
    assert patient.rests() == 0  # no trial any more: others may come as well


def test_a_trial_that_is_taken_back_leaves_room_for_another(patient: Patient) -> None:
    patient.fail(FAILURES_TO_REST, Lost("x"))
    patient.clock.now += FAILURE_REST_S
    patient.health.begin("main", "fox")
    patient.health.abandoned("main", "fox")
    assert patient.rests() == 0
    patient.health.abandoned("main", "never asked")


@pytest.mark.parametrize("late", [None, BadRequest("x")])
def test_a_call_from_before_the_rest_does_not_end_it(patient: Patient, late: PicturaError | None) -> None:
    patient.health.begin("main", "fox")
    patient.call(Throttled("slow", retry_after_s=60))
    if late is None:
        patient.health.succeeded("main", "fox")
    else:
        patient.health.failed("main", "fox", late)
    assert patient.rests() == 60


def test_an_account_that_is_refused_is_set_aside_and_the_operator_is_told(patient: Patient) -> None:
    patient.fail(2, WRONG_KEY)
    assert patient.rests() == 0
    assert patient.notices == []
    patient.call(WRONG_KEY)
    assert patient.rests() == FIRST_ASIDE_S
    assert patient.notices == [
        "main set aside for 60 s (fox): it keeps answering 401: the key is wrong",
    ]


def test_it_is_tried_again_each_time_after_a_longer_while(patient: Patient) -> None:
    patient.fail(3, WRONG_KEY)
    waited = []
    for _ in range(7):
        waited.append(patient.rests())
        patient.clock.now += patient.rests()
        patient.call(WRONG_KEY)
    assert waited == [60, 120, 240, 480, 960, LONGEST_ASIDE_S, LONGEST_ASIDE_S]
    assert len(patient.notices) == 8


def test_when_it_answers_again_the_operator_is_told(patient: Patient) -> None:
    patient.fail(3, WRONG_KEY)
    patient.clock.now += patient.rests()
    patient.call()
    assert patient.notices[-1] == "main answers again for fox"
    assert patient.rests() == 0
    patient.fail(2, WRONG_KEY)
    assert patient.rests() == 0


def test_a_channel_that_was_changed_begins_anew(patient: Patient) -> None:
    patient.fail(3, WRONG_KEY)
    patient.health.forget("other")
    assert patient.rests() > 0
    patient.health.forget("main")
    assert patient.rests() == 0
