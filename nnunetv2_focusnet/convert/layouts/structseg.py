"""StructSeg 2019, task 1 (HaN_OAR): ``N/data.nii.gz`` and ``N/label.nii.gz`` with 22 organs in one label map.

The challenge's page with the label values is gone. Names in their order are those of the description in openmedlab's
collection of datasets; the participants' code at HiLab-git/SepNet agrees on which values are bone and ears (14 to 19,
21, 22) and which is the spinal cord (20). All organs are annotated in all cases.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from nnunetv2_focusnet.convert.layouts.base import Channel, SourceCase, Structure
from nnunetv2_focusnet.convert.layouts.files import FilesLayout
from nnunetv2_focusnet.images.reading import read_volume
from nnunetv2_focusnet.system.folders import Listing

VALUES = {
    name: value
    for value, name in enumerate(
        (
            *("BrainStem", "Eye_L", "Eye_R", "Lens_L", "Lens_R", "OpticNerve_L", "OpticNerve_R", "OpticChiasm"),
            *("TemporalLobe_L", "TemporalLobe_R", "Pituitary", "Parotid_L", "Parotid_R", "InnerEar_L", "InnerEar_R"),
            *("MiddleEar_L", "MiddleEar_R", "TMJ_L", "TMJ_R", "SpinalCord", "Mandible_L", "Mandible_R"),
        ),
        start=1,
    )
}


class StructSeg(FilesLayout):
    """All public cases go to imagesTr; those of the challenge's test aren't public."""

    name = "structseg"
    title = "StructSeg"
    about = "HaN_OAR/N/data.nii.gz and HaN_OAR/N/label.nii.gz"
    organs = tuple(VALUES)
    image_ending = ".nii.gz"
    licence = "terms of the StructSeg 2019 challenge"
    citation = "Li, H., Zhou, J., Deng, J., Chen, M.: Automatic structure segmentation for radiotherapy planning. 2019"
    reference = "https://structseg2019.grand-challenge.org/"

    def cases_in(self, listing: Listing) -> Iterator[tuple[Path, SourceCase]]:
        """Cases with an image or a label map, in folders whose name is a number."""
        files = [path for name in ("data.nii.gz", "label.nii.gz") for path in listing.matching(name)]
        found = {file.parent for file in files if file.parent.name.isdecimal()}
        for folder in sorted(found, key=lambda folder: (int(folder.name), folder)):
            yield (
                folder,
                LabelMapCase(
                    identifier=f"structseg_{int(folder.name):02d}",
                    split="train",
                    image_file=folder / "data.nii.gz",
                    label_file=folder / "label.nii.gz",
                ),
            )


@dataclass(frozen=True)
class LabelMapCase(SourceCase):
    """A case whose organs are the values of one label map.

    Attributes:
        image_file: the CT.
        label_file: holds the values of `VALUES` and 0.
    """

    image_file: Path
    label_file: Path

    def structure_names(self) -> Sequence[str]:
        """All organs: a value that the label map doesn't have is an organ that the patient doesn't have."""
        return tuple(VALUES)

    def channels(self) -> list[Channel]:
        """Read the CT."""
        return [Channel(read_volume(self.image_file), self.image_file)]

    def structures(self, names: Sequence[str]) -> Iterator[Structure]:
        """Read the label map and take it apart."""
        labels = read_volume(self.label_file)
        if unknown := sorted(set(np.unique(sitk.GetArrayViewFromImage(labels)).tolist()) - {0, *VALUES.values()}):
            listed = ", ".join(f"{value:g}" for value in unknown[:5])
            raise ValueError(
                f"{self.label_file} holds the values {listed}, but labels are 0 to {len(VALUES)}: replace it"
            )
        for name in names:
            yield Structure(name, labels == VALUES[name], f"{self.label_file} ({name})")
