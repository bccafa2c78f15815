"""The training log with FocusNet's own curves, and their part of progress.png."""

import gc
import math
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from nnunetv2.training.logging.nnunet_logger import LocalLogger
from PIL import Image

from nnunetv2_focusnet.trainers.host import EMA_DECAY, EMA_DICE, MEAN_DICE, PROGRESS_PICTURE, curves
from nnunetv2_focusnet.trainers.schedule import Stage

ORGANS_THERE = "organs_there"
DRAWN_EACH = 100  # so many epochs long; then every second one, after as many again every third one, and so on


class StageLogger(LocalLogger):
    """nnU-Net's local log plus stage, loss terms, and what is measured per small organ.

    Args:
        term_names: loss terms, logged as ``loss/NAME``.
        organs: names of the small organs; their values are logged as lists in this order.

    Attributes:
        schedule: the run's stages, saved with the log in every checkpoint; empty before the run begins.
        average_from: first epoch of the moving average of the pseudo-Dice, by which nnU-Net finds the best checkpoint.
    """

    def __init__(self, term_names: Sequence[str], organs: Sequence[str]) -> None:
        super().__init__()
        self.schedule: list[Stage] = []
        self.average_from = 0
        self.organs = list(organs)
        self.terms = [f"loss/{name}" for name in term_names]
        self.per_organ = {"localisation_error_mm": "localisation error [mm]", "detection_rate": "detection rate"}
        for key in ("stage", ORGANS_THERE, *self.terms, *((*self.per_organ, "voxels_by_share") if self.organs else ())):
            curves(self)[key] = []

    def log(self, key: str, value: Any, epoch: int) -> None:
        """Log one value per epoch; the moving average is our own, see :attr:`average_from`."""
        super().log(key, self._average() if key == EMA_DICE else value, epoch)

    def _average(self) -> float:
        """nnU-Net's moving average, without the epochs in which none of the organs was in a patch or predicted."""
        values = curves(self)[MEAN_DICE][self.average_from :]
        first, *others = [value for value in values if not math.isnan(value)] or [0.0]
        average = first
        for value in others:
            average = EMA_DECAY * average + (1 - EMA_DECAY) * value
        return average

    def get_checkpoint(self) -> dict[str, Any]:
        """The log, and the schedule."""
        return super().get_checkpoint() | {"schedule": [asdict(stage) for stage in self.schedule]}

    def load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take over the log and the schedule of a checkpoint."""
        self.schedule = [Stage(**stage) for stage in checkpoint["schedule"]]
        super().load_checkpoint({key: values for key, values in checkpoint.items() if key != "schedule"})

    def plot_progress_png(self, output_folder: str) -> None:
        """Write progress.png, less and less often as epochs add up; training goes on without it."""
        if not self._is_due():
            return
        try:
            self._plot_progress(output_folder)
        except OSError as error:
            warnings.warn(f"{output_folder}/{PROGRESS_PICTURE} can't be written ({error}).", stacklevel=2)
        # Figures are cycles of references: hundreds of MB by the time Python would look for them by itself.
        gc.collect()

    def _is_due(self) -> bool:
        """Whether to draw this epoch: the more there are, the longer it takes, and the less one more changes."""
        epochs = len(curves(self)["stage"])
        return epochs % (1 + epochs // DRAWN_EACH) == 0 or epochs == self.schedule[-1].end

    def _plot_progress(self, output_folder: str) -> None:
        """Write nnU-Net's progress.png and put our panels under its own."""
        super().plot_progress_png(output_folder)
        # nnU-Net closes its figure after it wrote the file, so the two are joined as pictures.
        path = Path(output_folder) / PROGRESS_PICTURE
        stock = Image.open(path).convert("RGB")
        ours = self._draw_panels(stock.width)
        joined = Image.new("RGB", (stock.width, stock.height + ours.height))
        joined.paste(stock, (0, 0))
        joined.paste(ours, (0, stock.height))
        joined.save(path, compress_level=1)

    def _draw_panels(self, width: int) -> Image.Image:
        log = curves(self)
        rows = 2 + (len(self.per_organ) if self.organs else 0)
        height = 7 * rows
        figure = Figure(figsize=(30, height), dpi=width / 30)
        canvas = FigureCanvasAgg(figure)
        # Margins with room for names of some 30 letters: letting matplotlib find them would take most of the time.
        margins = {"left": 0.06, "right": 0.75, "bottom": 1.2 / height, "top": 1 - 0.7 / height, "hspace": 0.35}
        axes = figure.subplots(rows, 1, gridspec_kw=margins)
        for key in self.terms:
            _plot(axes[0], log[key], key.removeprefix("loss/"))
        axes[0].set(ylabel="loss terms (training)", yscale="log")
        _plot(axes[1], log["lrs"], "learning rate")
        axes[1].set(ylabel="learning rate", yscale="log")
        if self.organs:
            for ax, (key, label) in zip(axes[2:], self.per_organ.items(), strict=True):
                for name, values in zip(self.organs, np.array(log[key], dtype=float).T, strict=True):
                    _plot(ax, values, name)
                ax.set(ylabel=label, ylim=(0, None))
        for ax in axes:
            _shade_stages(ax, log["stage"])
            ax.set(xlabel="epoch")
            columns = {"ncols": 1 + len(ax.lines) // 12, "columnspacing": 1, "handlelength": 1}
            ax.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize="x-small", **columns)
        canvas.draw()
        return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def _plot(ax: Axes, values: Sequence[float], label: str) -> None:
    """One curve; epochs without a value (NaN) leave a gap, single ones show as a point."""
    ax.plot(range(len(values)), values, label=label, linewidth=4, marker="o", markersize=6)


def _shade_stages(ax: Axes, stages: Sequence[str]) -> None:
    """Alternate the background from stage to stage and write the stage's name on top."""
    changes = [i for i, name in enumerate(stages) if i == 0 or name != stages[i - 1]]
    for n, (start, end) in enumerate(zip(changes, [*changes[1:], len(stages)], strict=True)):
        ax.axvspan(start - 0.5, end - 0.5, color="0.85" if n % 2 else "0.95", zorder=0)
        ax.text((start + end - 1) / 2, 1.0, stages[start], transform=ax.get_xaxis_transform(), ha="center", va="bottom")
