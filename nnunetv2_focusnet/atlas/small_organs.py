"""The interleaved networks on cases: regions from the atlas, small organs from the networks, the others from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk
import torch
from tqdm import tqdm

from nnunetv2_focusnet.atlas.cases import Case, read_case_image, read_case_labels
from nnunetv2_focusnet.atlas.interleaved import InterleavedNetworks, Sample
from nnunetv2_focusnet.atlas.prediction import claim_predictions
from nnunetv2_focusnet.atlas.regions import Region, cut, cut_labels, neighbours, paste
from nnunetv2_focusnet.atlas.registration import grey_values
from nnunetv2_focusnet.atlas.template import Atlas, claim
from nnunetv2_focusnet.images.reading import read_volume
from nnunetv2_focusnet.images.writing import write_image
from nnunetv2_focusnet.organs.dataset_json import DatasetJson


@dataclass(frozen=True)
class AtlasLabels:
    """Label maps that an atlas was transferred to.

    Attributes:
        folder: where they are.
        file_ending: of them.
    """

    folder: Path
    file_ending: str

    def has(self, case: Case) -> bool:
        """Whether there is one of the case."""
        return self._file(case).exists()

    def read(self, case: Case) -> sitk.Image:
        """That of a case."""
        return read_volume(self._file(case))

    def _file(self, case: Case) -> Path:
        return self.folder / f"{case.name}{self.file_ending}"


def train_small_organs(
    atlas: Atlas,
    regions: Sequence[Region],
    cases: Sequence[Case],
    dataset: DatasetJson,
    transferred: AtlasLabels,
    folder: Path,
    steps: int,
    *,
    show_progress: bool = True,
) -> InterleavedNetworks:
    """Train the networks of all small organs, or those that are missing.

    Args:
        atlas: that finds the regions.
        regions: of the small organs.
        cases: of training.
        dataset: the dataset.json.
        transferred: the atlas's label maps of these cases.
        folder: gets the weights.
        steps: of each network.
        show_progress: with a bar.

    Raises:
        ValueError: the atlas has lost one of the organs, or the folder has networks that were made otherwise.
    """
    if lost := sorted(set(atlas.lost_organs()) & {region.name for region in regions}):
        raise ValueError(f"the atlas has no voxel of {', '.join(lost)}: build it of more cases or with finer voxels")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    networks = InterleavedNetworks(regions, neighbours(regions, atlas.read_labels()), folder, device, steps)
    claim(folder, atlas.recipe, **networks.made_with)
    networks.train([_sample(case, regions, dataset, transferred) for case in cases], show_progress=show_progress)
    return networks


def predict_small_organs(
    atlas: Atlas,
    networks: InterleavedNetworks,
    cases: Sequence[Case],
    dataset: DatasetJson,
    transferred: AtlasLabels,
    folder: Path,
    dataset_json: Path,
    *,
    show_progress: bool = True,
) -> None:
    """Segment cases into ``FOLDER/CASE.ENDING``; those that are there, or that the atlas left out, are passed over.

    Args:
        atlas: that finds the regions.
        networks: of the small organs.
        cases: to segment.
        dataset: the dataset.json.
        transferred: the atlas's label maps of these cases.
        folder: gets the label maps.
        dataset_json: goes there, too.
        show_progress: with a bar.

    Raises:
        ValueError: the folder holds other predictions.
    """
    claim_predictions(folder, atlas.recipe, dataset_json, dataset.file_ending, **networks.made_with)
    files = {folder / f"{case.name}{dataset.file_ending}": case for case in cases if transferred.has(case)}
    pending = {file: case for file, case in files.items() if not file.exists()}
    for file, case in tqdm(pending.items(), desc="Small organs", unit="case", disable=not (show_progress and pending)):
        maps = networks.predict(_sample(case, networks.regions, dataset, transferred, with_targets=False))
        labels = [region.label for region in networks.regions]
        write_image(paste(transferred.read(case), maps, labels), file)


def _sample(
    case: Case, regions: Sequence[Region], dataset: DatasetJson, transferred: AtlasLabels, *, with_targets: bool = True
) -> Sample:
    of_atlas = transferred.read(case)
    placed = {region.label: region.place(of_atlas) for region in regions}
    grids = {label: grid for label, grid in placed.items() if grid is not None}
    targets = {}
    if with_targets:
        drawn = read_case_labels(case, dataset)
        for label in grids.keys() - dataset.unannotated.get(case.name, frozenset()):
            here = cut_labels(drawn, grids[label])
            targets[label] = here == label, here != (dataset.ignore_label or -1)
    grey = grey_values(read_case_image(case), is_ct=dataset.is_ct)
    return Sample({label: cut(grey, grid) for label, grid in grids.items()}, grids, targets)
