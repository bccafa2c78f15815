"""Where regions lie and what comes back from them, on grids whose positions are counted by hand."""

import numpy as np
import SimpleITK as sitk

from nnunetv2_focusnet.atlas.regions import Region, cut, cut_labels, neighbours, paste
from nnunetv2_focusnet.images.grid import Grid

GRID = Grid((20, 16, 10), (1.0, 1.0, 2.0), (5.0, 0.0, -3.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
LARGE, NERVE, LENS, FAR = 1, 2, 3, 4


def label_map() -> sitk.Image:
    labels = np.zeros(GRID.shape, np.uint8)
    labels[:, :3] = LARGE
    labels[4:6, 8:10, 4:6] = NERVE  # centre: index (4.5, 8.5, 4.5), in mm (9.5, 8.5, 6)
    labels[4:6, 8:10, 8:10] = LENS  # 4 voxels to the left
    labels[4:6, 8:10, 16:18] = FAR
    return GRID.put(sitk.GetImageFromArray(labels))


def region(label: int, size: tuple[int, int, int] = (6, 6, 4)) -> Region:
    return Region(f"organ {label}", label, size, (1.0, 1.0, 2.0))


def test_a_region_lies_around_the_centre_of_its_organ() -> None:
    placed = region(NERVE).place(label_map())
    assert placed is not None
    # from the centre 2.5 voxels of 1 mm back along x and y, 1.5 of 2 mm along z
    np.testing.assert_allclose(placed.origin, (7.0, 6.0, 3.0))
    assert (placed.size, placed.spacing, placed.direction) == ((6, 6, 4), (1.0, 1.0, 2.0), GRID.direction)
    organ = cut_labels(label_map(), placed) == NERVE
    assert organ.shape == (4, 6, 6)
    assert organ.sum() == 8
    assert organ[1:3, 2:4, 2:4].all()


def test_an_organ_that_is_not_there_has_no_region() -> None:
    assert region(9).place(label_map()) is None


def test_neighbours_are_organs_whose_regions_overlap() -> None:
    """Regions are 6 wide and their centres 4, 8 and 12 apart."""
    found = neighbours([region(NERVE), region(LENS), region(FAR)], label_map())
    assert found == {NERVE: (NERVE, LENS), LENS: (LENS, NERVE), FAR: (FAR,)}


def test_small_organs_take_the_place_of_those_of_the_atlas() -> None:
    labels = label_map()
    of_lens, of_far = region(LENS).place(labels), region(FAR).place(labels)
    assert of_lens is not None
    assert of_far is not None
    lens = np.zeros(of_lens.shape, np.float32)
    lens[1, 0, 0] = 0.9
    lens[1, 0, 1] = 0.5  # not more than one half
    lens[1, 0, 2] = 0.6
    pasted = paste(
        labels,
        {LENS: of_lens.put(sitk.GetImageFromArray(lens)), FAR: of_lens.put(sitk.GetImageFromArray(lens / 1.5))},
        [NERVE, LENS, FAR],
    )
    merged = sitk.GetArrayFromImage(pasted)
    assert Grid.of(pasted) == GRID
    first = [round(each) for each in GRID.indices(np.array(of_lens.origin)[None])[0]]
    x, y, z = first
    assert merged[z + 1, y, x] == LENS  # 0.9 against 0.6
    assert np.argwhere(merged == LENS).tolist() == [[z + 1, y, x], [z + 1, y, x + 2]]
    assert (merged == LARGE).sum() == 10 * 3 * 20
    assert not np.isin(merged, [NERVE, FAR]).any()


def test_outside_an_image_is_0() -> None:
    grey = GRID.put(sitk.GetImageFromArray(np.ones(GRID.shape, np.float32)))
    beyond = Grid((2, 2, 2), GRID.spacing, (-1.0, 0.0, -3.0), GRID.direction)
    assert not cut(grey, beyond).any()
