"""What the samples say: medians over the rounds, ratios within a round, tables for the terminal and a chart as SVG."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from statistics import median

from phases import Sample
from rich.table import Table

ABSOLUTE = ""


@dataclass(frozen=True)
class Goal:
    """A bound on a figure's ratio to a peer's, or on the figure itself; `stored` is a peer's figure from elsewhere."""

    peer: str
    bound: float
    at_least: bool = False
    stored: float | None = None

    def met_by(self, value: float) -> bool:
        """Whether the value is on the right side of the bound."""
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "≤"
        return f"{sign} {self.bound:g}" + ("" if self.peer == ABSOLUTE else "×")


@dataclass(frozen=True)
class Row:
    """One figure of one phase, and the goals that stand on it."""

    label: str
    phase: str
    figure: str
    unit: str
    goals: tuple[Goal, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """A goal held against the samples: `value` is the median ratio, or the figure itself; None when not measured."""

    row: Row
    goal: Goal
    value: float | None
    bad: int

    @property
    def met(self) -> bool:
        """Whether the goal is met; figures with failed requests meet none."""
        return self.value is not None and not self.bad and self.goal.met_by(self.value)


class Samples:
    """The samples of one run."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._samples = list(samples)

    @property
    def targets(self) -> list[str]:
        """The targets in the order in which they were first measured, `direct` first."""
        return sorted(dict.fromkeys(sample.target for sample in self._samples), key=lambda name: name != "direct")

    def values(self, row: Row, target: str) -> dict[int, float]:
        """A figure by round."""
        return {s.round: s.figures[row.figure] for s in self._of(row, target) if row.figure in s.figures}

    def bad(self, row: Row, target: str) -> int:
        """How many requests went wrong in the phase."""
        return sum(sample.bad for sample in self._of(row, target))

    def first_bad(self) -> dict[tuple[str, str], str]:
        """The first thing that went wrong, by phase and target."""
        return {(s.phase, s.target): s.first_bad for s in reversed(self._samples) if s.bad}

    def _of(self, row: Row, target: str) -> list[Sample]:
        return [s for s in self._samples if s.phase == row.phase and s.target == target]

    def verdict(self, row: Row, goal: Goal, subject: str) -> Verdict:
        """Hold the subject's figures against a goal, round by round."""
        ours = self.values(row, subject)
        theirs = self._against(row, goal, ours)
        ratios = [ours[turn] / theirs[turn] for turn in ours if theirs.get(turn)]
        bad = self.bad(row, subject) + (self.bad(row, goal.peer) if goal.peer else 0)
        return Verdict(row, goal, median(ratios) if ratios else None, bad)

    def _against(self, row: Row, goal: Goal, ours: dict[int, float]) -> dict[int, float]:
        if goal.peer == ABSOLUTE:
            return dict.fromkeys(ours, 1.0)
        if goal.stored is not None:
            return dict.fromkeys(ours, goal.stored)
        return self.values(row, goal.peer)


def readable(value: float) -> str:
    """Three figures that count, without an exponent."""
    if not value:
        return "0"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}"


def figures_table(samples: Samples, rows: Sequence[Row]) -> Table:
    """Every figure of every target: medians of the rounds."""
    table = Table(title="Figures (medians of the rounds)", title_justify="left")
    table.add_column("figure")
    for target in samples.targets:
        table.add_column(target, justify="right")
    for row in rows:
        cells = [_cell(samples, row, target) for target in samples.targets]
        if any(cells):
            table.add_row(f"{row.label}, {row.unit}", *cells)
    return table


def _cell(samples: Samples, row: Row, target: str) -> str:
    values, bad = samples.values(row, target), samples.bad(row, target)
    figure = readable(median(values.values())) if values else ""
    return f"{figure} [red]({bad} bad)[/red]" if bad else figure


def verdicts(samples: Samples, rows: Sequence[Row], subject: str) -> list[Verdict]:
    """Every goal, held against the samples."""
    return [samples.verdict(row, goal, subject) for row in rows for goal in row.goals]


def verdicts_table(found: Sequence[Verdict], subject: str) -> Table:
    """The goals: ratio, bound, met or missed."""
    table = Table(title=f"{subject} against its targets (medians of the rounds' ratios)", title_justify="left")
    for heading in ("figure", "against", "ratio", "target", ""):
        table.add_column(heading, justify="right" if heading in ("ratio", "target") else "left")
    for verdict in found:
        peer = verdict.goal.peer or f"absolute, {verdict.row.unit}"
        value = "–" if verdict.value is None else readable(verdict.value) + ("×" if verdict.goal.peer else "")
        table.add_row(verdict.row.label, peer, value, str(verdict.goal), _word(verdict))
    return table


def _word(verdict: Verdict) -> str:
    if verdict.bad:
        return f"[red]miss: {verdict.bad} bad requests[/red]"
    if verdict.value is None:
        return "[dim]not measured[/dim]"
    return "[green]pass[/green]" if verdict.met else "[red]miss[/red]"


WIDTH, LEFT, RIGHT, TOP, STEP = 960, 310, 170, 96, 26
"""The chart's size in pixels: whole width, margins beside the bars, room for the title, height of a row."""


def chart(found: Sequence[Verdict], subject: str) -> str:
    """The ratios as bars from 1 on a logarithmic axis, each with a tick at its target, as an SVG."""
    shown = [v for v in found if v.value is not None and v.goal.peer]
    numbers = [0.1, 10, *(number for v in shown for number in (v.value, v.goal.bound) if number and number > 0)]
    scale = _Scale(math.floor(math.log10(min(numbers))), math.ceil(math.log10(max(numbers))))
    height = TOP + STEP * len(shown) + 40
    parts = [_frame(subject, height, scale), *(_bar(v, TOP + STEP * i, scale) for i, v in enumerate(shown))]
    return "\n".join([*parts, "</svg>", ""])


@dataclass(frozen=True)
class _Scale:
    """Powers of ten from `low` to `high`, laid over the width of the bars."""

    low: int
    high: int

    def x(self, value: float) -> float:
        exponent = math.log10(value) if value > 0 else self.low
        part = (min(max(exponent, self.low), self.high) - self.low) / (self.high - self.low)
        return LEFT + part * (WIDTH - LEFT - RIGHT)


def _frame(subject: str, height: int, scale: _Scale) -> str:
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        ' font-family="system-ui, DejaVu Sans, sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="20" y="32" font-size="18" font-weight="600" fill="#1c2430">{escape(subject)} ÷ peer</text>',
        '<text x="20" y="54" fill="#5b6675">Bars start at 1× (equal); the axis is logarithmic. '
        "The dark tick is the target, written at the right: green meets it, red does not.</text>",
    ]
    for exponent in range(scale.low, scale.high + 1):
        x = scale.x(10.0**exponent)
        lines.append(f'<line x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{height - 34}" stroke="#dde2e9"/>')
        label = f"{10.0**exponent:g}×"
        lines.append(f'<text x="{x:.1f}" y="{height - 16}" text-anchor="middle" fill="#5b6675">{label}</text>')
    return "\n".join(lines)


def _bar(verdict: Verdict, y: int, scale: _Scale) -> str:
    value, goal = verdict.value or 0.0, verdict.goal
    equal, end, target = scale.x(1), scale.x(value), scale.x(goal.bound)
    colour = "#2f9e6b" if verdict.met else "#d64545"
    left, width = min(equal, end), max(abs(end - equal), 1)
    label = escape(f"{verdict.row.label} / {goal.peer}")
    return "\n".join(
        (
            f'<text x="{LEFT - 10}" y="{y + 14}" text-anchor="end" fill="#1c2430">{label}</text>',
            f'<rect x="{left:.1f}" y="{y + 3}" width="{width:.1f}" height="15" fill="{colour}"/>',
            f'<line x1="{target:.1f}" y1="{y}" x2="{target:.1f}" y2="{y + 21}" stroke="#1c2430" stroke-width="2"/>',
            f'<text x="{WIDTH - RIGHT + 12}" y="{y + 14}" fill="#1c2430">{readable(value)}×'
            f'<tspan dx="6" fill="#5b6675">({escape(str(goal))})</tspan></text>',
        )
    )
