"""SegRap 2023, task 1: ``segrap_XXXX/image.nii.gz``, ``image_contrast.nii.gz`` and one file per organ, 45 organs.

Names are those of the organisers' code (HiLab-git/SegRap2023). Some organs are parts of others by design: brain stem,
chiasm, temporal lobes and hippocampi of the brain, lenses of the eyes, canals and cavities of the middle ears, glottic
and supraglottic larynx of the larynx. In one label map the smaller organ has the voxels that both have, so Brain, Eye,
MiddleEar, TemporalLobe and Larynx are what their parts leave. A metric of these organs isn't the challenge's, which is
taken on the whole; give --organs without the parts where the whole is wanted.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_focusnet.convert.layouts.base import SourceCase
from nnunetv2_focusnet.convert.layouts.files import FilesCase, FilesLayout, mask_files
from nnunetv2_focusnet.system.folders import Listing

IMAGES = {"image", "image_contrast"}


@dataclass(frozen=True)
class SegRap(FilesLayout):
    """Cases with structures go to imagesTr; those without, as the challenge's validation has them, to imagesTs.

    Attributes:
        contrast: the contrast-enhanced CT, which the organisers aligned, is a second channel.
    """

    name = "segrap"
    title = "SegRap"
    about = "segrap_XXXX/image.nii.gz and segrap_XXXX/ORGAN.nii.gz"
    organs = (
        *("Brain", "BrainStem", "Chiasm", "TemporalLobe_L", "TemporalLobe_R", "Hippocampus_L", "Hippocampus_R"),
        *("Eye_L", "Eye_R", "Lens_L", "Lens_R", "OpticNerve_L", "OpticNerve_R", "MiddleEar_L", "MiddleEar_R"),
        *("IAC_L", "IAC_R", "TympanicCavity_L", "TympanicCavity_R", "VestibulSemi_L", "VestibulSemi_R"),
        *("Cochlea_L", "Cochlea_R", "ETbone_L", "ETbone_R", "Pituitary", "OralCavity", "Mandible_L", "Mandible_R"),
        *("Submandibular_L", "Submandibular_R", "Parotid_L", "Parotid_R", "Mastoid_L", "Mastoid_R"),
        *("TMjoint_L", "TMjoint_R", "SpinalCord", "Esophagus", "Larynx", "Larynx_Glottic", "Larynx_Supraglot"),
        *("PharynxConst", "Thyroid", "Trachea"),
    )
    image_ending = ".nii.gz"
    licence = "data use agreement of the SegRap 2023 challenge"
    citation = (
        "Luo, X., et al.: SegRap2023: A benchmark of organs-at-risk and gross tumor volume segmentation for "
        "radiotherapy planning of nasopharyngeal carcinoma. arXiv:2312.09576 (2023). https://arxiv.org/abs/2312.09576"
    )
    reference = "https://segrap2023.grand-challenge.org/"

    contrast: bool = False

    @property
    def channel_names(self) -> tuple[str, ...]:
        """CT, and CT with contrast agent if it is asked for; both are normalised as CT."""
        return ("CT", "CT") if self.contrast else ("CT",)

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """Whether to take the CT with contrast agent."""
        parser.add_argument("--contrast", action="store_true", help="image_contrast.nii.gz as second channel")

    @classmethod
    def from_options(cls, options: argparse.Namespace) -> SegRap:
        """The layout with the channels that the command line asks for."""
        return cls(options.contrast)

    def cases_in(self, listing: Listing) -> Iterator[tuple[Path, SourceCase]]:
        """Folders segrap_XXXX that hold NIfTI files."""
        for folder in listing.matching("segrap_*"):
            if mask_files(listing, folder, ".nii.gz"):
                yield folder, self._case(listing, folder)

    def _case(self, listing: Listing, folder: Path) -> SourceCase:
        names = ("image.nii.gz", "image_contrast.nii.gz") if self.contrast else ("image.nii.gz",)
        files = mask_files(listing, folder, ".nii.gz")
        structures = {name: file for name, file in files.items() if name not in IMAGES}
        return FilesCase(
            identifier=folder.name,
            split="train" if structures else "test",
            image_files=tuple(folder / name for name in names),
            structure_files=structures,
        )
