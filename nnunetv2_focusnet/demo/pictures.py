"""The demo's pictures: reference and predicted contours on slices through the eyes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nnunetv2_focusnet.demo.phantom import LABELS
from nnunetv2_focusnet.images.reading import read_volume
from nnunetv2_focusnet.images.writing import save_figure

# After Okabe and Ito, so that colour-blind readers tell them apart; the left of a pair is the lighter one.
COLOURS = {
    "Brain": "#A05BD0",
    "Eye_L": "#56B4E9",
    "Eye_R": "#0072B2",
    "Lens_L": "#F0E442",
    "Lens_R": "#E69F00",
    "OpticNerve_L": "#5BE3B0",
    "OpticNerve_R": "#009E73",
    "Parotid_L": "#E7A6CB",
    "Parotid_R": "#D55E00",
}
DPI = 90
HU_WINDOW = (-120.0, 200.0)
ZOOM_MM = 20.0
# The thin white reference stays visible on top of a coloured prediction that meets it.
PREDICTION_WIDTH, REFERENCE_WIDTH = 3.5, 1.0


def draw_case(image_file: Path, reference_file: Path, prediction_file: Path, picture: Path) -> None:
    """Draw one case: three planes through the left lens and a zoom on either lens.

    Args:
        image_file: simulated CT.
        reference_file: its true label map.
        prediction_file: its predicted label map, on the same grid.
        picture: PNG to write.
    """
    image = read_volume(image_file)
    spacing = image.GetSpacing()[::-1]
    hu = sitk.GetArrayFromImage(image)
    reference, prediction = (sitk.GetArrayFromImage(read_volume(path)) for path in (reference_file, prediction_file))
    left, right = (_centre(reference, LABELS[f"Lens_{side}"]) for side in "LR")

    figure = Figure(figsize=(16, 10), layout="constrained", facecolor="white")
    axes = figure.subplots(2, 3)
    panels = (
        ("axial, left lens", 0, left, False),
        ("coronal, behind the left lens", 1, _centre(reference, LABELS["OpticNerve_L"]), False),
        ("sagittal, left lens", 2, left, False),
        ("axial, left lens", 0, left, True),
        ("axial, right lens", 0, right, True),
    )
    for ax, (title, axis, point, zoomed) in zip(axes.flat[:-1], panels, strict=True):
        _draw_plane(ax, hu, reference, prediction, spacing, axis, point, zoomed)
        ax.set_title(title + (f", {2 * ZOOM_MM:.0f} mm wide" if zoomed else ""))
    _draw_legend(axes.flat[-1])
    figure.suptitle(f"{reference_file.name.removesuffix('.nii.gz')}: simulated CT, never seen in training", fontsize=16)
    save_figure(figure, picture, DPI)


def _centre(labels: np.ndarray, label: int) -> np.ndarray:
    """The organ's centre as a voxel index (z, y, x)."""
    return np.argwhere(labels == label).mean(0).round().astype(int)


def _draw_plane(
    ax: Axes,
    hu: np.ndarray,
    reference: np.ndarray,
    prediction: np.ndarray,
    spacing: tuple[float, ...],
    axis: int,
    point: np.ndarray,
    zoomed: bool,
) -> None:
    """One slice across `axis` through `point`, in mm, with patient left at the picture's right and the crown on top."""
    rows, columns = (i for i in range(3) if i != axis)
    extent = (0.0, hu.shape[columns] * spacing[columns], 0.0, hu.shape[rows] * spacing[rows])
    across, down = (np.arange(hu.shape[i]) * spacing[i] + spacing[i] / 2 for i in (columns, rows))

    def cut(volume: np.ndarray) -> np.ndarray:
        return np.take(volume, point[axis], axis=axis)

    ax.imshow(cut(hu), cmap="gray", vmin=HU_WINDOW[0], vmax=HU_WINDOW[1], extent=extent, origin="lower")
    for name, colour in COLOURS.items():
        for labels, line, width in ((prediction, colour, PREDICTION_WIDTH), (reference, "white", REFERENCE_WIDTH)):
            mask = cut(labels) == LABELS[name]
            if mask.any():
                ax.contour(across, down, mask, levels=[0.5], colors=[line], linewidths=width)
    if axis == 0:
        ax.invert_yaxis()
    if zoomed:
        x, y = (point[i] * spacing[i] + spacing[i] / 2 for i in (columns, rows))
        ax.set(xlim=(x - ZOOM_MM, x + ZOOM_MM), ylim=(y + ZOOM_MM, y - ZOOM_MM))
    ax.set(xticks=[], yticks=[])
    if axis != 2:
        for text, place, side in (("R", 0.02, "left"), ("L", 0.98, "right")):
            ax.text(place, 0.98, text, transform=ax.transAxes, color="white", ha=side, va="top", fontsize=14)


def _draw_legend(ax: Axes) -> None:
    ax.axis("off")
    lines = [
        Line2D([], [], color=colour, linewidth=PREDICTION_WIDTH, label=f"{name}, predicted")
        for name, colour in COLOURS.items()
    ]
    lines.append(Line2D([], [], color="white", linewidth=REFERENCE_WIDTH, label="reference (the simulated truth)"))
    ax.legend(handles=lines, loc="center", fontsize=13, facecolor="0.25", labelcolor="white")
