"""A picture of what FocusNet found: heat map, ROI and outlines of small organs on three planes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from nnunetv2_focusnet.images.voxel_edges import at_voxel_edges
from nnunetv2_focusnet.inspection.case import FoundOrgan, InspectedCase

PLANES = {"S": "axial", "A": "coronal", "R": "sagittal"}
OPPOSITE = dict(zip("SIAPRL", "ISPALR", strict=True))
# On display, rows go from head to feet or from front to back, and columns from front to back or from right to left.
ROWS_FIRST = ("S", "A", "R")
FIELD_OF_VIEW = 1.4  # times the ROI
PERCENTILES = (1, 99)  # of what is shown, as its window of grey values
HEAT_COLOURS, HEAT_COLOUR, HEAT_ALPHA = "YlOrRd_r", "#FEB24C", 0.6
# After Okabe and Ito, and with lines of their own, so that colour-blind readers and grey prints tell them apart.
MAIN, FUSED, ROI, PEAK = "#E69F00", "#56B4E9", "white", "#F0E442"
ROW_INCHES = 3.4


def draw_case(case: InspectedCase, organs: Sequence[str] | None = None) -> Figure:
    """Draw small organs, one per row: axial, coronal and sagittal plane through the peak of the heat map.

    Outlines run along the edges of voxels.

    Args:
        case: what :func:`~nnunetv2_focusnet.inspection.case.inspect_case` returned.
        organs: names of small organs; None: all of them.

    Returns:
        A figure, to be shown in a notebook or saved with ``savefig``.

    Raises:
        ValueError: the model has no such small organ.
    """
    known = {organ.name: organ for organ in case.organs}
    chosen = list(known) if organs is None else list(organs)
    if unknown := [name for name in chosen if name not in known]:
        raise ValueError(f"{', '.join(unknown)} is no small organ of this model: it has {', '.join(known)}.")
    figure = Figure(figsize=(3 * ROW_INCHES, ROW_INCHES * len(chosen) + 0.8), layout="constrained", facecolor="white")
    grid = figure.subplots(len(chosen), 3, squeeze=False)
    for row, name in zip(grid, chosen, strict=True):
        for ax, side in zip(row, PLANES, strict=True):
            _draw_plane(ax, case, known[name], _axis_along(case, side))
            ax.set_title(PLANES[side])
        row[0].set_ylabel(_describe(known[name]), parse_math=False)
    figure.legend(handles=_legend(), loc="outside lower center", ncols=5, facecolor="0.25", labelcolor="white")
    figure.suptitle(case.name, parse_math=False)
    return figure


def _describe(organ: FoundOrgan) -> str:
    return f"{organ.name}: peak {organ.peak:.2f}, {'detected' if organ.detected else 'not detected'}"


def _axis_along(case: InspectedCase, side: str) -> int:
    return next(axis for axis, towards in enumerate(case.towards) if side in (towards, OPPOSITE[towards]))


def _draw_plane(ax: Axes, case: InspectedCase, organ: FoundOrgan, axis: int) -> None:
    """One slice across ``axis`` through the peak, in mm; through the image's end if the peak lies in its padding."""
    rows, columns = (a for a in (_axis_along(case, side) for side in ROWS_FIRST) if a != axis)

    def cut(volume: np.ndarray) -> np.ndarray:
        # The voxel that the ROI is placed around, where the peak lies between two.
        index = int(np.clip(np.floor(organ.centre[axis] + 0.5), 0, volume.shape[axis] - 1))
        plane = np.take(volume, index, axis=axis)
        return plane if rows < columns else plane.T

    mm = np.array(case.spacing)
    shape = np.array(case.image.shape) * mm
    half = FIELD_OF_VIEW * (np.array(organ.roi_size) * mm).max() / 2
    middle = (np.array(organ.roi_corner) + np.array(organ.roi_size) / 2) * mm
    first = np.clip((middle - half) // mm, 0, np.array(case.image.shape) - 1).astype(int)
    stop = np.maximum((middle + half) // mm + 1, first + 1).astype(int)
    shown = case.image[tuple(map(slice, first, stop))]  # the nearest slices, if the ROI lies in the image's padding
    low, high = np.percentile(shown, PERCENTILES)
    extent = (0.0, float(shape[columns]), 0.0, float(shape[rows]))

    ax.imshow(cut(case.image), cmap="gray", vmin=low, vmax=max(high, low + 1e-3), extent=extent, origin="lower")
    heat = cut(organ.heat_map)
    ax.imshow(
        heat, cmap=HEAT_COLOURS, vmin=0, vmax=1, alpha=HEAT_ALPHA * heat.clip(0, 1), extent=extent, origin="lower"
    )
    across, down = (np.arange(case.image.shape[a] + 1) * mm[a] for a in (columns, rows))
    for labels, colour, style in ((case.main, MAIN, "dashed"), (case.fused, FUSED, "solid")):
        mask = cut(labels) == organ.label
        if mask.any():
            edges = at_voxel_edges(across, down, mask)
            ax.contour(*edges, levels=[0.5], colors=[colour], linestyles=[style], linewidths=2)
    corner, size = (np.array(values) * mm for values in (organ.roi_corner, organ.roi_size))
    box = Rectangle(
        (corner[columns], corner[rows]), size[columns], size[rows], fill=False, edgecolor=ROI, linestyle=":"
    )
    ax.add_patch(box)
    peak = (np.array(organ.centre) + 0.5) * mm
    ax.plot(peak[columns], peak[rows], "+", color=PEAK, markersize=12, markeredgewidth=1.5)

    left, right = _ends(case, columns, middle, half, first="RA")
    top, bottom = _ends(case, rows, middle, half, first="SA")
    ax.set(xlim=(left[1], right[1]), ylim=(bottom[1], top[1]), xticks=[], yticks=[], facecolor="black")
    for letter, x, y in ((left[0], 0.03, 0.5), (right[0], 0.97, 0.5), (top[0], 0.5, 0.96), (bottom[0], 0.5, 0.04)):
        ax.text(x, y, letter, transform=ax.transAxes, color="white", ha="center", va="center")


def _ends(
    case: InspectedCase, axis: int, middle: np.ndarray, half: float, first: str
) -> tuple[tuple[str, float], tuple[str, float]]:
    """Letter and place in mm of either end of the field of view, that of ``first`` before the other."""
    towards = case.towards[axis]
    ends = ((OPPOSITE[towards], middle[axis] - half), (towards, middle[axis] + half))
    return ends if ends[0][0] in first else ends[::-1]


def _legend() -> list[Artist]:
    return [
        Patch(color=HEAT_COLOUR, label="heat map"),
        Line2D([], [], color=PEAK, marker="+", linestyle="", markersize=10, label="its peak"),
        Line2D([], [], color=ROI, linestyle=":", label="ROI"),
        Line2D([], [], color=MAIN, linestyle="dashed", linewidth=2, label="main network alone"),
        Line2D([], [], color=FUSED, linewidth=2, label="fused"),
    ]
