"""Networks in the sizes of the plans."""

from dataclasses import replace
from typing import Any

import pytest
from nnunetv2.experiment_planning.experiment_planners.network_topology import get_pool_and_conv_props
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

from nnunetv2_focusnet.architectures.config import FocusNetConfig
from nnunetv2_focusnet.organs.organ import SmallOrgan
from nnunetv2_focusnet.organs.plans_entry import Laterality
from nnunetv2_focusnet.trainers.main_networks import anatomynet_config, deeplab_config, seres_unet_config
from nnunetv2_focusnet.trainers.networks import (
    focusnet_config,
    focusnet_config_on_plans_network,
    paper_config,
    share_sos_nets,
    small_organ_settings,
    snet_config,
    zoom_config,
    zoomed_snet_config,
)

PLANE, ALL = [1, 2, 2], [2, 2, 2]
LENS = SmallOrgan(
    name="Lens_L",
    label=1,
    roi_size=(4, 8, 8),
    wanted_roi_size=(4, 8, 8),
    sigma=(1.0, 2.0, 2.0),
    diameter_mm=8.0,
    volume_voxels=80.0,
)


def configuration(spacing: list[float], strides: list[list[int]], **arch_kwargs: Any) -> ConfigurationManager:
    """Of a plan; nnU-Net's planner makes the first kernels (1, 3, 3) at 2.5x1x1 mm."""
    kwargs: dict[str, Any] = {
        "features_per_stage": [32, 64, 128],
        "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
        "strides": [[1, 1, 1], *strides],
    } | arch_kwargs
    architecture = {"network_class_name": "", "arch_kwargs": kwargs, "_kw_requires_import": []}
    sizes = {"spacing": spacing, "patch_size": [32, 64, 64]}
    return ConfigurationManager({**sizes, "architecture": architecture})


@pytest.mark.parametrize(
    ("spacing", "first"),
    [
        ([1.0, 1.0, 1.0], (3, 3, 3)),
        ([2.5, 1.0, 1.0], (3, 3, 3)),
        ([4.0, 1.0, 1.0], (3, 3, 3)),
        ([5.0, 1.0, 1.0], (1, 3, 3)),
    ],
)
def test_a_first_convolution_that_halves_slices_reads_each_of_them(
    spacing: list[float], first: tuple[int, int, int]
) -> None:
    plans = planned_by_nnunet(spacing)
    anatomynet, deeplab = anatomynet_config(plans), deeplab_config(plans)
    assert anatomynet.kernel_sizes[0] == deeplab.kernel_sizes[0] == first
    assert anatomynet.stride == deeplab.strides[0] == ((2, 2, 2) if first[0] == 3 else (1, 2, 2))


def planned_by_nnunet(spacing: list[float]) -> ConfigurationManager:
    """With the strides and kernels that nnU-Net's planner has for that spacing."""
    _, strides, kernels, _, _ = get_pool_and_conv_props(spacing, [64, 128, 128], 4, 99)
    return configuration(spacing, list(strides[1:]), kernel_sizes=kernels)


@pytest.mark.parametrize(
    "spacing", [[3.0, 0.7, 0.7], [2.5, 0.49, 0.49], [4.0, 1.0, 1.0], [5.0, 1.0, 1.0], [8.0, 0.8, 0.8]]
)
def test_slices_however_thick_are_convolved_below_the_one_downsampling(spacing: list[float]) -> None:
    plans = planned_by_nnunet(spacing)
    planned = plans.network_arch_init_kwargs["kernel_sizes"]
    assert planned[:2] == ((1, 3, 3), (1, 3, 3))  # as deep as these networks go
    assert anatomynet_config(plans).kernel_sizes[1] == (3, 3, 3)
    configs = snet_config(plans), zoomed_snet_config(plans), seres_unet_config(plans, 1)
    for config in (*configs, focusnet_config(plans, [LENS]).main, paper_config(plans, [LENS]).main):
        assert config.kernel_sizes == ((1, 3, 3), (3, 3, 3))


@pytest.mark.parametrize("spacing", [[1.0, 1.0, 1.0], [1.5, 1.0, 1.0], [2.5, 1.0, 1.0], [3.0, 1.0, 1.0]])
def test_on_other_plans_kernels_are_the_plans_own(spacing: list[float]) -> None:
    plans = planned_by_nnunet(spacing)
    planned = plans.network_arch_init_kwargs["kernel_sizes"]
    assert planned[0] == ((3, 3, 3) if spacing[0] < 2 else (1, 3, 3))
    assert seres_unet_config(plans, 4).kernel_sizes == planned[:5]
    assert snet_config(plans).kernel_sizes == planned[:2]


@pytest.mark.parametrize(
    ("spacing", "strides", "stride"),
    [
        ([1.5, 1.0, 1.0], [ALL, ALL], (2, 2, 2)),
        ([2.5, 1.0, 1.0], [PLANE, ALL], (2, 2, 2)),
        ([4.0, 1.0, 1.0], [PLANE, ALL], (2, 2, 2)),
        ([5.0, 1.0, 1.0], [PLANE, ALL], (1, 2, 2)),  # a lens of 9 mm has two slices
        ([2.5, 1.0, 1.0], [PLANE, PLANE], (1, 2, 2)),  # the patch may have an odd number of slices
    ],
)
def test_the_one_downsampling_halves_all_axes_that_bear_it(
    spacing: list[float], strides: list[list[int]], stride: tuple[int, int, int]
) -> None:
    assert snet_config(configuration(spacing, strides)).stride == stride


def test_dilations_reach_equally_far_in_mm_below_the_downsampling() -> None:
    # 5 x 2 x 2 mm below it, in 16 x 32 x 32 voxels: rates of 3, 6, 12 and 18 are 6, 12, 24 and 36 mm within slices,
    # but at most half the size, 16; across slices 6 / 5, 12 / 5, 24 / 5 and 36 / 5, rounded.
    expected = ((1, 3, 3), (2, 6, 6), (5, 12, 12), (7, 16, 16))
    assert snet_config(configuration([2.5, 1.0, 1.0], [PLANE, ALL])).dilations == expected


def test_the_paper_s_own_resolutions_are_a_trainer_away() -> None:
    plans = configuration([2.5, 1.0, 1.0], [PLANE, ALL])
    ours, paper = focusnet_config(plans, [LENS]), paper_config(plans, [LENS])
    assert (paper.main.stride, paper.sol_level) == ((1, 2, 2), 0)
    assert (ours.main.stride, ours.sol_level) == ((2, 2, 2), 1)


def test_small_organs_are_seen_in_3d_on_every_plan() -> None:
    assert focusnet_config(configuration([2.5, 1.0, 1.0], [PLANE, ALL]), [LENS]).kernel_size == (3, 3, 3)


def test_rois_are_moved_by_up_to_4_mm() -> None:
    plans = configuration([2.5, 1.0, 1.0], [PLANE, ALL])
    assert small_organ_settings(plans, [LENS])["jitter"] == (2, 4, 4)  # 1.6 slices


@pytest.mark.parametrize(("first_features", "sos"), [(32, 16), (12, 8)])
def test_parts_on_the_plans_network_are_lean(first_features: int, sos: int) -> None:
    plans = configuration([2.5, 1.0, 1.0], [PLANE, ALL], features_per_stage=[first_features, 64, 128])
    config = focusnet_config_on_plans_network(plans, [LENS])
    assert (config.sol_blocks, config.sos_blocks, config.sos_features) == (1, 2, sos)


@pytest.mark.parametrize(("first_features", "widths"), [(32, (16, 32)), (12, (8, 16))])
def test_parts_with_zoom_are_lean(first_features: int, widths: tuple[int, int]) -> None:
    plans = configuration([2.5, 1.0, 1.0], [PLANE, ALL], features_per_stage=[first_features, 64, 128])
    config = zoom_config(plans, [LENS])
    assert (config.sol_blocks, config.zoom.features) == (1, widths)


@pytest.mark.parametrize(
    ("stride", "roi", "zoomed"),
    [
        (ALL, (2, 2, 2), (2, 2, 4)),  # two voxels of the coarser grid
        (ALL, (2, 4, 2), (2, 4, 2)),
        (PLANE, (2, 2, 2), (2, 2, 2)),
        (PLANE, (3, 3, 5), (3, 4, 6)),
    ],
)
def test_rois_with_zoom_cover_whole_voxels_of_the_coarser_grid_two_at_least(
    stride: list[int], roi: tuple[int, int, int], zoomed: tuple[int, int, int]
) -> None:
    config = zoom_config(configuration([1.0, 1.0, 1.0], [stride, ALL]), [replace(LENS, roi_size=roi)])
    assert config.roi_sizes == (zoomed,)


def test_a_pair_shares_a_sos_net_whose_rois_hold_either_side() -> None:
    labels = {"background": 0, "nerve left": 1, "chiasm": 2, "nerve right": 3, "eye left": 4, "eye right": 5}
    alone = FocusNetConfig(small_organs=(1, 2, 3, 4), roi_sizes=((4, 10, 8), (4, 8, 20), (6, 8, 8), (8, 8, 8)))
    pairs = ((labels["nerve left"], labels["nerve right"]), (labels["eye left"], labels["eye right"]))
    shared = share_sos_nets(alone, Laterality(axis=2, left_at_end=True, pairs=pairs))
    assert shared.groups == ((0, 2), (1,), (3,))  # the right eye isn't small
    assert shared.roi_sizes == ((6, 10, 8), (4, 8, 20), (6, 10, 8), (8, 8, 8))
    assert FocusNetConfig.from_json(shared.as_json()) == shared


def test_where_no_flip_swaps_sides_each_organ_has_a_sos_net() -> None:
    alone = FocusNetConfig(small_organs=(1, 2), roi_sizes=((4, 10, 8), (4, 8, 20)))
    assert share_sos_nets(alone, None) == alone
    assert alone.groups == ((0,), (1,))
