"""HaN-Seg: ``case_XX/case_XX_IMG_CT.nrrd``, ``case_XX_IMG_MR_T1.nrrd`` and ``case_XX_OAR_ORGAN.seg.nrrd``.

The 30 organs are those of table 2 of the paper that the layout cites. CT and MR aren't registered to each other.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from nnunetv2_focusnet.convert.layouts.base import SourceCase
from nnunetv2_focusnet.convert.layouts.files import FilesCase, FilesLayout, mask_files
from nnunetv2_focusnet.images.reading import read_image
from nnunetv2_focusnet.organs.names import words_and_side
from nnunetv2_focusnet.system.folders import Listing

CT, T1 = "_IMG_CT.nrrd", "_IMG_MR_T1.nrrd"


@dataclass(frozen=True)
class HanSeg(FilesLayout):
    """All public cases go to imagesTr; those of the challenge's test aren't public.

    Attributes:
        t1: the T1-weighted MR is a second channel, resampled onto the CT by its position in the scanner alone.
    """

    name = "hanseg"
    title = "HaNSeg"
    about = "case_XX/case_XX_IMG_CT.nrrd and case_XX_OAR_ORGAN.seg.nrrd beside it"
    organs = (
        *("A_Carotid_L", "A_Carotid_R", "Arytenoid", "Bone_Mandible", "Brainstem", "BuccalMucosa", "Cavity_Oral"),
        *("Cochlea_L", "Cochlea_R", "Cricopharyngeus", "Esophagus_S", "Eye_AL", "Eye_AR", "Eye_PL", "Eye_PR"),
        *("Glnd_Lacrimal_L", "Glnd_Lacrimal_R", "Glnd_Submand_L", "Glnd_Submand_R", "Glnd_Thyroid", "Glottis"),
        *("Larynx_SG", "Lips", "OpticChiasm", "OpticNrv_L", "OpticNrv_R", "Parotid_L", "Parotid_R", "Pituitary"),
        "SpinalCord",
    )
    image_ending = ".nrrd"
    licence = "CC BY-NC-ND 4.0"
    citation = (
        "Podobnik, G., Strojan, P., Peterlin, P., Ibragimov, B., Vrtovec, T.: HaN-Seg: The head and neck organ-at-risk "
        "CT and MR segmentation dataset. Medical Physics 50(3), 1917-1927 (2023). https://doi.org/10.1002/mp.16197"
    )
    reference = "https://doi.org/10.5281/zenodo.7442914"

    t1: bool = False

    @property
    def channel_names(self) -> tuple[str, ...]:
        """CT, and the MR if it is asked for."""
        return ("CT", "T1") if self.t1 else ("CT",)

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """Whether to take the MR."""
        parser.add_argument(
            "--t1", action="store_true", help="T1-weighted MR as second channel, resampled onto the CT, not registered"
        )

    @classmethod
    def from_options(cls, options: argparse.Namespace) -> HanSeg:
        """The layout with the channels that the command line asks for."""
        return cls(options.t1)

    def cases_in(self, listing: Listing) -> Iterator[tuple[Path, SourceCase]]:
        """Cases with a CT or with structures."""
        files = [*listing.matching(f"case_*{CT}"), *listing.matching("case_*_OAR_*.seg.nrrd")]
        found = {(file.parent, re.sub("(_IMG_CT|_OAR_).*", "", file.name)) for file in files}
        for folder, case in sorted(found):
            yield folder, self._case(listing, folder, case)

    def _case(self, listing: Listing, folder: Path, case: str) -> SourceCase:
        endings = (CT, T1) if self.t1 else (CT,)
        return _SegNrrdCase(
            identifier=case,
            split="train",
            image_files=tuple(folder / (case + ending) for ending in endings),
            structure_files=mask_files(listing, folder, ".seg.nrrd", prefix=f"{case}_OAR_"),
        )


class _SegNrrdCase(FilesCase):
    def read_mask(self, name: str, file: Path) -> sitk.Image:
        """The segment of that name in a file of 3D Slicer, which keeps overlapping segments in several layers."""
        image = read_image(file)
        segments = {
            key.removesuffix("Name"): image.GetMetaData(key)
            for key in image.GetMetaDataKeys()
            if re.fullmatch(r"Segment\d+_Name", key)
        }
        wanted = [prefix for prefix, each in segments.items() if words_and_side(each) == words_and_side(name)]
        if len(segments) == 1 and not any(_is_another_organ(each, name) for each in segments.values()):
            wanted = list(segments)  # a segment's own name is often left as it was made: Segment_1
        if segments and len(wanted) != 1:
            there = ", ".join(segments.values())
            raise ValueError(f"{file} has the segments {there}, but one must be {name}: rename segment or file")
        if not segments:
            return image
        value = _number(image, f"{wanted[0]}LabelValue", file)
        if image.GetNumberOfComponentsPerPixel() > 1:
            image = sitk.VectorIndexSelectionCast(image, _number(image, f"{wanted[0]}Layer", file))
        return image == value


def _is_another_organ(segment: str, name: str) -> bool:
    """Whether a segment's name is another organ's or has the other side."""
    (words, side), (expected, expected_side) = words_and_side(segment), words_and_side(name)
    other_side = {side, expected_side} == {"l", "r"}
    known = (words, side) in map(words_and_side, HanSeg.organs)
    return other_side or (known and (words, side) != (expected, expected_side))


def _number(image: sitk.Image, key: str, file: Path) -> int:
    text = image.GetMetaData(key).strip() if image.HasMetaDataKey(key) else ""
    if not text.isdecimal():
        raise ValueError(f"{file} has no number {key} in its header: save it again with 3D Slicer")
    return int(text)
