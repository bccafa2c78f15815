"""The networks of two organs of which one can only be told by the other."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from nnunetv2_focusnet.atlas import interleaved
from nnunetv2_focusnet.atlas.interleaved import InterleavedNetworks, PatchNetwork, Sample
from nnunetv2_focusnet.atlas.regions import Region
from nnunetv2_focusnet.images.grid import Grid

SEEN, HIDDEN = 1, 2
SIZE, STEPS = 12, 60
GRID = Grid((SIZE,) * 3, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
REGIONS = [Region("seen", SEEN, GRID.size, GRID.spacing), Region("hidden", HIDDEN, GRID.size, GRID.spacing)]
NEIGHBOURS = {SEEN: (SEEN, HIDDEN), HIDDEN: (HIDDEN, SEEN)}


def sample(number: int) -> Sample:
    """A bright cube, which the image shows, and the cube to its left, which it doesn't."""
    z, y, x = np.random.default_rng(number).integers(1, SIZE - 7, 3)
    seen, hidden = np.zeros((2, *GRID.shape), bool)
    seen[z : z + 3, y : y + 3, x + 3 : x + 6] = True
    hidden[z : z + 3, y : y + 3, x : x + 3] = True
    known = np.ones(GRID.shape, bool)
    image = seen.astype(np.float32)
    return Sample(
        {SEEN: image, HIDDEN: image}, {SEEN: GRID, HIDDEN: GRID}, {SEEN: (seen, known), HIDDEN: (hidden, known)}
    )


def dsc(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def networks(folder: Path) -> InterleavedNetworks:
    return InterleavedNetworks(REGIONS, NEIGHBOURS, folder, torch.device("cpu"), STEPS)


@pytest.fixture(scope="module", autouse=True)
def _small_and_quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interleaved, "WIDTH", 8)
        patch.setattr(interleaved, "PATCH", 9)
        patch.setattr(interleaved, "BATCH", 8)
        patch.setattr(interleaved, "LEARNING_RATE", 1e-2)
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> InterleavedNetworks:
    made = networks(tmp_path_factory.mktemp("networks"))
    made.train([sample(number) for number in range(6)])
    return made


def test_both_organs_are_found_in_an_unseen_case(trained: InterleavedNetworks) -> None:
    unseen = sample(99)
    maps = trained.predict(unseen)
    for label in (SEEN, HIDDEN):
        assert Grid.of(maps[label]) == GRID
        assert dsc(sitk.GetArrayFromImage(maps[label]) > 0.5, unseen.targets[label][0]) > 0.8


def test_second_networks_read_the_first_ones_of_neighbours(trained: InterleavedNetworks) -> None:
    channels = {
        file.name: torch.load(file, weights_only=True)["fine.0.weight"].shape[1]
        for file in sorted(trained.folder.iterdir())
    }
    assert channels == {"001_first.pt": 1, "001_second.pt": 3, "002_first.pt": 1, "002_second.pt": 3}


def test_networks_that_are_there_are_not_trained_again(trained: InterleavedNetworks, tmp_path: Path) -> None:
    """As after a kill: the missing network comes out as it did in one go."""
    for file in trained.folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    lost = tmp_path / "002_second.pt"
    before = torch.load(lost, weights_only=True)
    lost.unlink()
    kept = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    networks(tmp_path).train([sample(number) for number in range(6)])
    assert {file: file.stat().st_mtime_ns for file in kept} == kept
    after = torch.load(lost, weights_only=True)
    assert all(torch.equal(after[name], weight) for name, weight in before.items())


def test_an_organ_that_is_annotated_nowhere_is_named(tmp_path: Path) -> None:
    only_seen = sample(0)
    without = Sample(only_seen.images, only_seen.grids, {SEEN: only_seen.targets[SEEN]})
    with pytest.raises(ValueError, match="hidden: the atlas finds it in no training case"):
        networks(tmp_path).train([without])


def test_any_size_goes_through() -> None:
    assert PatchNetwork(2)(torch.zeros(1, 2, 1, 5, 8)).shape == (1, 1, 1, 5, 8)
