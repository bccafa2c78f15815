"""Cases with one file per image and one per structure, as most public datasets have them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from nnunetv2_focusnet.convert.layouts.base import Channel, Layout, SourceCase, Structure, UnusableCase
from nnunetv2_focusnet.images.grid import Grid
from nnunetv2_focusnet.images.reading import read_volume
from nnunetv2_focusnet.system.folders import Listing, list_below


class FilesLayout(Layout):
    """A layout that tells cases by the names of files and folders."""

    def find_cases(self, source: Path) -> list[SourceCase]:
        """All cases below a folder, sorted. One with a folder that can't be read says so in place of its structures."""
        listing = list_below(source)
        cases: list[SourceCase] = []
        outside = dict.fromkeys(listing.problems())
        for folder, case in self.cases_in(listing):
            problems = listing.problems(folder)
            reason = ValueError(problems[0]) if problems else None
            cases.append(UnusableCase(case.identifier, case.split, reason) if reason else case)
            outside = {problem: None for problem in outside if problem not in problems}
        unread = enumerate(outside, start=1)
        return cases + [UnusableCase(f"unreadable_{n:03d}", "train", ValueError(problem)) for n, problem in unread]

    @abstractmethod
    def cases_in(self, listing: Listing) -> Iterator[tuple[Path, SourceCase]]:
        """The folder of each case, and the case, sorted."""


@dataclass(frozen=True)
class FilesCase(SourceCase):
    """A case whose images and masks are files that SimpleITK reads.

    Attributes:
        image_files: one per channel; further channels are resampled onto the first.
        structure_files: structure name to mask file.
        remarks: what `notes` returns.
    """

    image_files: tuple[Path, ...]
    structure_files: Mapping[str, Path]
    remarks: tuple[str, ...] = ()

    def structure_names(self) -> Sequence[str]:
        """Names of the mask files."""
        return tuple(self.structure_files)

    def channels(self) -> list[Channel]:
        """Read the images."""
        first, *others = self.image_files
        reference = read_volume(first)
        return [Channel(reference, first), *(_onto(reference, file) for file in others)]

    def structures(self, names: Sequence[str]) -> Iterator[Structure]:
        """Read masks."""
        for name in names:
            file = self.structure_files[name]
            yield Structure(name, self.read_mask(name, file), str(file))

    def read_mask(self, name: str, file: Path) -> sitk.Image:
        """The mask of one structure, for subclasses whose files hold more than a mask."""
        return read_volume(file)

    def notes(self) -> Sequence[str]:
        """What was remarkable when the case was found."""
        return self.remarks


def mask_files(listing: Listing, folder: Path, ending: str, prefix: str = "") -> dict[str, Path]:
    """Structure name to file for all files ``PREFIX NAME ENDING`` of a folder."""
    files = listing.files_with_ending(folder, ending, prefix)
    return {file.name.removeprefix(prefix).removesuffix(ending): file for file in files}


def _onto(reference: sitk.Image, file: Path) -> Channel:
    """A further channel on the grid of the first; beyond its field of view it has its own lowest value."""
    image = read_volume(file)
    if Grid.of(image) == Grid.of(reference):
        return Channel(image, file)
    if Grid.of(image).difference_from(Grid.of(reference)) is None:  # nnU-Net refuses headers that are rounded otherwise
        return Channel(Grid.of(reference).put(image), None)
    lowest = float(sitk.GetArrayViewFromImage(image).min())
    resampled = sitk.Resample(image, reference, sitk.Transform(), sitk.sitkLinear, lowest, image.GetPixelID())
    return Channel(resampled, None)
