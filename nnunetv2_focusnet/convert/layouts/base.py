"""What the layout of a public dataset, or of a clinic's export, tells the converter: cases, images and structures."""

from __future__ import annotations

import argparse
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import SimpleITK as sitk


@dataclass(frozen=True)
class Channel:
    """One channel of a case.

    Attributes:
        image: 3D; the first channel of a case is the grid of its labels.
        file: holds exactly this image, so that it may be linked; None where the image was put together or resampled.
    """

    image: sitk.Image
    file: Path | None


@dataclass(frozen=True)
class Structure:
    """One structure of a case. One that is there but empty was looked for and is absent, which isn't "not annotated".

    Attributes:
        name: as the source spells it.
        mask: 3D, 0 and one other value; need not lie on the grid of the image.
        source: where it comes from, to start an error message with.
    """

    name: str
    mask: sitk.Image
    source: str


class NoCaseError(ValueError):
    """What a layout found makes no case and was hardly meant as one: worth a note, but no fault."""


@dataclass(frozen=True)
class SourceCase(ABC):
    """One case where it lies. It holds paths, not arrays, and goes to another process by pickle.

    Attributes:
        identifier: unique in the dataset, goes into file names and reports: never a patient's name, number or birth
            date.
        split: "train" for imagesTr, "test" for imagesTs.
    """

    identifier: str
    split: Literal["train", "test"]

    @abstractmethod
    def structure_names(self) -> Sequence[str]:
        """Names of the structures that are annotated in this case, as the source spells them, without reading masks.

        Raises:
            NoCaseError: it isn't a case.
            ValueError: one line that names the file and what to do about it.
        """

    @abstractmethod
    def channels(self) -> list[Channel]:
        """Read the images, in the order of the layout's channel names.

        Raises:
            ValueError: one line that names the file and what to do about it.
        """

    @abstractmethod
    def structures(self, names: Sequence[str]) -> Iterator[Structure]:
        """Read those of `structure_names` that are asked for, one after the other, lest all masks be in memory at once.

        Raises:
            ValueError: one line that names the file and what to do about it.
        """

    def notes(self) -> Sequence[str]:
        """What a user should know of this case beyond its structures, a line each."""
        return ()


@dataclass(frozen=True)
class UnusableCase(SourceCase):
    """Files that make no case, for a reason that the report is to name."""

    reason: ValueError

    def structure_names(self) -> Sequence[str]:
        """Raise the reason."""
        raise self.reason

    def channels(self) -> list[Channel]:
        """Raise the reason."""
        raise self.reason

    def structures(self, names: Sequence[str]) -> Iterator[Structure]:
        """Raise the reason."""
        raise self.reason


class Layout(ABC):
    """How one dataset lies on disk. An instance holds the options of its subcommand.

    Attributes:
        name: on the command line.
        title: of the dataset; also the default name of the nnU-Net dataset, hence without spaces.
        about: one line for the help: files that the layout expects.
        channel_names: as nnU-Net normalises them ("CT" by the intensities of all training cases).
        organs: names in the order of their labels; empty: all names that the cases have, sorted.
        aliases: other names that copies of the dataset have, each for one of the organs. Spellings that differ only in
            case, in separators or in how a side is written (Lens-Lt, lens_left) need no alias.
        image_ending: of the image files, where nnU-Net can read them as they are; None: images have to be put together.
        licence: of the dataset.
        citation: of the dataset.
        reference: where the dataset is described or to be had.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    about: ClassVar[str]
    organs: ClassVar[tuple[str, ...]] = ()
    aliases: ClassVar[dict[str, str]] = {}
    image_ending: ClassVar[str | None] = None
    licence: ClassVar[str]
    citation: ClassVar[str]
    reference: ClassVar[str]

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names of the channels of every case."""
        return ("CT",)

    @property
    def description(self) -> str:
        """What the dataset is, for its dataset.json."""
        return f"{self.title}: {self.about}"

    @classmethod  # noqa: B027 - most layouts have no options
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """Add the options that only this layout has."""

    @classmethod
    def from_options(cls, options: argparse.Namespace) -> Layout:
        """The layout with the options of the command line."""
        return cls()

    @abstractmethod
    def find_cases(self, source: Path) -> list[SourceCase]:
        """All cases below a folder, sorted; empty where nothing there looks like this layout. It reads no images."""

    def folds(self, training_cases: Sequence[str]) -> list[dict[str, list[str]]]:
        """Official folds among these cases, as splits_final.json has them; empty: nnU-Net makes its own."""
        return []

    def json_files(self, converted: Sequence[SourceCase]) -> dict[str, Any]:
        """Further files to write beside dataset.json: name to content. A DICOM case's series is found again by one."""
        return {}
