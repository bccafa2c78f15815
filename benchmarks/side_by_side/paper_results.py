"""The paper's tables 1 and 2 with own figures beside the paper's, and whether its orderings hold."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nnunetv2_focusnet.trainers.skipped_steps import mean_of_finite
from side_by_side.curves import GROUPS
from side_by_side.flatness import Flatness
from side_by_side.paper import (
    ALL,
    SMALL,
    TABLE_1_AVERAGES,
    TABLE_1_TRAINERS,
    TABLE_2,
    Ordering,
    orderings,
    published,
)
from side_by_side.patients import Patients
from side_by_side.tables import markdown

HOLDS, REVERSED, OPEN = "holds", "doesn't hold", "not decided (interval contains 0)"
NO_INTERVAL = "not decided (no interval below 5 patients)"


@dataclass(frozen=True)
class Verdict:
    """What became of an ordering.

    Attributes:
        claim: of the paper.
        group: organs over which means are.
        better: row that is better in the paper.
        worse: row that is worse there.
        published: difference of their mean DSC in the paper, from 0 to 1; NaN where it gives none.
        patients: that both rows have.
        difference: mean over the patients here.
        low: lower end of its 95 % interval over patients; NaN below 5.
        high: upper end.
        verdict: holds, doesn't hold, not decided.
        not_flat: rows whose training ended while their curve was rising.
    """

    claim: str
    group: str
    better: str
    worse: str
    published: float
    patients: int
    difference: float
    low: float
    high: float
    verdict: str
    not_flat: str


@dataclass(frozen=True)
class PaperResults:
    """Everything that the tables are made from.

    Attributes:
        patients: measurements of all rows.
        groups: organs by "small" and "large".
        rows: names of the rows that were measured.
        flatness: by name of the row; those that weren't trained here have none.
    """

    patients: Patients
    groups: Mapping[str, Sequence[str]]
    rows: Sequence[str]
    flatness: Mapping[str, Flatness]

    def organs(self, group: str) -> list[str]:
        """Large organs, then small ones, or the latter alone."""
        return [organ for name in reversed(GROUPS) if group == ALL or name == "small" for organ in self.groups[name]]

    def average(self, row: str, group: str) -> float:
        """Mean over organs of their means over patients that have them, as in the paper; NaN without such a row."""
        means = [self.patients.mean(row, [organ], "dsc") for organ in self.organs(group)] if row in self.rows else []
        return mean_of_finite(means)

    def verdicts(self) -> list[Verdict]:
        """One for each ordering of which both rows are there, and the organs."""
        here = [ordering for ordering in orderings() if {ordering.better, ordering.worse} <= {*self.rows}]
        return [self._verdict(ordering) for ordering in here if self.organs(ordering.group)]

    def _verdict(self, ordering: Ordering) -> Verdict:
        paired = self.patients.pair(ordering.better, ordering.worse, self.organs(ordering.group), "dsc")
        both = (ordering.better, ordering.worse)
        rising = [row for row in both if row in self.flatness and not self.flatness[row].is_flat]
        of_paper = (ordering.published[0] - ordering.published[1]) / 100 if ordering.published else math.nan
        return Verdict(
            *(ordering.claim, ordering.group, *both, of_paper, paired.n, paired.difference, *paired.interval),
            *(verdict_of(*paired.interval), ", ".join(rising)),
        )

    def not_judged(self) -> list[str]:
        """Claims that lack a row or organs."""
        judged = {(verdict.claim, verdict.group) for verdict in self.verdicts()}
        return [f"{o.claim} ({o.group})" for o in orderings() if (o.claim, o.group) not in judged]

    def table_1(self) -> str:
        """DSC in % of each organ, mean and standard deviation over patients, with the paper's in brackets."""
        others = [row for row in self.rows if row not in TABLE_1_TRAINERS.values()]
        columns = {f"{name} ({row})": row for name, row in TABLE_1_TRAINERS.items()}
        cells = [["organ", *columns, *others]]
        for organ in self.organs(ALL):
            figures = published(organ)
            line = [self._cell(row, organ) for row in (*columns.values(), *others)]
            for i, of_paper in enumerate(figures or ()):
                line[i] += f" (paper: {of_paper[0]:.1f} ± {of_paper[1]:.1f})"
            cells.append([organ, *line])
        averages = [_percent(self.average(row, ALL)) for row in (*columns.values(), *others)]
        for i, of_paper in enumerate(TABLE_1_AVERAGES):
            averages[i] += f" (paper, its 18 organs: {of_paper:.1f})"
        return markdown([*cells, ["average", *averages]])

    def table_2(self) -> str:
        """Mean DSC in % over all organs, then over small ones, beside the paper's."""
        cells = [["method", "trainer", "here", "paper", "curve"]]
        for group, rows in TABLE_2.items():
            cells.append([f"*{group}*", "", "", "", ""])
            for method, (row, of_paper) in rows.items():
                cells.append([method, row, _percent(self.average(row, group)), f"{of_paper:.1f}", self.state(row)])
        return markdown(cells)

    def state(self, row: str) -> str:
        """Of a row's curve, in a word."""
        if row not in self.flatness:
            return "-"
        return "flat" if self.flatness[row].is_flat else "not flat"

    def verdicts_table(self) -> str:
        cells = [["the paper says", "of", "paper", "here", "95 % interval", "patients", "verdict", "not flat"]]
        for v in self.verdicts():
            interval = "-" if math.isnan(v.low) else f"{v.low:+.3f} to {v.high:+.3f}"
            paper = "-" if math.isnan(v.published) else f"{v.published:+.3f}"
            figures = [paper, f"{v.difference:+.3f}", interval, str(v.patients)]
            cells.append([v.claim, v.group, *figures, v.verdict, v.not_flat])
        return markdown(cells)

    def table_2_rows(self) -> list[dict[str, object]]:
        """Of table 2, and rows that it doesn't have, for a CSV file."""
        in_table = {
            (row, group): (method, of_paper)
            for group, rows in TABLE_2.items()
            for method, (row, of_paper) in rows.items()
        }
        return [
            {"trainer": row, "group": group, "dsc": round(self.average(row, group), 4)}
            | {"method": in_table.get((row, group), ("", ""))[0], "paper": in_table.get((row, group), ("", ""))[1]}
            | {"curve": self.state(row)}
            for row in self.rows
            for group in (ALL, SMALL)
        ]

    def _cell(self, row: str, organ: str) -> str:
        if row not in self.rows:
            return "-"
        values = self.patients.values(row, [organ], "dsc").get(organ)
        if values is None:  # no unseen case has it
            return "-"
        return f"{_percent(float(values.mean()))} ± {_percent(float(values.std()))}"


def verdict_of(low: float, high: float) -> str:
    """What an interval of the better row's lead says of the ordering."""
    if math.isnan(low):
        return NO_INTERVAL
    if low > 0:
        return HOLDS
    return REVERSED if high < 0 else OPEN


def _percent(dsc: float) -> str:
    return "-" if math.isnan(dsc) else f"{100 * dsc:.1f}"
