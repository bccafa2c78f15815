"""Small networks for small organs, interleaved once, after Ren et al., Interleaved 3D-CNNs (Medical Physics, 2018).

Each organ has a first network, which reads the image in the organ's region, and a second one, which also reads what
the first networks of this organ and of its neighbours say there.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from nnunetv2_focusnet.atlas.regions import Region, cut
from nnunetv2_focusnet.images.grid import Grid
from nnunetv2_focusnet.system.files import write_bytes

FIRST, SECOND = "first", "second"
WIDTH = 24
DEPTH = 4  # convolutions on each scale: a voxel is classified by 9 voxels along each axis, and by 9 of twice the size
PATCH = 16  # voxels along each axis, at most
AROUND_ORGAN = 0.5  # of the patches; regions are far larger than small organs
BATCH = 4
LEARNING_RATE = 3e-3
SEED = 1
Maps = dict[int, sitk.Image]  # probabilities by label, each on the grid of its region
Example = tuple[np.ndarray, np.ndarray, np.ndarray]  # inputs (C, Z, Y, X), organ (Z, Y, X), known voxels (Z, Y, X)


class PatchNetwork(nn.Module):
    """Classifies each voxel by the patch around it, in full and in half resolution; for all voxels in one pass.

    Args:
        channels: of the input.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fine, self.coarse = _convolutions(channels), _convolutions(channels)
        self.classify = nn.Sequential(nn.Conv3d(2 * WIDTH, WIDTH, 1), nn.LeakyReLU(), nn.Conv3d(WIDTH, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits, shape (B, 1, Z, Y, X), for inputs of shape (B, C, Z, Y, X)."""
        depth, height, width = ((size + 1) // 2 for size in x.shape[2:])
        coarse = self.coarse(F.adaptive_avg_pool3d(x, (depth, height, width)))
        coarse = F.interpolate(coarse, size=x.shape[2:], mode="trilinear", align_corners=False)
        return self.classify(torch.cat([self.fine(x), coarse], 1))


@dataclass(frozen=True)
class Sample:
    """A case, as the networks see it.

    Attributes:
        images: grey values from 0 to 1 in each region by label, shape (Z, Y, X).
        grids: regions by label; organs that the atlas doesn't find in the image have none.
        targets: by label, whether voxels are the organ, and whether that is known, both of shape (Z, Y, X); organs that
            aren't annotated have none.
    """

    images: Mapping[int, np.ndarray]
    grids: Mapping[int, Grid]
    targets: Mapping[int, tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class InterleavedNetworks:
    """The networks of all small organs.

    Attributes:
        regions: of the organs.
        neighbours: by label, whose first probabilities the organ's second network reads, its own first.
        folder: where weights are kept.
        device: where networks are trained and used.
        steps: of the training of each.
    """

    regions: Sequence[Region]
    neighbours: Mapping[int, Sequence[int]]
    folder: Path
    device: torch.device
    steps: int

    @property
    def are_trained(self) -> bool:
        """Whether all are there."""
        return all(self._file(stage, region).exists() for stage in (FIRST, SECOND) for region in self.regions)

    def train(self, samples: Sequence[Sample]) -> None:
        """Train the networks that aren't there yet.

        Raises:
            ValueError: no sample has an organ.
        """
        with tqdm(total=2 * len(self.regions) * self.steps, desc="Networks", unit="step", disable=None) as bar:
            self._train_stage(FIRST, samples, [{} for _ in samples], bar)
            maps = [self._maps(FIRST, sample, {}) for sample in samples]
            self._train_stage(SECOND, samples, maps, bar)

    def predict(self, sample: Sample) -> Maps:
        """Probabilities of the small organs, by label."""
        return self._maps(SECOND, sample, self._maps(FIRST, sample, {}))

    def _train_stage(self, stage: str, samples: Sequence[Sample], maps: Sequence[Maps], bar: tqdm) -> None:
        for region in self.regions:
            file = self._file(stage, region)
            if file.exists():
                bar.update(self.steps)
                continue
            examples = [
                (self._input(stage, region, sample, of_first), *sample.targets[region.label])
                for sample, of_first in zip(samples, maps, strict=True)
                if region.label in sample.grids and region.label in sample.targets
            ]
            if not examples:
                raise ValueError(f"{region.name}: the atlas finds it in no training case that has it annotated")
            weights = io.BytesIO()
            torch.save(train_network(examples, self.steps, self.device, bar).state_dict(), weights)
            write_bytes(file, weights.getvalue())

    def _maps(self, stage: str, sample: Sample, of_first: Maps) -> Maps:
        """The probabilities that a stage gives."""
        maps = {}
        for region in self.regions:
            if (grid := sample.grids.get(region.label)) is not None:
                given = torch.from_numpy(self._input(stage, region, sample, of_first))[None].to(self.device)
                network = PatchNetwork(given.shape[1]).to(self.device)
                weights = torch.load(self._file(stage, region), map_location=self.device, weights_only=True)
                network.load_state_dict(weights)
                with torch.inference_mode():
                    probability = network.eval()(given)[0, 0].sigmoid().cpu().numpy()
                maps[region.label] = grid.put(sitk.GetImageFromArray(probability))
        return maps

    def _input(self, stage: str, region: Region, sample: Sample, of_first: Maps) -> np.ndarray:
        grid = sample.grids[region.label]
        images = [sample.images[region.label]]
        if stage == SECOND:
            unknown = np.zeros(grid.shape, np.float32)
            others = self.neighbours[region.label]
            images += [cut(of_first[other], grid) if other in of_first else unknown for other in others]
        return np.stack(images)

    def _file(self, stage: str, region: Region) -> Path:
        return self.folder / f"{region.label:03d}_{stage}.pt"


def train_network(examples: Sequence[Example], steps: int, device: torch.device, bar: tqdm) -> PatchNetwork:
    """Train a network on patches that are drawn at random from the examples."""
    torch.manual_seed(SEED)
    random = np.random.default_rng(SEED)
    network = PatchNetwork(len(examples[0][0])).to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        drawn = [_random_patch(examples[index], random) for index in random.integers(len(examples), size=BATCH)]
        given, organ, known = (torch.from_numpy(np.stack(part)).to(device) for part in zip(*drawn, strict=True))
        optimizer.zero_grad()
        _loss(network(given)[:, 0], organ.float(), known.float()).backward()
        optimizer.step()
        schedule.step()
        bar.update()
    return network


def _random_patch(example: Example, random: np.random.Generator) -> tuple[np.ndarray, ...]:
    shape = np.array(example[1].shape)
    sizes = np.minimum(shape, PATCH)
    starts = random.integers(shape - sizes + 1)
    organ = np.argwhere(example[1])
    if len(organ) and random.random() < AROUND_ORGAN:
        starts = np.clip(organ[random.integers(len(organ))] - sizes // 2, 0, shape - sizes)
    z, y, x = (slice(start, start + size) for start, size in zip(starts, sizes, strict=True))
    return tuple(array[..., z, y, x] for array in example)


def _loss(logits: torch.Tensor, organ: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Cross-entropy and soft Dice over the voxels that are known."""
    entropy = F.binary_cross_entropy_with_logits(logits, organ, known, reduction="sum") / known.sum().clamp(min=1)
    probability = logits.sigmoid() * known
    overlap = 2 * (probability * organ).sum() + 1
    return entropy + 1 - overlap / (probability.sum() + (organ * known).sum() + 1)


def _convolutions(channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for number in range(DEPTH):
        convolution = nn.Conv3d(channels if number == 0 else WIDTH, WIDTH, 3, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm3d(WIDTH), nn.LeakyReLU()]
    return nn.Sequential(*layers)
