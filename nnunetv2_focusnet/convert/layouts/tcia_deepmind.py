"""CT of The Cancer Imaging Archive, contoured for Nikolov et al.: ``nrrds/SPLIT/READER/CASE/`` with ``CT_IMAGE.nrrd``.

A case's structures are in ``segmentations/ORGAN.nrrd``. Two readers contoured every scan. The repository with the data
(google-deepmind/tcia-ct-scan-dataset) lists its 21 organs and has 7 scans for validation and 24 for test.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nnunetv2_focusnet.convert.layouts.base import SourceCase
from nnunetv2_focusnet.convert.layouts.files import FilesCase, FilesLayout, mask_files
from nnunetv2_focusnet.system.folders import Listing

READERS = ("oncologist", "radiographer")
SPLITS: dict[str, Literal["train", "test"]] = {"validation": "train", "test": "test"}


@dataclass(frozen=True)
class TciaDeepMind(FilesLayout):
    """The authors' validation scans go to imagesTr, their test scans to imagesTs; their training data isn't public.

    Attributes:
        reader: whose contours are taken.
    """

    name = "tcia-deepmind"
    title = "TCIADeepMind"
    about = (
        "nrrds/{test,validation}/{oncologist,radiographer}/CASE/CT_IMAGE.nrrd and segmentations/ORGAN.nrrd beside it"
    )
    organs = (
        *("Brain", "Brainstem", "Cochlea-Lt", "Cochlea-Rt", "Lacrimal-Lt", "Lacrimal-Rt", "Lens-Lt", "Lens-Rt"),
        *("Lung-Lt", "Lung-Rt", "Mandible", "Optic-Nerve-Lt", "Optic-Nerve-Rt", "Orbit-Lt", "Orbit-Rt"),
        *("Parotid-Lt", "Parotid-Rt", "Spinal-Canal", "Spinal-Cord", "Submandibular-Lt", "Submandibular-Rt"),
    )
    image_ending = ".nrrd"
    licence = "CC BY 4.0 (contours); images from The Cancer Imaging Archive under the licences of their collections"
    citation = (
        "Nikolov, S., et al.: Deep learning to achieve clinically applicable segmentation of head and neck anatomy for "
        "radiotherapy. arXiv:1809.04430 (2018). https://arxiv.org/abs/1809.04430"
    )
    reference = "https://github.com/google-deepmind/tcia-ct-scan-dataset"

    reader: str = READERS[0]

    @property
    def description(self) -> str:
        """Says whose contours they are."""
        return f"CT of The Cancer Imaging Archive with the contours of the {self.reader}"

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """Whose contours to take."""
        parser.add_argument("--reader", choices=READERS, default=READERS[0], help=f"contours (default: {READERS[0]})")

    @classmethod
    def from_options(cls, options: argparse.Namespace) -> TciaDeepMind:
        """The layout for the reader that the command line names."""
        return cls(options.reader)

    def cases_in(self, listing: Listing) -> Iterator[tuple[Path, SourceCase]]:
        """Cases of the reader, with an image or with structures."""
        found = {path.parent for name in ("CT_IMAGE.nrrd", "segmentations") for path in listing.matching(name)}
        for folder in sorted(found):
            if self._belongs(folder):
                yield folder, self._case(listing, folder)

    def _belongs(self, folder: Path) -> bool:
        return folder.parent.name == self.reader and folder.parent.parent.name in SPLITS

    def _case(self, listing: Listing, folder: Path) -> SourceCase:
        return FilesCase(
            identifier=folder.name,
            split=SPLITS[folder.parent.parent.name],
            image_files=(folder / "CT_IMAGE.nrrd",),
            structure_files=mask_files(listing, folder / "segmentations", ".nrrd"),
        )
