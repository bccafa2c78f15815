"""Draw the left lens and optic nerve as stock nnU-Net and FocusNet predict them in the demo.

``nnUNetv2_focusnet_demo -o DEMO && python docs/pictures/draw_result.py DEMO [FILE]``. Of the unseen heads it takes the
one with FocusNet's median DSC over lenses and optic nerves. Fonts are large, as the picture is also read on a phone.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from nnunetv2_focusnet.compare.metrics import compare_masks
from nnunetv2_focusnet.demo.demo import DATASET
from nnunetv2_focusnet.demo.phantom import LABELS, SPACING_MM_ZYX
from nnunetv2_focusnet.images.reading import read_volume
from nnunetv2_focusnet.images.voxel_edges import at_voxel_edges
from nnunetv2_focusnet.images.writing import save_figure

MODELS = {"stock": "stock nnU-Net", "focusnet": "FocusNet"}
ORGANS = {"Lens_L": "left lens", "OpticNerve_L": "left optic nerve"}
SMALL = ("Lens_L", "Lens_R", "OpticNerve_L", "OpticNerve_R")
COLOURS = {"Eye": "#56B4E9", "Lens": "#F0E442", "OpticNerve": "#5BE3B0"}  # brain would hide the nerves' canals
HU_WINDOW = (-120.0, 200.0)
WIDTH_MM = 52.0
EDGED = [withStroke(linewidth=4, foreground="black")]  # white alone would vanish on bone


def main() -> None:
    """Write the picture."""
    demo = Path(sys.argv[1])
    picture = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).with_name("result.png")
    raw = demo / "nnUNet_raw" / DATASET
    names = sorted(path.name for path in (raw / "labelsTs").glob("*.nii.gz"))
    cases = {
        name: {
            "reference": _read(raw / "labelsTs" / name),
            **{model: _read(demo / "predictions" / model / name) for model in MODELS},
        }
        for name in names
    }
    ranked = sorted(names, key=lambda name: np.mean([_dsc(cases[name], "focusnet", organ) for organ in SMALL]))
    chosen = ranked[len(ranked) // 2]
    hu = _read(raw / "imagesTs" / chosen.replace(".nii.gz", "_0000.nii.gz"))
    save_figure(_draw(hu, cases[chosen]), picture, dpi=100)
    print(f"{picture}: {chosen}, median of {len(names)}")


def _draw(hu: np.ndarray, maps: dict[str, np.ndarray]) -> Figure:
    """A row per organ, a column per model; ``hu`` and all label maps are (z, y, x)."""
    figure = Figure(figsize=(10, 11.5), layout="constrained", facecolor="white")
    axes = figure.subplots(len(ORGANS), len(MODELS))
    for row, (organ, words) in zip(axes, ORGANS.items(), strict=True):
        centre = np.argwhere(maps["reference"] == LABELS[organ]).mean(0).round().astype(int)
        for ax, (model, title) in zip(row, MODELS.items(), strict=True):
            _draw_slice(ax, hu, maps["reference"], maps[model], centre)
            ax.set_title(f"{title}\n{words}: DSC {_dsc(maps, model, organ):.2f}", fontsize=22)
    handles: list[Patch | Line2D] = [Patch(color=COLOURS[name], label=name.lower()) for name in ("Eye", "Lens")]
    handles += [Patch(color=COLOURS["OpticNerve"], label="optic nerve")]
    handles += [Line2D([], [], color="white", linewidth=2, path_effects=EDGED, label="simulated truth")]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=20, facecolor="0.85", handlelength=1.2)
    return figure


def _draw_slice(ax: Axes, hu: np.ndarray, reference: np.ndarray, prediction: np.ndarray, centre: np.ndarray) -> None:
    """The axial slice through ``centre``, (z, y, x) in voxels, nose up: prediction filled, truth outlined."""
    ax.set_facecolor("black")
    z, y, x = centre
    _, mm_y, mm_x = SPACING_MM_ZYX
    rows, columns = hu.shape[1:]
    extent = (0.0, columns * mm_x, rows * mm_y, 0.0)
    ax.imshow(hu[z], cmap="gray", vmin=HU_WINDOW[0], vmax=HU_WINDOW[1], extent=extent, interpolation="nearest")
    across, down = np.arange(columns + 1) * mm_x, np.arange(rows + 1) * mm_y
    for name, label in LABELS.items():
        colour = COLOURS.get(name.split("_")[0])
        if colour is None:
            continue
        predicted, true = (volume[z] == label for volume in (prediction, reference))
        if predicted.any():
            edges = at_voxel_edges(across, down, predicted)
            ax.contourf(*edges, levels=[0.5, 1.5], colors=[colour], alpha=0.75)
        if true.any():
            line = ax.contour(*at_voxel_edges(across, down, true), levels=[0.5], colors=["white"], linewidths=2)
            line.set_path_effects(EDGED)
    middle_x, middle_y = (x + 0.5) * mm_x, (y + 0.5) * mm_y
    ax.set(xlim=(middle_x - WIDTH_MM / 2, middle_x + WIDTH_MM / 2), xticks=[], yticks=[])
    ax.set(ylim=(middle_y + WIDTH_MM / 2, middle_y - WIDTH_MM / 2))


def _dsc(maps: dict[str, np.ndarray], model: str, organ: str) -> float:
    reference, prediction = (maps[name] == LABELS[organ] for name in ("reference", model))
    metrics = compare_masks(reference, prediction, SPACING_MM_ZYX, tolerance_mm=1.0)
    assert metrics is not None  # no simulated head lacks an organ
    return metrics.dsc


def _read(file: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(read_volume(file))


if __name__ == "__main__":
    main()
