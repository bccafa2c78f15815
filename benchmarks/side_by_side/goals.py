"""Whether a trainer does what it is for: its goals beside stock, each against the hardest stock row for just it."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from side_by_side.figures import Figures
from side_by_side.patients import Paired, Patients

NOT_FLAT = "doesn't count: curves not flat"
NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True)
class Goal:
    """A goal, the figures of stock and of a trainer, and whether they meet it.

    Attributes:
        figure: what is judged.
        goal: when it is met.
        stock_row: the row that is hardest to beat in this figure.
        stock: its figure.
        measured: the trainer's.
        change: a difference where ``is_ratio`` is false, else measured divided by stock.
        low: lower end of the 95 % interval over patients of the difference measured - stock; NaN if there is none.
        high: upper end.
        is_ratio: what ``change`` is.
        verdict: met, missed, not applicable (no such organs, or stock found none), or that it doesn't count.
    """

    figure: str
    goal: str
    stock_row: str
    stock: float
    measured: float
    change: float
    low: float
    high: float
    is_ratio: bool
    verdict: str


@dataclass(frozen=True)
class Judge:
    """Everything that the goals of trainers on a plan are judged by.

    Attributes:
        patients: all measurements.
        groups: organs by "small" and "large".
        figures: by name of the row.
        stock: names of stock's rows.
        stock_on_same_plan: of these, the ones on that plan, for what a step and a case cost.
        is_flat: whether the budget counts.
        time_factor: of stock's time to its final online DSC, in which a trainer has to reach it.
    """

    patients: Patients
    groups: Mapping[str, Sequence[str]]
    figures: Mapping[str, Figures]
    stock: Sequence[str]
    stock_on_same_plan: Sequence[str]
    is_flat: bool
    time_factor: float

    def goals(self, row: str, main_network: str) -> list[Goal]:
        """All goals of a row; ``main_network`` is the row of the same weights without SOL-Net and SOS-Nets, if any."""
        return [
            self._difference(row, "mean DSC", "small", "dsc", 0.02, with_interval=True),
            self._difference(row, "mean NSD at 1 mm", "small", "nsd", 0.03),
            self._hd95(row, "small", 0.75),
            self._missed(row),
            self._far_voxels(row),
            self._difference(row, "mean DSC", "large", "dsc", -0.005),
            self._hd95(row, "large", 1.0),
            self._time(row),
            *(self._added_by_sos(row, main_network) if main_network in self.figures else ()),
            self._cost(row, "seconds per step, last stage", "last_stage_step_seconds", 1.5),
            self._cost(row, "peak memory (MiB)", "peak_mib", 1.5),
            self._cost(row, "inference, seconds per case", "inference_seconds", 1.3),
        ]

    def _verdict(self, met: bool) -> str:
        return ("met" if met else "missed") if self.is_flat else NOT_FLAT

    def _pairs(self, row: str, others: Iterable[str], group: str, metric: str) -> dict[str, Paired]:
        pairs = {other: self.patients.pair(row, other, self.groups[group], metric) for other in others}
        return {other: paired for other, paired in pairs.items() if paired.n}

    def _difference(
        self, row: str, name: str, group: str, metric: str, margin: float, with_interval: bool = False
    ) -> Goal:
        figure = f"{name}, {group} organs"
        text = f"stock {margin:+g} or better" + ", interval above 0" * with_interval
        pairs = self._pairs(row, self.stock, group, metric)
        if not pairs:
            return _not_applicable(figure, text)
        other, paired = min(pairs.items(), key=lambda item: item[1].difference)
        met = paired.difference >= margin and not (with_interval and paired.interval[0] <= 0)
        verdict = self._verdict(met)
        if met and with_interval and math.isnan(paired.interval[0]) and self.is_flat:
            verdict = "not shown: no interval below 5 patients"
        return _goal(figure, text, other, paired, verdict)

    def _hd95(self, row: str, group: str, factor: float) -> Goal:
        figure = f"mean HD95 (mm), {group} organs that both found"
        text = "not above stock's" if factor == 1 else f"{factor:g} of stock's or less"
        pairs = self._pairs(row, self.stock, group, "hd95_mm")
        if not pairs:
            return _not_applicable(figure, text)
        other, paired = max(pairs.items(), key=lambda item: item[1].ratio)
        return _goal(figure, text, other, paired, self._verdict(paired.ratio <= factor), is_ratio=True)

    def _missed(self, row: str) -> Goal:
        organs = self.groups["small"]
        alone = {other: self.patients.missed_alone(row, other, organs) for other in self.stock}
        other = max(self.stock, key=lambda name: (alone[name], -self.figures[name].missed_small))
        stock, measured = (self.figures[name].missed_small for name in (other, row))
        goal = f"none that stock finds (of these: {alone[other]})"
        return _count(
            "small organs missed, per training", goal, other, stock, measured, self._verdict(not alone[other])
        )

    def _far_voxels(self, row: str) -> Goal:
        other = min(self.stock, key=lambda name: self.figures[name].far_voxels_small)
        stock, measured = (self.figures[name].far_voxels_small for name in (other, row))
        figure = "voxels more than 10 mm from their organ, small organs, per training"
        return _count(figure, "none", other, stock, measured, self._verdict(measured == 0))

    def _time(self, row: str) -> Goal:
        figure, text = "minutes to stock's final online DSC of small organs", f"{self.time_factor:.2g} of stock's"
        return self._ratio(row, figure, f"{text} or less", self.stock, "minutes_to_stock_dsc", self.time_factor, True)

    def _cost(self, row: str, figure: str, name: str, factor: float) -> Goal:
        text = f"{factor:g} times stock's or less, on the same plan"
        return self._ratio(row, figure, text, self.stock_on_same_plan, name, factor, False)

    def _ratio(
        self, row: str, figure: str, text: str, others: Sequence[str], name: str, factor: float, needs_flat: bool
    ) -> Goal:
        found = {other: value for other in others if math.isfinite(value := getattr(self.figures[other], name))}
        if not found:
            return _not_applicable(figure, text)
        other = min(found, key=lambda each: found[each])
        stock, measured = found[other], getattr(self.figures[row], name)
        met = measured <= factor * stock
        verdict = self._verdict(met) if needs_flat else ("met" if met else "missed")
        ratio = measured / stock if stock else math.nan
        return Goal(figure, text, other, stock, measured, ratio, math.nan, math.nan, True, verdict)

    def _added_by_sos(self, row: str, main_network: str) -> list[Goal]:
        """In these two, stock is the trainer's own main network."""
        organs = self.groups["small"]
        figure = "DSC of small organs that SOL-Net and SOS-Nets add"
        paired = self.patients.pair(row, main_network, organs, "dsc")
        if not paired.n:
            return [_not_applicable(figure, "+0.02 or more")]
        by_seed = {
            seed: self.patients.of_seed(seed).pair(row, main_network, organs, "dsc") for seed in self.patients.seeds
        }
        worst = min(by_seed, key=lambda seed: by_seed[seed].difference)
        verdict, never_negative = self._verdict(paired.difference >= 0.02), by_seed[worst].difference >= 0
        return [
            _goal(figure, "+0.02 or more", main_network, paired, verdict),
            _goal(
                f"the same, of the seed that gains least ({worst})",
                "never negative",
                main_network,
                by_seed[worst],
                self._verdict(never_negative),
            ),
        ]


def _goal(figure: str, text: str, other: str, paired: Paired, verdict: str, is_ratio: bool = False) -> Goal:
    change = paired.ratio if is_ratio else paired.difference
    return Goal(figure, text, other, paired.theirs, paired.ours, change, *paired.interval, is_ratio, verdict)


def _count(figure: str, text: str, other: str, stock: float, measured: float, verdict: str) -> Goal:
    if math.isnan(measured):
        return _not_applicable(figure, text)
    return Goal(figure, text, other, stock, measured, measured - stock, math.nan, math.nan, False, verdict)


def _not_applicable(figure: str, text: str) -> Goal:
    return Goal(figure, text, "", *[math.nan] * 5, False, NOT_APPLICABLE)
