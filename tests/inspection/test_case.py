"""What is kept of a prediction, against what the prediction itself uses, and how it is drawn."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.label_handling.label_handling import LabelManager

from nnunetv2_focusnet.architectures.config import FocusNetConfig, SNetConfig
from nnunetv2_focusnet.architectures.focusnet import FocusNet
from nnunetv2_focusnet.architectures.snet import SNet
from nnunetv2_focusnet.inference.predictor import FocusNetPredictor
from nnunetv2_focusnet.inspection.case import FoundOrgan, InspectedCase, inspect_case
from nnunetv2_focusnet.inspection.figure import draw_case
from nnunetv2_focusnet.organs.organ import SmallOrgan
from nnunetv2_focusnet.organs.plans_entry import PlansEntry

PATCH, SHAPE = (8, 12, 16), (11, 18, 16)
ROI_SIZES = ((4, 4, 4), (4, 6, 4))
LABELS = {"background": 0, "Brain": 1, "Lens_L": 2, "Lens_R": 3}


class AsRead:
    """A preprocessor that leaves images as nnU-Net's reader returns them."""

    def __init__(self, verbose: bool) -> None:
        pass

    def run_case(self, files: list[str], *_: Any) -> tuple[np.ndarray, None, dict[str, Any]]:
        image = sitk.ReadImage(files[0])
        return sitk.GetArrayFromImage(image)[None], None, {"sitk_stuff": {"direction": image.GetDirection()}}


def small_organ(name: str) -> SmallOrgan:
    size = (4, 4, 4)
    return SmallOrgan(
        name=name,
        label=LABELS[name],
        roi_size=size,
        wanted_roi_size=size,
        sigma=(1.0, 1.0, 1.0),
        diameter_mm=1.0,
        volume_voxels=1.0,
    )


def predictor_of(network: torch.nn.Module, *folds: dict[str, torch.Tensor], mirror: bool = False) -> nnUNetPredictor:
    predictor = nnUNetPredictor(use_gaussian=False, device=torch.device("cpu"), allow_tqdm=False)
    entry = PlansEntry(
        organs=(),
        small_organs=tuple(small_organ(name) for name in ("Lens_L", "Lens_R")),
        focal_weights=(),
        network=FocusNetConfig(small_organs=(2, 3), roi_sizes=ROI_SIZES),
    )
    predictor.network = network
    predictor.list_of_parameters = list(folds or [network.state_dict()])
    predictor.trainer_name = "SomeTrainer"
    predictor.dataset_json = {}
    predictor.allowed_mirroring_axes = (0, 1) if mirror else None
    predictor.label_manager = LabelManager(LABELS, None)
    predictor.plans_manager = SimpleNamespace(transpose_forward=[0, 1, 2])
    predictor.configuration_manager = SimpleNamespace(
        configuration=entry.added_to({"configurations": {"3d": {}}}, "3d")["configurations"]["3d"],
        patch_size=list(PATCH),
        spacing=[3.0, 1.0, 1.0],
        preprocessor_class=AsRead,
        previous_stage_name=None,
    )
    return predictor


def tiny_focusnet(seed: int = 0) -> FocusNet:
    torch.manual_seed(seed)
    sizes = SNetConfig(features_per_stage=(4, 4), dilations=((1, 1, 1),), n_blocks=1)
    network = FocusNet(
        SNet(1, 4, sizes), FocusNetConfig(main=sizes, small_organs=(2, 3), roi_sizes=ROI_SIZES, sol_level=1)
    )
    network.sol.head.weight.data.mul_(100)  # heat maps that aren't flat
    network.sol.head.bias.data.fill_(0)
    return network.eval()


def write_image(folder: Path, shape: tuple[int, ...] = SHAPE, direction: tuple[int, ...] = (1, 1, 1)) -> Path:
    voxels = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    image = sitk.GetImageFromArray(voxels)
    image.SetDirection(np.diag(np.array(direction, dtype=float)).flatten())
    sitk.WriteImage(image, folder / "Head_0000.nii.gz")
    return folder / "Head_0000.nii.gz"


def predict(predictor: nnUNetPredictor, image: Path) -> tuple[FocusNetPredictor, np.ndarray]:
    """As ``nnUNetv2_focusnet_predict``: the predictor, and its label map."""
    ours = FocusNetPredictor(device=torch.device("cpu"))
    vars(ours).update(vars(predictor))
    data = torch.from_numpy(sitk.GetArrayFromImage(sitk.ReadImage(image)))[None]
    return ours, ours.predict_logits_from_preprocessed_data(data).argmax(0).numpy()


@pytest.fixture(scope="module")
def inspected(tmp_path_factory: pytest.TempPathFactory) -> tuple[nnUNetPredictor, Path, InspectedCase]:
    """Two folds and four views, whose peaks lie in different places."""
    image = write_image(tmp_path_factory.mktemp("inspected"))
    predictor = predictor_of(tiny_focusnet(), *(tiny_focusnet(seed).state_dict() for seed in (0, 1)), mirror=True)
    return predictor, image, inspect_case(predictor, [image])


def test_what_is_shown_is_what_the_prediction_uses(inspected: Any) -> None:
    predictor, image, case = inspected
    ours, labels = predict(predictor, image)
    assert len(np.unique(labels)) > 1
    np.testing.assert_array_equal(case.fused, labels)
    shown = {organ.label: (organ.peak, list(organ.centre), organ.detected) for organ in case.organs}
    assert shown == {label: (place.peak, list(place.position), place.found) for label, place in ours.places.items()}


def test_the_main_network_s_label_map_is_what_is_predicted_as_long_as_the_sos_nets_are_not_trained(
    inspected: Any,
) -> None:
    predictor, image, case = inspected
    untrained = [weights | {"sos_trained": torch.tensor(False)} for weights in predictor.list_of_parameters]
    _, main = predict(predictor_of(tiny_focusnet(), *untrained, mirror=True), image)
    np.testing.assert_array_equal(case.main, main)
    assert not np.array_equal(case.fused, case.main)


def test_heat_maps_have_their_peaks_where_they_are_shown_amid_the_rois(inspected: Any) -> None:
    for organ, size in zip(inspected[2].organs, ROI_SIZES, strict=True):
        assert organ.heat_map.shape == SHAPE
        assert organ.roi_size == size
        voxel = tuple(int(position + 0.5) for position in organ.centre)
        assert organ.heat_map[voxel] == pytest.approx(organ.peak)
        for at, corner, length, end in zip(voxel, organ.roi_corner, organ.roi_size, SHAPE, strict=True):
            assert corner == np.clip(at - length // 2, 0, end - length)


def test_of_an_image_smaller_than_the_patch_the_padding_is_taken_off(tmp_path: Path) -> None:
    shape = (6, 12, 20)
    case = inspect_case(predictor_of(tiny_focusnet()), [write_image(tmp_path, shape)])
    assert case.image.shape == case.fused.shape == case.main.shape == shape
    for organ in case.organs:  # the peak may be in the padding, the heat map shows what is inside
        assert organ.heat_map.shape == shape


@pytest.mark.parametrize(("centre", "shown"), [(-2.5, 0), (2.5, 3), (3.0, 3), (6.0, 5), (11.0, 5)])
def test_of_a_peak_in_the_padding_the_nearest_slice_is_drawn(tmp_path: Path, centre: float, shown: int) -> None:
    case = inspect_case(predictor_of(tiny_focusnet()), [write_image(tmp_path, (6, 12, 20))])
    organ = replace(case.organs[0], centre=(centre, *case.organs[0].centre[1:]))
    axial = draw_case(replace(case, organs=[organ])).axes[0]
    np.testing.assert_array_equal(axial.images[0].get_array(), case.image[shown])


@pytest.mark.parametrize(("first", "shown"), [(9, 2), (-17, 0)])
def test_of_an_roi_in_the_padding_the_nearest_slice_tells_the_window_of_grey_values(first: int, shown: int) -> None:
    image = np.broadcast_to(np.array([0.0, 5.0, 9.0])[:, None, None], (3, 8, 8))  # each slice of one value
    organ = FoundOrgan(
        *("Lens_L", 2, np.zeros(image.shape), 0.9, True),
        centre=(first + 4, 4, 4),
        roi_corner=(first, 2, 2),
        roi_size=(8, 4, 4),
    )
    labels = np.zeros(image.shape, int)
    case = InspectedCase("Head", image, (1.0, 1.0, 1.0), ("S", "P", "L"), main=labels, fused=labels, organs=[organ])
    for plane in draw_case(case).axes:
        assert plane.images[0].get_clim()[0] == image[shown, 0, 0]


# Voxels of 3 x 2 x 1 mm: one of them is 2 mm2 on an axial, 3 on a coronal and 6 on a sagittal plane.
@pytest.mark.parametrize(
    ("first", "size", "areas"),
    [
        ((3, 3, 3), (1, 1, 1), (2, 3, 6)),
        ((3, 1, 3), (1, 5, 1), (5 * 2, 3, 5 * 6)),  # a nerve
        ((0, 0, 5), (3, 3, 3), (9 * 2, 9 * 3, 9 * 6)),  # at the image's border
    ],
)
@pytest.mark.parametrize("which", ["main", "fused"])
def test_outlines_run_along_the_edges_of_voxels(
    which: str, first: tuple[int, ...], size: tuple[int, ...], areas: tuple[int, ...]
) -> None:
    spacing, shape = np.array((3.0, 2.0, 1.0)), (8, 8, 8)
    begin, end = np.array(first), np.add(first, size)
    labels = np.zeros(shape, int)
    labels[tuple(map(slice, begin, end))] = 2
    centre = tuple((begin + end - 1) / 2)
    organ = FoundOrgan("Lens_L", 2, np.zeros(shape), 0.9, True, centre, roi_corner=(2, 2, 2), roi_size=(4, 4, 4))
    both = {"main": np.zeros(shape, int), "fused": np.zeros(shape, int)} | {which: labels}
    case = InspectedCase("Head", np.zeros(shape), tuple(spacing), ("S", "P", "L"), **both, organs=[organ])
    # Columns and rows of axial, coronal and sagittal planes.
    for ax, axes, area in zip(draw_case(case).axes, ((2, 1), (2, 0), (1, 0)), areas, strict=True):
        (outline,) = ax.collections[0].get_paths()[0].to_polygons()
        x, y = outline.T
        assert abs(x[:-1] @ y[1:] - x[1:] @ y[:-1]) / 2 == pytest.approx(area)
        np.testing.assert_allclose(outline.min(0), (begin * spacing)[list(axes)], atol=1e-6)
        np.testing.assert_allclose(outline.max(0), (end * spacing)[list(axes)], atol=1e-6)


def test_a_model_whose_sos_nets_are_not_trained_yet_is_refused_in_one_line(tmp_path: Path) -> None:
    network = tiny_focusnet()
    network.sos_trained.fill_(False)
    with pytest.raises(ValueError, match="aren't trained yet: take one of a later epoch") as error:
        inspect_case(predictor_of(network), [write_image(tmp_path)])
    assert "\n" not in str(error.value)


def test_a_network_that_nnunet_has_compiled_is_looked_into_as_well(inspected: Any) -> None:
    predictor, image, case = inspected
    compiled = predictor_of(torch.compile(tiny_focusnet()), *predictor.list_of_parameters, mirror=True)
    assert np.array_equal(inspect_case(compiled, [image]).fused, case.fused)


def test_other_networks_are_refused_in_one_line(tmp_path: Path) -> None:
    predictor = predictor_of(tiny_focusnet().main)
    with pytest.raises(ValueError, match="SomeTrainer has no networks for small organs") as error:
        inspect_case(predictor, [write_image(tmp_path)])
    assert "\n" not in str(error.value)


# SimpleITK's axes (x, y, z) point to left, back and head; nnU-Net's arrays are (z, y, x).
@pytest.mark.parametrize(
    ("direction", "towards"),
    [((1, 1, 1), ("S", "P", "L")), ((-1, -1, 1), ("S", "A", "R")), ((1, 1, -1), ("I", "P", "L"))],
)
def test_pictures_show_patients_the_same_way_round(
    tmp_path: Path, direction: tuple[int, ...], towards: tuple[str, ...]
) -> None:
    case = inspect_case(predictor_of(tiny_focusnet()), [write_image(tmp_path, direction=direction)])
    assert case.towards == towards
    axial, coronal, sagittal = draw_case(case, ["Lens_R"]).axes
    # Patient's right at the left, front on top of an axial plane and at the left of a sagittal one, head on top.
    for ax, letters in ((axial, "RLAP"), (coronal, "RLSI"), (sagittal, "APSI")):
        assert "".join(text.get_text() for text in ax.texts) == letters
    # In mm an axis that points to the patient's right runs from the picture's right to its left.
    assert (axial.get_xlim()[0] < axial.get_xlim()[1]) == (towards[2] == "L")
    assert (coronal.get_ylim()[0] < coronal.get_ylim()[1]) == (towards[0] == "S")
    assert (axial.get_ylim()[0] > axial.get_ylim()[1]) == (towards[1] == "P")


def test_an_unknown_organ_is_named_with_those_that_are_there(inspected: Any) -> None:
    with pytest.raises(ValueError, match="Brain is no small organ of this model: it has Lens_L, Lens_R"):
        draw_case(inspected[2], ["Brain"])
