"""A self-contained HTML report of tables, plots and overlays, readable offline, on a phone and printed."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path

from nnunetv2_focusnet.compare.case_tables import case_details, cases_table, organ_details
from nnunetv2_focusnet.compare.markup import Cell
from nnunetv2_focusnet.compare.pictures import Picture
from nnunetv2_focusnet.compare.results import Results
from nnunetv2_focusnet.compare.statistics import HIGHER_IS_BETTER, METRICS, SUMMARISED
from nnunetv2_focusnet.compare.tables import caption, details_table, paired_table, paired_title, summary_table
from nnunetv2_focusnet.compare.templates import render
from nnunetv2_focusnet.system.files import write_text

MEANINGS = {
    "dsc": "Dice similarity coefficient: twice the voxels that both have, by the sum of the voxels of each; from 0 "
    "(nothing in common) to 1 (equal). The smaller an organ, the more a voxel counts.",
    "hd95_mm": "95 % of either surface lie within this distance of the other: how far off the worst places are, "
    "but for the very worst. Missed organs have none.",
    "nsd": "Normalised surface Dice: the share of both surfaces that lies within the tolerance of the other, 0 to 1.",
    "volume_error_ml": "Predicted minus reference volume: below 0, the prediction is too small.",
    "centroid_distance_mm": "Between the centres of mass of prediction and reference. Missed organs have none.",
}
PAIRED = (
    "Each case is compared with itself. The interval holds the mean difference of all such patients in about 95 of 100 "
    "studies like this one, in fewer with less than 20 cases. p is the chance of differences at least as one-sided as "
    "these if neither model were better (Wilcoxon's signed-rank test), corrected for the number of organs (Holm): "
    "below 0.05 is commonly called significant; above, it isn't shown that the models are equal. The effect size is 1 "
    "if all cases are higher, -1 if all are lower."
)


def write_report(
    results: Results, pictures: Sequence[Picture], provenance: Mapping[str, str], folder: Path, published: bool
) -> None:
    """Write ``report.html``.

    Args:
        results: what was found.
        pictures: those that were drawn into the folder.
        provenance: where the figures come from, by heading.
        folder: holds the pictures and gets the report.
        published: show the columns of published methods.
    """
    sections: dict[str, list[dict[str, str]]] = {}
    for picture in pictures:
        data = base64.b64encode((folder / picture.name).read_bytes()).decode()
        sections.setdefault(picture.section, []).append({"data": data, "text": picture.text})
    page = render(
        "report.html",
        results=results,
        caption=caption(results),
        summaries=[_summary(results, metric, published) for metric in METRICS],
        paired=[
            {"title": f"{paired_title(results, *key)}{_better(key[1])}", "rows": paired_table(results, *key)}
            for key in results.comparisons
        ],
        paired_meaning=PAIRED,
        pictures=sections,
        cases=cases_table(results),
        case_details=list(case_details(results)),
        organ_details=list(organ_details(results)),
        details=[
            {"title": f"{title}{_better(metric)}", "meaning": MEANINGS[metric], "rows": details_table(results, metric)}
            for metric, title in SUMMARISED.items()
        ],
        provenance=provenance,
    )
    write_text(folder / "report.html", page)


def _summary(results: Results, metric: str, published: bool) -> dict[str, object]:
    header, *body = summary_table(results, metric, published)
    counts = results.measurements.groupby("organ")["case"].nunique()
    organs = [[*row, Cell(str(counts[organ]))] for organ, row in zip(results.organs, body, strict=False)]
    groups = [[*row, Cell("")] for row in body[len(organs) :]]
    return {
        "title": f"{METRICS[metric]}{_better(metric)}",
        "meaning": MEANINGS[metric],
        "rows": [[*header, Cell("cases")], *organs],
        "footer": groups,
    }


def _better(metric: str) -> str:
    if metric not in HIGHER_IS_BETTER:
        return ""
    return " ↑ higher is better" if HIGHER_IS_BETTER[metric] else " ↓ lower is better"
