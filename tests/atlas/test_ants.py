"""What ANTs does for this package; skipped where the extra isn't installed, which CI does after the other tests."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from heads import SPACING, head, write_dataset
from source_folders import ORIGIN

from nnunetv2_focusnet.atlas import registration, template
from nnunetv2_focusnet.atlas.cases import Case, training_cases
from nnunetv2_focusnet.atlas.label_maps import LabelMaps
from nnunetv2_focusnet.atlas.prediction import predict_cases
from nnunetv2_focusnet.atlas.registration import OUTSIDE, Effort
from nnunetv2_focusnet.atlas.template import Recipe, build_atlas
from nnunetv2_focusnet.images.grid import Grid
from nnunetv2_focusnet.organs.dataset_json import DatasetJson

pytest.importorskip("ants", reason='needs the extra "atlas"')
EFFORT = Effort(3.0, (20, 10))
TURNED = (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)  # as of a patient who lies on the side


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    registration.limit_threads(1)


def image(array: np.ndarray, direction: tuple[float, ...] | None = None) -> sitk.Image:
    made = sitk.GetImageFromArray(array)
    made.SetSpacing(SPACING)
    made.SetOrigin(ORIGIN)
    if direction:
        made.SetDirection(direction)
    return made


def dsc(one: sitk.Image, other: np.ndarray, label: int) -> float:
    ours, theirs = sitk.GetArrayFromImage(one) == label, other == label
    return 2 * (ours & theirs).sum() / (ours.sum() + theirs.sum())


def test_images_survive_the_way_to_ants_and_back() -> None:
    """By the identity, on a grid whose axes are turned."""
    hu = image(head(0)[0].astype(np.float32), TURNED)
    same = registration.warp_image(hu, Grid.of(hu), [])
    assert Grid.of(same) == Grid.of(hu)
    np.testing.assert_allclose(sitk.GetArrayFromImage(same), sitk.GetArrayFromImage(hu), atol=1e-2)


def test_beyond_an_image_nothing_is_known() -> None:
    grid = Grid.of(image(head(0)[0]))
    beyond = Grid(grid.size, grid.spacing, (ORIGIN[0] + 3 * 10, *ORIGIN[1:]), grid.direction)  # 10 voxels to the left
    ones = image(np.ones(grid.shape, np.float32))
    warped = sitk.GetArrayFromImage(registration.warp_image(ones, beyond, []))
    assert (warped[..., :-10] == 1).all()
    assert (warped[..., -10:] == OUTSIDE).all()
    labels = registration.warp_labels(image(np.full(grid.shape, 7, np.uint16)), beyond, [], outside=65535)
    assert set(np.unique(sitk.GetArrayFromImage(labels))) == {7, 65535}


def test_a_head_is_found_in_another_one_and_each_time_alike(tmp_path: Path) -> None:
    """The lenses of heads 1 and 3 have a DSC below 0.5 as they lie, and above 0.7 after SyN."""
    (fixed_hu, fixed_labels), (moving_hu, moving_labels) = head(1), head(3)
    fixed, moving = (registration.prepare(image(hu), EFFORT, is_ct=True) for hu in (fixed_hu, moving_hu))
    found = []
    for name in ("once", "again"):
        (tmp_path / name).mkdir()
        transforms = registration.register(fixed, moving, tmp_path / name, EFFORT, deformable=True)
        assert [path.name for path in transforms] == [registration.WARP, registration.AFFINE]
        found.append(
            registration.warp_labels(image(moving_labels), Grid.of(image(fixed_hu)), transforms, smooth=name == "once")
        )
        assert found[-1].GetPixelID() == sitk.sitkUInt8
    assert dsc(image(moving_labels), fixed_labels, 2) < 0.5
    for labels in found:
        assert dsc(labels, fixed_labels, 1) > 0.9
        assert dsc(labels, fixed_labels, 2) > 0.7
    one, other = (sitk.ReadImage(str(tmp_path / name / registration.WARP)) for name in ("once", "again"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(one), sitk.GetArrayFromImage(other))


def test_heads_are_found_whose_centres_of_mass_mislead(tmp_path: Path) -> None:
    """A bright thing beside one head draws them there: so begun, ANTs puts brains on each other by about a half."""
    (fixed_hu, fixed_labels), (moving_hu, moving_labels) = head(0), head(2)
    fixed_hu[:10, :8, :8] = 3000
    fixed, moving = (registration.prepare(image(hu), EFFORT, is_ct=True) for hu in (fixed_hu, moving_hu))
    transforms = registration.register(fixed, moving, tmp_path, EFFORT, deformable=False)
    assert list(tmp_path.iterdir()) == transforms == [tmp_path / registration.AFFINE]
    found = registration.warp_labels(image(moving_labels), Grid.of(image(fixed_hu)), transforms)
    assert dsc(found, fixed_labels, 1) > 0.85


def test_similarity_is_one_of_alike_images_less_of_those_that_cover_less_and_nothing_of_empty_ones() -> None:
    alike = image(head(0)[0].astype(np.float32).clip(0))
    assert registration.similarity(alike, alike, []) == pytest.approx(1.0)
    assert 0 < registration.similarity(alike, alike[:, :, :12], []) < 0.9
    assert registration.similarity(alike, alike * 0, []) == registration.similarity(alike * 0, alike, []) == 0


@pytest.mark.parametrize("fail", [("mass",), ("centres",), ("mass", "centres")])
def test_one_start_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail: tuple[str, ...]) -> None:
    import ants

    register = ants.registration

    def failing(*images: object, outprefix: str, **options: object) -> object:
        if Path(outprefix).name in fail:
            raise RuntimeError("singular matrix")
        return register(*images, outprefix=outprefix, **options)

    monkeypatch.setattr(ants, "registration", failing)
    fixed = registration.prepare(image(head(0)[0]), EFFORT, is_ct=True)
    if len(fail) == 1:
        transforms = registration.register(fixed, fixed, tmp_path, EFFORT, deformable=False)
        assert registration.similarity(fixed, fixed, transforms) > 0.99
    else:
        with pytest.raises(ValueError, match="singular matrix"):
            registration.register(fixed, fixed, tmp_path, EFFORT, deformable=False)
    assert list(tmp_path.iterdir()) == registration.transforms_in(tmp_path)


def test_an_atlas_of_three_heads_segments_a_fourth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Built in this process, as each new one takes seconds to load ANTs; predicted in another one."""
    raw = write_dataset(tmp_path / "raw", cases=3)
    dataset = DatasetJson.read(raw / "dataset.json")
    cases = list(training_cases(raw, dataset).values())
    recipe = Recipe.of(cases, dataset, 1, EFFORT)
    with monkeypatch.context() as patch:
        patch.setattr(template, "map_in_processes", lambda work, items, _, apart: (work(item) for item in items))
        atlas = build_atlas(cases, dataset, recipe, tmp_path / "atlas", 1)
    assert atlas.lost_organs() == []
    fourth = tmp_path / "head_3_0000.nii.gz"
    sitk.WriteImage(image(head(3)[0]), str(fourth))
    label_maps = LabelMaps(tmp_path / "out", ".nii.gz")
    faults = predict_cases(atlas, [Case("head_3", fourth)], label_maps, raw / "dataset.json", 1)
    assert faults == []
    predicted = sitk.ReadImage(str(tmp_path / "out" / "head_3.nii.gz"))
    assert Grid.of(predicted).difference_from(Grid.of(image(head(3)[0]))) is None
    assert dsc(predicted, head(3)[1], 1) > 0.9
    assert dsc(predicted, head(3)[1], 2) > 0.6
