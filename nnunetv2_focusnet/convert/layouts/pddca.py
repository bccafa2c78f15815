"""PDDCA 1.4.1, the data of the MICCAI 2015 challenge: ``0522cXXXX/img.nrrd`` and ``0522cXXXX/structures/ORGAN.nrrd``.

The FocusNet paper trains on the challenge's training, additional and on-site cases and tests on its off-site cases.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from nnunetv2_focusnet.convert.layouts.base import SourceCase
from nnunetv2_focusnet.convert.layouts.files import FilesCase, FilesLayout, mask_files
from nnunetv2_focusnet.system.folders import Listing

TRAIN = (
    *("0001", "0002", "0003", "0009", "0013", "0014", "0017", "0057", "0070", "0077", "0079", "0081", "0125"),
    *("0132", "0147", "0149", "0159", "0161", "0190", "0195", "0226", "0248", "0251", "0253", "0328"),
)
ADDITIONAL = ("0329", "0330", "0427", "0433", "0441", "0455", "0457", "0479")
ONSITE = ("0788", "0806", "0845", "0857", "0878")
OFFSITE = ("0555", "0576", "0598", "0659", "0661", "0667", "0669", "0708", "0727", "0746")
PREFIX = "0522c"


class Pddca(FilesLayout):
    """Off-site cases go to imagesTs; of the others the challenge's on-site cases are the official validation."""

    name = "pddca"
    title = "PDDCA"
    about = "0522cXXXX/img.nrrd and 0522cXXXX/structures/ORGAN.nrrd"
    organs = (
        *("BrainStem", "Chiasm", "Mandible", "OpticNerve_L", "OpticNerve_R"),
        *("Parotid_L", "Parotid_R", "Submandibular_L", "Submandibular_R"),
    )
    image_ending = ".nrrd"
    licence = "CC BY 3.0; images from Head-Neck Cetuximab of The Cancer Imaging Archive"
    citation = (
        "Raudaschl, P. F., et al.: Evaluation of segmentation methods on head and neck CT: Auto-segmentation challenge "
        "2015. Medical Physics 44(5), 2020-2036 (2017). https://doi.org/10.1002/mp.12197"
    )
    reference = "https://www.imagenglab.com/newsite/pddca/"

    def cases_in(self, listing: Listing) -> Iterator[tuple[Path, SourceCase]]:
        """Cases with an image or with structures; an image without the other is for the converter to complain about."""
        found = {file.parent for file in listing.matching("img.nrrd")}
        found |= {each.parent for each in listing.matching("structures") if each.parent.name.startswith(PREFIX)}
        for folder in sorted(found):
            yield folder, self._case(listing, folder)

    @staticmethod
    def _case(listing: Listing, folder: Path) -> SourceCase:
        number = folder.name.removeprefix(PREFIX)
        known = number in (*TRAIN, *ADDITIONAL, *ONSITE, *OFFSITE)
        return FilesCase(
            identifier=folder.name,
            split="test" if number in OFFSITE else "train",
            image_files=(folder / "img.nrrd",),
            structure_files=mask_files(listing, folder / "structures", ".nrrd"),
            remarks=() if known else ("isn't one of the 48 cases of PDDCA 1.4.1, and was taken for training",),
        )

    def folds(self, training_cases: Sequence[str]) -> list[dict[str, list[str]]]:
        """One fold: the challenge's on-site cases validate what the others train."""
        onsite = {PREFIX + number for number in ONSITE}
        train = [case for case in training_cases if case not in onsite]
        validation = [case for case in training_cases if case in onsite]
        return [{"train": train, "val": validation}] if train and validation else []
