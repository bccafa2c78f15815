"""A folder of label maps by an atlas, or by the networks in its regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from nnunetv2_focusnet.atlas.cases import Case
from nnunetv2_focusnet.atlas.claims import CLAIM, check_claim, write_claim
from nnunetv2_focusnet.images.reading import read_volume
from nnunetv2_focusnet.system.files import write_bytes
from nnunetv2_focusnet.system.folders import files_with_ending
from nnunetv2_focusnet.system.json_files import read_object

IMAGES = "images"


@dataclass(frozen=True)
class LabelMaps:
    """Label maps of cases, with the dataset.json beside them as nnU-Net leaves it.

    Attributes:
        folder: where they are.
        file_ending: of them.
    """

    folder: Path
    file_ending: str

    def file(self, case: Case) -> Path:
        """Where that of a case is, or is to be."""
        return self.folder / f"{case.name}{self.file_ending}"

    def has(self, case: Case) -> bool:
        """Whether there is one of the case."""
        return self.file(case).exists()

    def read(self, case: Case) -> sitk.Image:
        """That of a case."""
        return read_volume(self.file(case))

    def check(self, cases: Sequence[Case], made_with: Mapping[str, Any]) -> None:
        """Check that what is there, if anything is, may count as finished.

        Args:
            cases: to segment.
            made_with: what decides about label maps besides the images.

        Raises:
            ValueError: label maps were made by others or otherwise, or one is of another image.
        """
        is_new = not (self.folder / CLAIM).exists()
        if is_new and (others := files_with_ending(self.folder, self.file_ending)):
            raise ValueError(f"{others[0]} is there already, and not by the atlas: name another folder")
        images = self._images()
        check_claim(self.folder, {**made_with, IMAGES: images})
        for case in cases:
            if self.has(case) and images.get(case.name) != case.image_digest:
                raise ValueError(
                    f"{self.file(case)} is there already, and not of {case.image} as it is now: delete that label map,"
                    " or name another folder"
                )

    def claim(self, cases: Sequence[Case], made_with: Mapping[str, Any], dataset_json: Path) -> None:
        """Make the folder one for label maps of these cases; those that are there stay.

        Args:
            cases: as `check`.
            made_with: as `check`.
            dataset_json: to be copied.

        Raises:
            ValueError: as `check`.
        """
        self.check(cases, made_with)
        images = self._images() | {case.name: case.image_digest for case in cases}
        write_claim(self.folder, {**made_with, IMAGES: images})
        write_bytes(self.folder / "dataset.json", dataset_json.read_bytes())

    def _images(self) -> dict[str, str | None]:
        """Digests by case of the images that label maps are of."""
        file = self.folder / CLAIM
        return read_object(file).get(IMAGES, {}) if file.exists() else {}
