"""Outlines of reference and models on three planes through a small organ, zoomed on it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import SimpleITK as sitk
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from nnunetv2_focusnet.compare.cases import Comparison
from nnunetv2_focusnet.compare.images import Images, image_file, off_grid
from nnunetv2_focusnet.compare.results import Results
from nnunetv2_focusnet.compare.style import Dashes, label, model_colours, model_dashes, new_picture
from nnunetv2_focusnet.images.reading import read_volume
from nnunetv2_focusnet.images.voxel_edges import at_voxel_edges
from nnunetv2_focusnet.system.text import one_line

PLANES = ("axial", "coronal", "sagittal")
TOWARDS = ("IS", "AP", "RL")  # where the first and the last voxel of each axis (z, y, x) lie
SOFT_TISSUE_WINDOW = (-160.0, 240.0)  # HU: centre 40, width 400
BONE_WINDOW = (-450.0, 1050.0)  # HU: centre 300, width 1500; for organs within bone, such as the cochlea
FIELD_OF_VIEW = 3.0  # times the organ's extent, as FocusNet's ROI
SMALLEST_FIELD_MM = 30.0
REFERENCE_COLOUR = "#F0E442"  # white would vanish on bone
REFERENCE_WIDTH, MODEL_WIDTH = 3.5, 2.0  # points; where a model agrees, the reference is seen on both sides of it
IGNORED_COLOUR = "#E6A0A0"
IGNORED_HATCH = "///"
PERCENTILES = (1, 99)  # of an image that isn't CT, as its window of grey values
LARGEST_LEGEND = 4  # columns
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
        dsc = results.of(organ, model)["dsc"].to_dict()
        ranked = sorted(dsc, key=lambda case: (dsc[case], case))
        if not ranked:
            continue
        median = ranked[len(ranked) // 2]
        chosen.append(Overlay(organ, median, f"median DSC of {model}, {dsc[median]:.2f}"))
        if ranked[0] != median:
            chosen.append(Overlay(organ, ranked[0], f"worst DSC of {model}, {dsc[ranked[0]]:.2f}"))
    return chosen


def draw_overlay(
    overlay: Overlay, comparison: Comparison, results: Results, images: Images | None, picture: Path
) -> None:
    """Draw one overlay: axial, coronal and sagittal plane through the organ's centre, as radiologists look at them.

    Outlines run along the edges of voxels. Voxels with the ignore label are hatched, and predictions end there, as they
    do where they are counted.

    Args:
        overlay: what to draw.
        comparison: where the label maps are.
        results: gives the models and their order.
        images: the background; None: no background.
        picture: PNG to write.

    Raises:
        ValueError: the image isn't on the grid of its label map.
    """
    scene = _read_scene(overlay, comparison, results.models, images)
    shown = scene.masks[0] if scene.masks[0].any() else np.logical_or.reduce(scene.masks)
    voxels = np.argwhere(shown)
    centre = voxels.mean(0).round().astype(int)
    half = max(FIELD_OF_VIEW * _extent_mm(voxels, scene.spacing), SMALLEST_FIELD_MM) / 2
    colours, dashes = model_colours(results.models), model_dashes(results.models)
    lines = [_Line("reference", REFERENCE_COLOUR, "solid", REFERENCE_WIDTH)]
    lines += [_Line(label(model), colours[model], dashes[model], MODEL_WIDTH) for model in results.models]
    legend: list[Artist] = [
        Line2D([], [], color=line.colour, linestyle=line.dashes, linewidth=line.width, label=line.name)
        for line in lines
    ]
    if scene.ignored.any():
        legend.append(Patch(facecolor="none", edgecolor=IGNORED_COLOUR, hatch=IGNORED_HATCH, label="ignored"))

    with new_picture(picture, 12, 4.9) as figure:
        for axis, (ax, plane) in enumerate(zip(figure.subplots(1, 3), PLANES, strict=True)):
            _draw_plane(ax, scene, lines, axis, centre, half)
            ax.set_title(f"{plane}, {_position(scene.image, axis, centre)}")
        figure.legend(
            handles=legend,
            loc="outside lower center",
            ncols=min(len(legend), LARGEST_LEGEND),
            handlelength=4,
            facecolor="0.25",
            labelcolor="white",
        )
        title = f"{overlay.organ}, {overlay.case}: {overlay.reason}; {2 * half:.0f} mm wide"
        if images is not None:
            title += f"; {'HU' if images.is_ct else 'grey values'} {scene.window[0]:.0f} to {scene.window[1]:.0f}"
        figure.suptitle(textwrap.fill(one_line(title), TITLE_WIDTH))  # matplotlib's wrapping reads formulas


class _Line(NamedTuple):
    """How an outline is drawn."""

    name: str
    colour: str
    dashes: Dashes | Literal["solid"]
    width: float  # points


@dataclass(frozen=True)
class _Scene:
    """What is on the planes; arrays are (Z, Y, X), pointing to head, back and left.

    Attributes:
        image: the reference label map.
        background: grey values.
        window: the grey values that are black and white.
        masks: of the organ: the reference, then all models.
        ignored: voxels that aren't counted.
    """

    image: sitk.Image
    background: np.ndarray
    window: tuple[float, float]
    masks: list[np.ndarray]
    ignored: np.ndarray

    @property
    def spacing(self) -> tuple[float, ...]:
        """(z, y, x) in mm."""
        return self.image.GetSpacing()[::-1]


def _read_scene(overlay: Overlay, comparison: Comparison, models: Sequence[str], images: Images | None) -> _Scene:
    value = comparison.labels[overlay.organ]
    image = _read(comparison.reference_file(overlay.case))
    reference = sitk.GetArrayFromImage(image)
    ignored = reference == comparison.ignore_label
    masks = [reference == value]
    for model in models:
        prediction = sitk.GetArrayFromImage(_read(comparison.prediction_file(model, overlay.case)))
        masks.append((prediction == value) & ~ignored)
    if images is None:
        return _Scene(image, np.zeros(reference.shape, dtype=np.float32), (0.0, 1.0), masks, ignored)
    file = image_file(images.folder, overlay.case, comparison.file_ending)
    background_image = _read(file)
    if fault := off_grid(file, background_image, image):
        raise ValueError(fault)
    background = sitk.GetArrayFromImage(background_image)
    return _Scene(image, background, _window(background, masks[0], images.is_ct), masks, ignored)


def _window(background: np.ndarray, organ: np.ndarray, is_ct: bool) -> tuple[float, float]:
    """The grey values that are black and white."""
    if is_ct:
        in_bone = organ.any() and np.median(background[organ]) > SOFT_TISSUE_WINDOW[1]
        return BONE_WINDOW if in_bone else SOFT_TISSUE_WINDOW
    low, high = np.percentile(background, PERCENTILES).tolist()
    return low, max(high, low + 1)


def _read(path: Path) -> sitk.Image:
    # Patient axes on display whatever the axes of the file: the array's (z, y, x) then points to head, back and left.
    return sitk.DICOMOrient(read_volume(path), "LPS")


def _extent_mm(voxels: np.ndarray, spacing: tuple[float, ...]) -> float:
    return float(((np.ptp(voxels, axis=0) + 1) * spacing).max())


def _position(image: sitk.Image, axis: int, centre: np.ndarray) -> str:
    """How far a plane is from the origin of the patient's coordinates, and to which side, as viewers show it."""
    point = image.TransformIndexToPhysicalPoint(centre[::-1].tolist())  # (x, y, z) to left, back and head
    mm = point[2 - axis]
    return f"{TOWARDS[axis][int(mm >= 0)]} {abs(mm):.1f} mm"


def _draw_plane(ax: Axes, scene: _Scene, lines: Sequence[_Line], axis: int, centre: np.ndarray, half_mm: float) -> None:
    rows, columns = (i for i in range(3) if i != axis)
    # Edges of the voxels in mm.
    across, down = ((np.arange(scene.background.shape[i] + 1) - 0.5) * scene.spacing[i] for i in (columns, rows))
    ax.imshow(
        np.take(scene.background, centre[axis], axis=axis),
        cmap="gray",
        vmin=scene.window[0],
        vmax=scene.window[1],
        extent=(across[0], across[-1], down[0], down[-1]),
        origin="lower",
        interpolation="nearest",
    )
    _hatch(ax, across, down, np.take(scene.ignored, centre[axis], axis=axis))
    for mask, line in zip(scene.masks, lines, strict=True):
        _outline(ax, across, down, np.take(mask, centre[axis], axis=axis), line)
    x, y = centre[columns] * scene.spacing[columns], centre[rows] * scene.spacing[rows]
    direction = -1 if axis == 0 else 1  # front of the patient on top of an axial plane, head on top of the others
    ax.set(xlim=(x - half_mm, x + half_mm), ylim=(y - direction * half_mm, y + direction * half_mm))
    ax.set(xticks=[], yticks=[], facecolor="black")
    _write_directions(ax, TOWARDS[columns], TOWARDS[rows][::direction])


def _outline(ax: Axes, across: np.ndarray, down: np.ndarray, mask: np.ndarray, line: _Line) -> None:
    if mask.any():
        ax.contour(
            *at_voxel_edges(across, down, mask),
            levels=[0.5],
            colors=[line.colour],
            linestyles=[line.dashes],
            linewidths=[line.width],
        )


def _hatch(ax: Axes, across: np.ndarray, down: np.ndarray, mask: np.ndarray) -> None:
    if mask.any():
        # an edge of its own for each voxel would hide what is drawn there
        areas = ax.contourf(
            *at_voxel_edges(across, down, mask), levels=[0.5, 1.5], colors="none", hatches=[IGNORED_HATCH]
        )
        areas.set_edgecolor(IGNORED_COLOUR)


def _write_directions(ax: Axes, across: str, down: str) -> None:
    """Letters of the patient's sides at the borders of a plane: left, right, bottom and top of the picture."""
    places = zip((*across, *down), ((0.02, 0.5), (0.98, 0.5), (0.5, 0.02), (0.5, 0.98)), strict=True)
    for letter, (x, y) in places:
        ax.text(
            *(x, y, letter),
            transform=ax.transAxes,
            color="white",
            weight="bold",
            horizontalalignment={0.02: "left", 0.98: "right"}.get(x, "center"),
            verticalalignment={0.02: "bottom", 0.98: "top"}.get(y, "center"),
            bbox={"facecolor": "black", "edgecolor": "none", "alpha": 0.6, "pad": 1.5},
        )
