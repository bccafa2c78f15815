"""Prediction of whole images by networks that say what the images' channels say, so that answers follow by hand."""

import math
import subprocess
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.label_handling.label_handling import LabelManager
from torch import nn
from torch.nn import functional as F

from nnunetv2_focusnet.architectures.config import FocusNetConfig, PairsConfig, SNetConfig, ZoomConfig
from nnunetv2_focusnet.architectures.focusnet import FocusNet
from nnunetv2_focusnet.architectures.main_network import MainFeatures
from nnunetv2_focusnet.architectures.plans_unet import PlansUNet
from nnunetv2_focusnet.architectures.snet import SNet
from nnunetv2_focusnet.architectures.zoom import OnCoarserGrid, ZoomNet
from nnunetv2_focusnet.inference import locating
from nnunetv2_focusnet.inference.predictor import FocusNetPredictor
from nnunetv2_focusnet.organs.organ import Organ, SmallOrgan
from nnunetv2_focusnet.organs.plans_entry import Laterality, PlansEntry

PATCH, ROI = (4, 8, 8), (2, 4, 4)
LABELS = {"background": 0, "Left": 1, "Right": 2}
FLIP = Laterality(2, True, ((1, 2),))
PAIR = PairsConfig(organs=((0, 1),), mirror_axis=2)
# Channels of an image: logits of the background and of an organ; a ramp that rises to the left, above 0 on that side;
# heat logits in two folds; SOS logits. In an image that is flipped left-right the ramp falls, and the sides change.
BACKGROUND, ORGAN, SIDE, HEAT, SOS = 0, 1, 2, (3, 4), 5
CHANNELS = 6
NO_PEAK = -6.0


def of_sides(x: torch.Tensor, side: torch.Tensor, otherwise: float) -> list[torch.Tensor]:
    """(B, 1, Z, Y, X) of the left organ and of the right one, where it isn't the other's."""
    side = side * side.diff(dim=-1).sign().sum(dim=(1, 2, 3, 4), keepdim=True).sign()
    return [torch.where(here, x, otherwise) for here in (side > 0, side < 0)]


class ReadingMain(nn.Module):
    """Its logits are what the channels say, its features the channels themselves, also at a lower resolution.

    What it says of organs it multiplies by a factor, which comes with the weights.
    """

    def __init__(self, stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.input_channels, self.features_per_stage = CHANNELS, (CHANNELS, CHANNELS)
        self.strides = ((1, 1, 1), stride)
        self.register_buffer("factor", torch.tensor(1.0))

    def features(self, x: torch.Tensor) -> MainFeatures:
        return MainFeatures(x, [x, F.max_pool3d(x, self.strides[1])])

    def classify(self, decoder_features: Sequence[torch.Tensor]) -> torch.Tensor:
        x = decoder_features[0]
        side = x[:, SIDE, None]
        return torch.cat([x[:, BACKGROUND, None], *of_sides(self.factor * x[:, ORGAN, None], side, 0.0)], 1)


class ReadingSOL(nn.Module):
    """The heat maps of a fold, which comes with the weights; it may be blind for an organ."""

    def __init__(self, blind_for: int | None = None) -> None:
        super().__init__()
        self.register_buffer("fold", torch.tensor(0))
        self.blind_for = blind_for

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        heat = features[:, HEAT[int(self.fold)], None]
        sides = of_sides(heat, features[:, SIDE, None], NO_PEAK)
        return torch.cat([s.clamp(max=NO_PEAK) if k == self.blind_for else s for k, s in enumerate(sides)], 1)


class ReadingSOS(nn.Module):
    """Says what the channel says, times a factor."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, roi: torch.Tensor) -> torch.Tensor:
        return self.factor * roi[:, SOS, None]  # the main network's last features come first


def reading_net(
    stride: tuple[int, int, int] = (1, 1, 1),
    blind_for: int | None = None,
    factors: tuple[float, float] = (1.0, 1.0),
) -> FocusNet:
    network = FocusNet(ReadingMain(stride), FocusNetConfig(small_organs=(1, 2), roi_sizes=(ROI, ROI), sol_level=1))
    network.sol = ReadingSOL(blind_for)
    network.sos = nn.ModuleList(map(ReadingSOS, factors))
    return network


def weights(network: nn.Module, fold: int = 0, trained: bool = True) -> dict[str, torch.Tensor]:
    return network.state_dict() | {"sol.fold": torch.tensor(fold), "sos_trained": torch.tensor(trained)}


def image(size: tuple[int, int, int]) -> torch.Tensor:
    """Background and left side everywhere, no peak, and SOS-Nets that say yes wherever they are asked."""
    result = torch.zeros(CHANNELS, *size)
    result[BACKGROUND] = 1
    result[SIDE] = torch.arange(1.0, size[2] + 1)
    result[HEAT, :] = NO_PEAK
    result[SOS] = 3
    return result


def sided_image() -> torch.Tensor:
    """The same, with the right side in the first half, and both organs at mirrored places."""
    data = image((4, 8, 16))
    data[SIDE] -= 8.5
    data[HEAT[0], 2, 4, 12] = data[HEAT[0], 2, 4, 3] = logit(0.9)
    return data


def logit(probability: float) -> torch.Tensor:
    return torch.logit(torch.tensor(probability))


def predictor_of(
    network: nn.Module,
    *folds: dict[str, torch.Tensor],
    kind: type[nnUNetPredictor] = FocusNetPredictor,
    small: tuple[int, ...] = (1, 2),
    flip: Laterality | None = None,
    mirror_axes: tuple[int, ...] | None = None,
    has_entry: bool = True,
    patch_size: tuple[int, int, int] = PATCH,
) -> nnUNetPredictor:
    entry = PlansEntry(
        organs=tuple(
            Organ(name, label, 32.0, (2.0, 4.0, 4.0), 5, (32.0, 32.0)) for name, label in LABELS.items() if label
        ),
        small_organs=tuple(small_organ(label) for label in small),
        focal_weights=(1.0, 1.0, 1.0),
        network=FocusNetConfig(small_organs=small, roi_sizes=(ROI,) * len(small)),
        laterality=flip,
    )
    plans = {"configurations": {"3d": {}}}
    configuration = (entry.added_to(plans, "3d") if has_entry else plans)["configurations"]["3d"]
    manager = SimpleNamespace(
        configuration=configuration, patch_size=patch_size, spacing=(1.0, 1.0, 1.0), previous_stage_name=None
    )
    # Weights at the corners of nnU-Net's Gaussian are too small for half precision.
    predictor = kind(device=torch.device("cpu"), use_gaussian=False, allow_tqdm=False)
    predictor.manual_initialization(
        *(network, SimpleNamespace(get_label_manager=lambda _: LabelManager(LABELS, None)), manager),
        *(list(folds or [network.state_dict()]), {}, "FocusNetTrainer", mirror_axes),
    )
    return predictor


def small_organ(label: int) -> SmallOrgan:
    """It fills its ROI."""
    sizes = {"roi_size": ROI, "wanted_roi_size": ROI, "sigma": (1.0, 1.0, 1.0), "diameter_mm": 4.0}
    return SmallOrgan(name=list(LABELS)[label], label=label, volume_voxels=32.0, **sizes)


def label_map(predictor: nnUNetPredictor, data: torch.Tensor) -> torch.Tensor:
    return predictor.predict_logits_from_preprocessed_data(data).argmax(0)


def boxes(size: Sequence[int], **corners: tuple[int, int, int]) -> torch.Tensor:
    """A label map with an ROI full of each organ."""
    labels = torch.zeros(tuple(size), dtype=torch.long)
    for name, corner in corners.items():
        labels[tuple(slice(low, low + n) for low, n in zip(corner, ROI, strict=True))] = LABELS[name]
    return labels


# ---- one location per organ and image ----


def test_a_peak_that_one_tile_alone_has_is_overruled_by_a_surer_one_elsewhere() -> None:
    data = image((4, 8, 16))
    data[HEAT[0], 2, 4, 2] = logit(0.6)  # in the first tile, x from 0 to 7, and no other
    data[HEAT[0], 2, 4, 13] = logit(0.9)  # in the last one, x from 8 to 15
    network = reading_net()
    by_tiles = label_map(predictor_of(network, kind=nnUNetPredictor), data)
    assert (by_tiles[..., :8] == 1).any()
    predictor = predictor_of(network)
    predictor.configuration_manager.spacing = (3.0, 1.0, 2.0)
    # Half an ROI before the peak: (2 - 1, 4 - 2, 13 - 2).
    assert torch.equal(label_map(predictor, data), boxes((4, 8, 16), Left=(1, 2, 11)))
    left, right = predictor.places[1], predictor.places[2]
    assert (left.found, left.position, left.second_position) == (True, [2, 4, 13], [2, 4, 2])
    assert (left.peak, left.second_peak, left.apart_mm) == pytest.approx((0.9, 0.6, 22.0))  # 11 voxels of 2 mm
    assert not right.found


@pytest.mark.parametrize(("right_peak", "second_peaks"), [(0.9, (0.0, 0.0)), (0.1, (0.6, 0.0))])
def test_a_peak_where_the_organ_of_the_other_side_was_found_is_no_second_one(
    right_peak: float, second_peaks: tuple[float, float]
) -> None:
    class UnsureOfSides(nn.Module):
        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return features[:, HEAT]  # a channel for each organ

    network, data = reading_net(), image((4, 8, 16))
    network.sol = UnsureOfSides()
    data[HEAT[0], 2, 4, 12], data[HEAT[1], 2, 4, 3] = logit(0.9), logit(right_peak)
    data[HEAT[0], 2, 4, 3], data[HEAT[1], 2, 4, 12] = logit(0.6), logit(right_peak / 2)
    predictor = predictor_of(network, flip=FLIP)
    predictor.use_mirroring = False
    label_map(predictor, data)
    places = [predictor.places[1], predictor.places[2]]
    assert [place.position for place in places] == [[2, 4, 12], [2, 4, 3]]
    assert [place.second_peak for place in places] == pytest.approx(second_peaks, abs=0.01)


def test_outside_its_roi_a_found_organ_is_not_predicted_and_one_that_is_not_found_stays_the_main_network_s() -> None:
    data = image((4, 8, 16))
    data[ORGAN, 1, 1, 1] = data[ORGAN, 3, 3, 3] = 5  # the main network sees both far from where the left one is found
    data[SIDE, 3, 3, 3] = -1
    data[HEAT[0], 2, 4, 13] = logit(0.9)
    expected = boxes((4, 8, 16), Left=(1, 2, 11))
    expected[3, 3, 3] = 2
    assert torch.equal(label_map(predictor_of(reading_net()), data), expected)


def test_folds_agree_on_a_place_before_it_is_segmented() -> None:
    data = image((4, 8, 16))
    data[HEAT[0], 2, 4, 2], data[HEAT[1], 2, 4, 13] = logit(0.9), logit(0.8)  # each fold's own highest peak
    data[HEAT, 2, 4, 7] = logit(0.7)
    network = reading_net()
    ensemble = predictor_of(network, weights(network, 0), weights(network, 1))
    assert torch.equal(label_map(ensemble, data), boxes((4, 8, 16), Left=(1, 2, 5)))
    alone = predictor_of(network, weights(network, 1))
    assert torch.equal(label_map(alone, data), boxes((4, 8, 16), Left=(1, 2, 11)))


def test_a_fold_whose_sos_nets_are_not_trained_adds_its_main_network_alone() -> None:
    data = image((4, 8, 16))
    data[HEAT[0], 2, 4, 2], data[HEAT[1], 2, 4, 13] = logit(0.9), logit(0.8)
    network = reading_net()
    mixed = predictor_of(network, weights(network, 0, trained=False), weights(network, 1))
    logits = mixed.predict_logits_from_preprocessed_data(data)
    assert torch.equal(logits.argmax(0), boxes((4, 8, 16), Left=(1, 2, 11)))
    probability = logits.float().softmax(0)[1, 1:3, 2:6, 11:15]
    by_main = -math.log(math.exp(1) + math.exp(0))  # 0 against the background's 1 and the other organ's 0
    torch.testing.assert_close(probability, torch.full(ROI, (3 + by_main) / 2).sigmoid(), atol=2e-3, rtol=0)
    untrained = predictor_of(network, weights(network, 0, trained=False))
    assert not label_map(untrained, data).any()
    assert untrained.places == {}


@pytest.mark.parametrize("stride", [(1, 1, 1), (2, 2, 2), (1, 2, 4)])
@pytest.mark.parametrize(("size", "peak"), [((3, 5, 7), (1, 3, 4)), ((5, 9, 21), (3, 6, 17)), ((9, 8, 11), (8, 2, 10))])
def test_images_of_any_size_keep_it_and_peaks_are_found_where_they_are(
    size: tuple[int, int, int], peak: tuple[int, int, int], stride: tuple[int, int, int]
) -> None:
    data = image(size)
    data[(HEAT[0], *peak)] = logit(0.9)
    predictor = predictor_of(reading_net(stride))
    labels = label_map(predictor, data)
    assert labels.shape == size
    assert labels[peak] == 1
    voxel = predictor.places[1].position
    assert all(abs(found - true) <= step / 2 for found, true, step in zip(voxel, peak, stride, strict=True))


# ---- files ----


@pytest.mark.parametrize(
    ("dataset", "reader", "refused"),
    [
        ({"channel_names": {"0": "CT", "1": "MR"}}, SimpleITKIO, True),
        ({"modality": {"0": "CT", "1": "MR"}}, SimpleITKIO, True),
        ({"channel_names": {"0": "CT"}}, SimpleITKIO, False),
        ({"channel_names": {"0": "R", "1": "G"}}, NaturalImage2DIO, False),
    ],
)
def test_a_folder_has_to_have_the_channels_of_the_model(tmp_path, dataset, reader, refused) -> None:
    predictor = predictor_of(reading_net())
    predictor.dataset_json = dataset | {"file_ending": ".nii.gz"}
    predictor.plans_manager.image_reader_writer_class = reader
    (tmp_path / "a_0000.nii.gz").touch()
    with pytest.raises(ValueError, match="takes 0000, 0001") if refused else nullcontext():
        predictor.check_folder(tmp_path)
    with pytest.raises(ValueError, match=r"a_0000.nii.gz can't be read, it is empty"):
        predictor.check_inputs([tmp_path / "a_0000.nii.gz"])


def test_processes_that_export_load_no_trainers() -> None:
    script = "import sys, nnunetv2_focusnet.inference.export; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "nnunetv2_focusnet.inference.export" in done.stdout.split()
    assert not [name for name in done.stdout.split() if ".trainers" in name or "nnUNetTrainer" in name]


# ---- views ----


def test_of_a_symmetric_image_the_flipped_view_says_the_same() -> None:
    data, network = sided_image(), reading_net()
    noise = torch.randn(2, 4, 8, 16, generator=torch.Generator().manual_seed(0))
    data[[ORGAN, SOS]] += noise + noise.flip(3)
    plain = predictor_of(network).predict_logits_from_preprocessed_data(data)
    flipped = predictor_of(network, flip=FLIP).predict_logits_from_preprocessed_data(data)
    torch.testing.assert_close(flipped, plain, atol=0.02, rtol=0)  # nnU-Net adds up in half precision
    assert plain.argmax(0).flatten().bincount().min() > 10


def test_in_the_flipped_view_an_organ_is_its_partner_s() -> None:
    data, boxes_of = sided_image(), {1: slice(10, 14), 2: slice(1, 5)}
    logits = predictor_of(reading_net(factors=(1.0, 2.0)), flip=FLIP).predict_logits_from_preprocessed_data(data)
    probability = logits.float().softmax(0)
    for label, along_x in boxes_of.items():
        # The channel says 3: one network 3 and the other 6, in their mean 4.5; the other organ is low, being elsewhere.
        inside = probability[label, 1:3, 2:6, along_x]
        torch.testing.assert_close(inside, torch.full_like(inside, 4.5).sigmoid(), atol=1e-3, rtol=0)


def half_and_half(network: FocusNet, data: torch.Tensor, label: int, inside: tuple[slice, ...]) -> torch.Tensor:
    """Probability of an organ in a box if its SOS logit, 3, and the main network's own log-odds count alike."""
    main = network.main.classify(network.main.features(data[None]).decoder)[0]
    return ((torch.logit(main.softmax(0)[label][inside]) + 3) / 2).sigmoid()


@pytest.mark.parametrize(("dead", "factors"), [(0, (-3.0, 1.0)), (1, (1.0, -3.0))])
def test_a_dead_sos_net_has_no_share_in_its_partner_s_flipped_view_either(
    dead: int, factors: tuple[float, float]
) -> None:
    data, network = sided_image(), reading_net(factors=factors)
    data[ORGAN, ..., 8:] = 2  # of the left organ the main network is surer
    network.sos_shares[dead] = 0
    logits = predictor_of(network, flip=FLIP).predict_logits_from_preprocessed_data(data)
    for label, along_x in {1: slice(10, 14), 2: slice(1, 5)}.items():
        inside = (slice(1, 3), slice(2, 6), along_x)
        # In one view of two each organ is segmented by the other network, and there the main network counts instead.
        expected = half_and_half(network, data, label, inside)
        torch.testing.assert_close(logits.float().softmax(0)[label][inside], expected, atol=2e-3, rtol=0)


def test_folds_count_as_much_as_each_has_chosen() -> None:
    data, network = sided_image(), reading_net()
    chosen = [weights(network) | {"sos_shares": torch.tensor([share, share])} for share in (1.0, 0.0)]
    logits = predictor_of(network, *chosen).predict_logits_from_preprocessed_data(data)
    inside = (slice(1, 3), slice(2, 6), slice(10, 14))
    expected = half_and_half(network, data, 1, inside)
    torch.testing.assert_close(logits.float().softmax(0)[1][inside], expected, atol=2e-3, rtol=0)


def test_a_main_network_that_its_own_fold_has_rejected_has_no_say_in_an_ensemble() -> None:
    data, network = sided_image(), reading_net()
    data[ORGAN] = 4
    shares_and_factors = ((1.0, -3.0), (0.0, 1.0))  # the first main network never learned the organs
    folds = [
        weights(network) | {"sos_shares": torch.full((2,), share), "main.factor": torch.tensor(factor)}
        for share, factor in shares_and_factors
    ]
    logits = predictor_of(network, *folds).predict_logits_from_preprocessed_data(data)
    inside = logits.float().softmax(0)[1, 1:3, 2:6, 10:14]
    by_main = 4 - math.log(math.exp(1) + math.exp(0))  # against the background's 1 and the other organ's 0
    expected = torch.full_like(inside, (3 + by_main) / 2).sigmoid()
    torch.testing.assert_close(inside, expected, atol=2e-3, rtol=0)


# ---- what the main network sees ----


def test_what_the_main_network_sees_outside_of_an_roi_is_told_in_mm3() -> None:
    data, predictor = image((4, 8, 16)), predictor_of(reading_net())
    data[HEAT[0], 2, 4, 13] = logit(0.25)
    data[ORGAN, 1:3, 2:6, 0:4] = data[ORGAN, 2, 4, 12:14] = 8  # 32 voxels at one end, and 2 in the ROI
    data[ORGAN, 0, 0, 0] = 0.9  # below the background's 1
    predictor.configuration_manager.spacing = (3.0, 1.0, 2.0)
    assert torch.equal(label_map(predictor, data), boxes((4, 8, 16), Left=(1, 2, 11)))
    place = predictor.places[1]
    assert (place.inside_mm3, place.elsewhere_mm3) == (2 * 6, 32 * 6)


def test_what_the_main_network_takes_for_the_partner_is_not_elsewhere() -> None:
    data, predictor = sided_image(), predictor_of(reading_net())
    data[ORGAN, 1:3, 2:6, 1:5] = 8
    data[SIDE, 1:3, 2:6, 1:5] = 1  # where the right organ is found, the main network sees the left one
    data[HEAT[0], 2, 4, 3] = NO_PEAK
    data[SIDE, 2, 4, 5], data[HEAT[0], 2, 4, 5] = -1, logit(0.9)
    label_map(predictor, data)
    assert [predictor.places[label].found for label in (1, 2)] == [True, True]
    assert predictor.places[1].elsewhere_mm3 == 2 * 4 * 2  # x of 1 and 2, the right ROI having 3 to 6


def test_what_the_main_network_sees_in_what_an_image_is_padded_with_is_not_there() -> None:
    data, network = image((4, 8, 6)), reading_net()
    data[HEAT[0], 2, 4, 5] = logit(0.9)
    classify = network.main.classify

    def see_the_left_organ_in_the_padding(features):
        logits = classify(features)
        logits[:, 1] += 9.0 * (features[0][:, BACKGROUND] == 0)
        return logits

    network.main.classify = see_the_left_organ_in_the_padding
    predictor = predictor_of(network)
    label_map(predictor, data)
    assert (predictor.places[1].inside_mm3, predictor.places[1].elsewhere_mm3) == (0, 0)


def test_organs_whose_sos_nets_no_fold_has_chosen_stay_the_main_network_s() -> None:
    data, network = sided_image(), reading_net()
    data[ORGAN, 1, 1, 1] = data[ORGAN, 2, 4, 12] = 3  # the first one far from where the right one has its peak
    none = [
        weights(network, trained=trained) | {"sos_shares": torch.full((2,), share)}
        for trained, share in ((True, 0.0), (False, 1.0))
    ]
    data[HEAT[1]] = data[HEAT[0]]
    network.sos_shares.zero_()
    labels = label_map(predictor_of(network, *none, flip=FLIP), data)
    expected = torch.zeros_like(labels)
    expected[1, 1, 1], expected[2, 4, 12] = 2, 1
    assert torch.equal(labels, expected)


def test_what_one_view_alone_sees_is_found() -> None:
    data, expected = sided_image(), {"Left": (1, 2, 10), "Right": (1, 2, 1)}
    blind = reading_net(blind_for=0)
    assert torch.equal(label_map(predictor_of(blind), data), boxes((4, 8, 16), Right=expected["Right"]))
    assert torch.equal(label_map(predictor_of(blind, flip=FLIP), data), boxes((4, 8, 16), **expected))


def test_an_organ_whose_partner_is_large_is_segmented_in_the_views_that_have_it_on_its_own_side() -> None:
    data, network = sided_image(), reading_net()
    network.config = replace(network.config, small_organs=(1,), roi_sizes=(ROI,))
    network.sos = network.sos[:1]
    network.sol.register_forward_hook(lambda _, __, heat_logits: heat_logits[:, :1])
    data[ORGAN, ..., :4] = 3  # the main network's right one: 3 against the background's 1
    expected = boxes((4, 8, 16), Left=(1, 2, 10))
    expected[..., :4] = 2
    assert torch.equal(label_map(predictor_of(network, flip=FLIP, small=(1,)), data), expected)


@pytest.mark.parametrize(
    ("mirror_axes", "flip", "views", "views_of_patches"),
    [(None, None, 1, 1), ((0, 1), None, 4, 2), (None, FLIP, 2, 2), ((0, 1), FLIP, 8, 2)],
)
def test_tiles_are_seen_in_all_views_and_patches_in_two(
    mirror_axes, flip, views, views_of_patches, monkeypatch
) -> None:
    data, seen = sided_image(), []  # of three tiles, and the organs are too far apart for one patch
    features = ReadingMain.features
    monkeypatch.setattr(ReadingMain, "features", lambda self, x: (seen.extend(x.split(1)), features(self, x))[1])
    label_map(predictor_of(reading_net(), mirror_axes=mirror_axes, flip=flip), data)
    assert [x.shape for x in seen] == [(1, CHANNELS, *PATCH)] * (3 * views + 2 * views_of_patches)


def test_without_test_time_augmentation_there_is_one_view() -> None:
    data, network = sided_image(), reading_net(factors=(1.0, 2.0))
    predictor = predictor_of(network, flip=FLIP, mirror_axes=(0, 1))
    predictor.use_mirroring = False
    expected = predictor_of(network).predict_logits_from_preprocessed_data(data)
    assert torch.equal(predictor.predict_logits_from_preprocessed_data(data), expected)


# ---- beside nnU-Net's predictor ----


def tiny_focusnet() -> FocusNet:
    torch.manual_seed(0)
    sizes = SNetConfig(features_per_stage=(4, 4), dilations=((1, 1, 1),), n_blocks=1)
    network = FocusNet(
        SNet(1, 3, sizes), FocusNetConfig(main=sizes, small_organs=(1, 2), roi_sizes=(ROI, ROI), sol_level=1)
    )
    nn.init.constant_(network.sol.head.bias, 5.0)  # finds everything
    return network


def tiny_zoom_net() -> ZoomNet:
    """Its SOS-Nets' last layers are at random instead of zero."""
    torch.manual_seed(0)
    strides, kernels = [[1, 1, 1], [2, 2, 2]], [[3, 3, 3]] * 2
    unet = PlainConvUNet(
        *(4, 2, (4, 6), nn.Conv3d, kernels, strides, 1, 12, 1, True, nn.InstanceNorm3d, {"affine": True}),
        nonlin=nn.LeakyReLU,
    )
    zoom = ZoomConfig(stride=(1, 2, 2), features=(3, 4))
    config = FocusNetConfig(
        main=None, small_organs=(1, 2), roi_sizes=(ROI, ROI), sol_level=0, sol_blocks=1, zoom=zoom, pairs=PAIR
    )
    network = ZoomNet(OnCoarserGrid(PlansUNet(unet, 4), 1, zoom.stride), config)
    nn.init.constant_(network.sol.head.bias, 5.0)
    nn.init.normal_(network.sos[0].head.weight)
    return network


@pytest.mark.parametrize("make_network", [tiny_focusnet, tiny_zoom_net])
def test_an_image_of_one_patch_is_what_nnunet_predicts_of_the_fused_network(make_network, monkeypatch) -> None:
    monkeypatch.setattr(locating, "CANDIDATES", 1)  # an untrained network has many
    data, network = torch.randn(1, *PATCH, generator=torch.Generator().manual_seed(0)), make_network()
    expected = predictor_of(network, kind=nnUNetPredictor).predict_logits_from_preprocessed_data(data)
    ours = predictor_of(network).predict_logits_from_preprocessed_data(data)
    assert ours.dtype == expected.dtype
    torch.testing.assert_close(ours, expected, atol=0.02, rtol=0)  # in half precision


@pytest.mark.parametrize("size", [(3, 5, 7), (5, 9, 21), (9, 8, 11)])
def test_rois_of_a_zoomed_network_lie_on_its_grid_in_images_of_any_size(size: tuple[int, int, int]) -> None:
    data, network = torch.randn(1, *size, generator=torch.Generator().manual_seed(0)), tiny_zoom_net()
    predictor = predictor_of(network, flip=FLIP)
    logits = predictor.predict_logits_from_preprocessed_data(data)
    assert logits.shape == (3, *size)
    assert logits.isfinite().all()
    assert [place.found for place in predictor.places.values()] == [True, True]


@pytest.mark.parametrize("mirror_axes", [None, (0, 2)])
def test_models_of_other_trainers_are_predicted_as_by_nnunet(mirror_axes) -> None:
    data, network = torch.randn(1, 4, 8, 13), tiny_focusnet().main
    options = {"has_entry": False, "mirror_axes": mirror_axes}
    expected = predictor_of(network, kind=nnUNetPredictor, **options).predict_logits_from_preprocessed_data(data)
    predictor = predictor_of(network, **options)
    assert torch.equal(predictor.predict_logits_from_preprocessed_data(data), expected)
    assert predictor.export().entry is None


def test_a_main_network_alone_has_nnunet_s_prediction_and_the_flip_with_swapped_labels() -> None:
    data, network = torch.randn(1, *PATCH), tiny_focusnet().main
    expected = predictor_of(network, kind=nnUNetPredictor, mirror_axes=(0,), has_entry=False)
    one, other = (expected.predict_logits_from_preprocessed_data(each).float() for each in (data, data.flip(3)))
    predictor = predictor_of(network, mirror_axes=(0,), flip=FLIP, small=())
    ours = predictor.predict_logits_from_preprocessed_data(data).float()
    torch.testing.assert_close(ours, (one + other.flip(3)[[0, 2, 1]]) / 2, atol=0.01, rtol=0)
    assert predictor.places == {}
    assert predictor.export().entry is not None


@pytest.mark.parametrize(
    ("lower", "main_sees_the_lower", "chosen"),
    [(0.6, True, 2), (0.6, False, 13), (0.4, True, 13)],  # the other one is 0.9 high
)
def test_of_several_peaks_the_main_network_chooses(lower: float, main_sees_the_lower: bool, chosen: int) -> None:
    data = image((4, 8, 16))
    data[HEAT[0], 2, 4, 2], data[HEAT[0], 2, 4, 13] = logit(lower), logit(0.9)
    if main_sees_the_lower:
        data[ORGAN, 1:3, 2:6, 0:4] = 5.0  # all of the ROI, the background's 1 everywhere
    predictor = predictor_of(reading_net())
    predictor.predict_logits_from_preprocessed_data(data)
    place = predictor.places[1]
    assert (place.position[2], place.second_position[2]) == (chosen, 15 - chosen)


def test_a_peak_that_one_view_alone_has_is_not_the_place() -> None:
    data, network = image((4, 8, 8)), reading_net()
    data[HEAT[0], 2, 4, 2] = logit(0.6)

    def see_something_in_the_corner(module, inputs, heat_logits):
        heat_logits[:, 0, 0, 0, 0] = logit(0.9)  # of the view: in the image it is at one end of y, then at the other

    network.sol.register_forward_hook(see_something_in_the_corner)
    predictor = predictor_of(network, mirror_axes=(1,))
    predictor.predict_logits_from_preprocessed_data(data)
    place = predictor.places[1]
    assert list(place.position) == [2, 4, 2]
    assert place.peak == pytest.approx(0.6)


def test_results_move_to_the_cpu_where_the_device_s_memory_is_short(monkeypatch) -> None:
    data = image((4, 8, 16))
    data[HEAT[0], 2, 4, 2], data[HEAT[0], 2, 4, 13] = logit(0.9), logit(0.6)
    predictor, tries = predictor_of(reading_net()), []
    predictor.perform_everything_on_device = True
    predict_tile = FocusNetPredictor.predict_tile

    def fail_once(self, x, tile):
        tries.append(tile)
        if len(tries) == 2:
            raise RuntimeError("out of memory")
        return predict_tile(self, x, tile)

    monkeypatch.setattr(FocusNetPredictor, "predict_tile", fail_once)
    assert torch.equal(label_map(predictor, data), boxes((4, 8, 16), Left=(1, 2, 0)))
    assert len(tries) == 2 + 3


def test_a_failure_leaves_nothing_behind() -> None:
    data, network = torch.randn(1, 4, 8, 13), tiny_focusnet()
    predictor = predictor_of(network)
    with pytest.raises(RuntimeError, match="channels"):
        predictor.predict_logits_from_preprocessed_data(data.repeat(2, 1, 1, 1))
    expected = predictor_of(network).predict_logits_from_preprocessed_data(data)
    assert torch.equal(predictor.predict_logits_from_preprocessed_data(data), expected)
