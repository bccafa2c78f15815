"""A predicted case's files: each has its name only when it is whole, and what is told of the label map is its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_focusnet.images.completeness import BrokenFileError, check_complete
from nnunetv2_focusnet.inference.findings import Findings, Place, measure
from nnunetv2_focusnet.inference.host_export import HostExport
from nnunetv2_focusnet.inference.positions import Positions
from nnunetv2_focusnet.laterality import left_end
from nnunetv2_focusnet.organs.plans_entry import PlansEntry
from nnunetv2_focusnet.system.files import WriteError, naming
from nnunetv2_focusnet.system.new_folder import hidden_folder

ENDING = "_locations.json"  # of the file beside a prediction


@dataclass(frozen=True)
class Export(HostExport):
    """nnU-Net's export of one case, with what a user must look at; nnU-Net sends it to a process of its own.

    Attributes:
        entry: of the model's plans; None: it is of another trainer, and nothing is said of its predictions.
        places: of the small organs that have heat maps, by label.
        image_size: (Z, Y, X) of the preprocessed image.
    """

    entry: PlansEntry | None
    places: Mapping[int, Place]
    image_size: Sequence[int]

    def write(  # type: ignore[override]
        self,
        logits: np.ndarray,
        properties: dict[str, Any],
        configuration: Any,
        plans: PlansManager,
        dataset_json: dict[str, Any],
        output: str,
        *args: Any,
    ) -> None:
        """Write the case's files, the label map last.

        Raises:
            WriteError: they can't be written, or not to their end.
        """
        folder, case = Path(output).parent, Path(output).name
        label_map = f"{case}{dataset_json['file_ending']}"
        with naming(folder / label_map), hidden_folder(folder / case) as aside:
            super().write(logits, properties, configuration, plans, dataset_json, str(aside / case), *args)
            _check_written(aside / label_map, folder / label_map)
            if self.entry is not None:
                labels, _ = plans.image_reader_writer_class().read_seg(str(aside / label_map))
                found = self._tell(labels[0], properties, plans, case)
                positions = Positions.of(properties, plans.transpose_forward, self.image_size)
                (aside / f"{case}{ENDING}").write_text(json.dumps(found.as_json(positions), indent=1), "utf-8")
            for file in sorted(aside.iterdir(), key=lambda file: file.name == label_map):
                file.replace(folder / file.name)
            if self.entry is None:
                (folder / f"{case}{ENDING}").unlink(missing_ok=True)  # of another model, whose prediction is gone

    def convert(  # type: ignore[override]
        self,
        logits: np.ndarray,
        plans: PlansManager,
        configuration: Any,
        labels: Any,
        properties: dict[str, Any],
        return_probabilities: bool = False,
    ) -> Any:
        """A label map that isn't written, as nnU-Net returns it."""
        result = super().convert(logits, plans, configuration, labels, properties, return_probabilities)
        if self.entry is not None:
            self._tell(result[0] if return_probabilities else result, properties, plans, "this image")
        return result

    def _tell(self, labels: Any, properties: dict[str, Any], plans: PlansManager, case: str) -> Findings:
        """What is to be known of a label map in the axes of its file, as read; its warnings are printed."""
        assert self.entry is not None
        order = plans.transpose_forward
        spacing = [properties["spacing"][axis] for axis in order]
        found = measure(np.asarray(labels).transpose(order), self.entry, self.places, spacing)
        found = found.with_direction(left_end(properties, order))
        for warning in found.warnings:
            print(f"WARNING: {case}: {warning}", flush=True)
        return found


def _check_written(file: Path, final: Path) -> None:
    try:
        check_complete(file)  # ITK takes no notice of a full disk
    except BrokenFileError as error:
        free = shutil.disk_usage(final.parent).free / 2**20
        raise WriteError(
            f"{final} can't be written ({error}; {free:.0f} MiB are free on its disk): make room there, and go on with"
            " --continue_prediction"
        ) from None
