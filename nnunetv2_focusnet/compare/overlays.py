"""Contours of reference and models on three planes through a small organ, zoomed on it."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from nnunetv2_focusnet.compare.cases import Comparison
from nnunetv2_focusnet.compare.markup import one_line
from nnunetv2_focusnet.compare.pictures import label, model_colours, new_picture
from nnunetv2_focusnet.compare.results import Results
from nnunetv2_focusnet.compare.statistics import values_of
from nnunetv2_focusnet.images.grid import grid_difference
from nnunetv2_focusnet.images.reading import read_header, read_volume

PLANES = ("axial", "coronal", "sagittal")
FIELD_OF_VIEW = 3.0  # times the organ's extent, as FocusNet's ROI
SMALLEST_FIELD_MM = 30.0
REFERENCE_COLOUR = "#F0E442"  # white would vanish on bone
IGNORED_COLOUR = "#E6A0A0"
IGNORED_HATCH = "///"
PERCENTILES = (1, 99)  # of the image, as its window of grey values
LARGEST_LEGEND = 5  # columns
TITLE_WIDTH = 120  # characters


@dataclass(frozen=True)
class Overlay:
    """What to draw: an organ of a case, and why this case."""

    organ: str
    case: str
    reason: str


def choose_overlays(results: Results) -> list[Overlay]:
    """The median and the worst case by DSC of each small organ, for the last model, which is the one to be judged."""
    chosen = []
    model = results.models[-1]
    for organ in results.small:
        dsc = values_of(results.rows, organ, model, "dsc")
        ranked = sorted(dsc, key=lambda case: (dsc[case], case))
        if not ranked:
            continue
        median = ranked[len(ranked) // 2]
        chosen.append(Overlay(organ, median, f"median DSC of {model}, {dsc[median]:.2f}"))
        if ranked[0] != median:
            chosen.append(Overlay(organ, ranked[0], f"worst DSC of {model}, {dsc[ranked[0]]:.2f}"))
    return chosen


def image_file(images: Path, case: str, file_ending: str) -> Path:
    """The first channel of a case's image, as nnU-Net names it."""
    return images / f"{case}_0000{file_ending}"


def check_image(comparison: Comparison, images: Path, case: str) -> str | None:
    """Why a case's image can't be drawn, as far as its file and its header tell; None: it can."""
    file = image_file(images, case, comparison.file_ending)
    if not file.is_file():
        return f"{file} doesn't exist: name the folder with all cases' images, or leave out --images"
    try:
        image = read_header(file, "correct it, or leave out --images")
    except ValueError as error:
        return str(error)
    try:
        reference = read_header(comparison.reference_file(case))
    except ValueError:  # which is the case's own error
        return None
    return _off_grid(file, image, reference)


def _off_grid(
    file: Path, image: sitk.Image | sitk.ImageFileReader, reference: sitk.Image | sitk.ImageFileReader
) -> str | None:
    if grid_difference(image, reference) is None:
        return None
    return f"{file} isn't on the grid of its label map: correct it, or leave out --images"


def draw_overlay(
    overlay: Overlay, comparison: Comparison, results: Results, images: Path | None, picture: Path
) -> None:
    """Draw one overlay: axial, coronal and sagittal plane through the organ's centre.

    Voxels with the ignore label are hatched, and predictions end there, as they do where they are counted.

    Args:
        overlay: what to draw.
        comparison: where the label maps are.
        results: gives the models and their order.
        images: folder with ``CASE_0000`` images as a background; None: no background.
        picture: PNG to write.

    Raises:
        ValueError: the image isn't on the grid of its label map.
    """
    value = comparison.labels[overlay.organ]
    image = _read(comparison.reference_file(overlay.case))
    spacing = image.GetSpacing()[::-1]
    reference = sitk.GetArrayFromImage(image)
    ignored = reference == comparison.ignore_label
    masks = {"reference": reference == value}
    for model in results.models:
        prediction = sitk.GetArrayFromImage(_read(comparison.prediction_file(model, overlay.case)))
        masks[model] = (prediction == value) & ~ignored
    background = np.zeros(reference.shape, dtype=np.float32)
    if images is not None:
        file = image_file(images, overlay.case, comparison.file_ending)
        background_image = _read(file)
        if fault := _off_grid(file, background_image, image):
            raise ValueError(fault)
        background = sitk.GetArrayFromImage(background_image)
    window = tuple(np.percentile(background, PERCENTILES).tolist())

    shown = masks["reference"] if masks["reference"].any() else np.logical_or.reduce(list(masks.values()))
    voxels = np.argwhere(shown)
    centre = voxels.mean(0).round().astype(int)
    half = max(FIELD_OF_VIEW * _extent_mm(voxels, spacing), SMALLEST_FIELD_MM) / 2
    colours = {"reference": REFERENCE_COLOUR, **model_colours(results.models)}
    lines: list[Artist] = [Line2D([], [], color=c, linewidth=2.5, label=label(name)) for name, c in colours.items()]
    if ignored.any():
        lines.append(Patch(facecolor="none", edgecolor=IGNORED_COLOUR, hatch=IGNORED_HATCH, label="ignored"))

    with new_picture(picture, 12, 4.6) as figure:
        for axis, (ax, plane) in enumerate(zip(figure.subplots(1, 3), PLANES, strict=True)):
            _draw_plane(ax, background, window, masks, ignored, colours, spacing, axis, centre, half)
            ax.set_title(plane)
        figure.legend(
            handles=lines,
            loc="outside lower center",
            ncols=min(len(lines), LARGEST_LEGEND),
            facecolor="0.25",
            labelcolor="white",
        )
        title = f"{overlay.organ}, {overlay.case}: {overlay.reason}; {2 * half:.0f} mm wide"
        figure.suptitle(textwrap.fill(one_line(title), TITLE_WIDTH))  # matplotlib's wrapping reads formulas


def _read(path: Path) -> sitk.Image:
    # Patient axes on display whatever the axes of the file: the array's (z, y, x) then points to head, back and left.
    return sitk.DICOMOrient(read_volume(path), "LPS")


def _extent_mm(voxels: np.ndarray, spacing: tuple[float, ...]) -> float:
    return float(((np.ptp(voxels, axis=0) + 1) * spacing).max())


def _draw_plane(
    ax: Axes,
    background: np.ndarray,
    window: tuple[float, ...],
    masks: dict[str, np.ndarray],
    ignored: np.ndarray,
    colours: dict[str, str],
    spacing: tuple[float, ...],
    axis: int,
    centre: np.ndarray,
    half_mm: float,
) -> None:
    rows, columns = (i for i in range(3) if i != axis)
    across, down = (np.arange(background.shape[i]) * spacing[i] for i in (columns, rows))
    edges = [-spacing[columns] / 2, across[-1] + spacing[columns] / 2, -spacing[rows] / 2, down[-1] + spacing[rows] / 2]
    ax.imshow(
        np.take(background, centre[axis], axis=axis),
        cmap="gray",
        vmin=window[0],
        vmax=max(window[1], window[0] + 1),
        extent=(edges[0], edges[1], edges[2], edges[3]),
        origin="lower",
        interpolation="nearest",
    )
    hatched = np.take(ignored, centre[axis], axis=axis)
    if hatched.any():
        # an edge of its own for each voxel would hide what is drawn there
        hatching = ax.contourf(across, down, hatched, levels=[0.5, 1.5], colors="none", hatches=[IGNORED_HATCH])
        hatching.set_edgecolor(IGNORED_COLOUR)
    for name, mask in masks.items():
        cut = np.take(mask, centre[axis], axis=axis)
        if cut.any():
            ax.contour(across, down, cut, levels=[0.5], colors=[colours[name]], linewidths=2)
    x, y = centre[columns] * spacing[columns], centre[rows] * spacing[rows]
    direction = -1 if axis == 0 else 1  # front of the patient on top of an axial plane, head on top of the others
    ax.set(xlim=(x - half_mm, x + half_mm), ylim=(y - direction * half_mm, y + direction * half_mm))
    ax.set(xticks=[], yticks=[], facecolor="black")
