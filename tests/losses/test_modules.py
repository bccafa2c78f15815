import pytest
import torch
import torch.nn.functional as F

from nnunetv2_focusnet.architectures.config import FocusNetConfig, SNetConfig
from nnunetv2_focusnet.architectures.focusnet import PARTS, FocusNet, FocusNetOutput
from nnunetv2_focusnet.architectures.rois import Rois
from nnunetv2_focusnet.architectures.snet import SNet
from nnunetv2_focusnet.losses import functional as losses
from nnunetv2_focusnet.losses.modules import FocusNetLoss, SegmentationLoss
from nnunetv2_focusnet.losses.targets import draw_heat_maps

SIZE = (4, 6, 8)
WEIGHTS = (0.1, 1.0, 8.0, 4.0)
ORGANS, ROI_SIZES = (3, 1), ((2, 4, 4), (4, 2, 6))
SIGMAS, ORGAN_VOXELS = ((0.5, 1.0, 1.0), (1.0, 1.0, 2.0)), (6.0, 20.0)
IGNORE = 4


CENTRES = torch.tensor([[[3, 2, 6], [2, 5, 4]], [[2, 4, 5], [2, 1, 3]]])  # whose ROIs lie inside the volume


def tiny_focusnet(roi_sizes=ROI_SIZES) -> FocusNet:
    sizes = SNetConfig(features_per_stage=(4, 4), dilations=((1, 1, 1),), n_blocks=1)
    return FocusNet(SNet(1, 4, sizes), FocusNetConfig(main=sizes, small_organs=ORGANS, roi_sizes=roi_sizes))


def focusnet_loss(ignore_label: int | None = None) -> FocusNetLoss:
    return FocusNetLoss(WEIGHTS, ORGANS, SIGMAS, ORGAN_VOXELS, ignore_label)


def random_target(seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 4, (2, 1, *SIZE), generator=torch.Generator().manual_seed(seed)).float()


def random_output(main: bool = True, heat: bool = True, sos: bool = True) -> FocusNetOutput:
    """An output of all three parts, of which those named are being trained."""
    generator = torch.Generator().manual_seed(1)
    voxels = sum(z * y * x for z, y, x in ROI_SIZES)
    return FocusNetOutput(
        torch.randn(2, 4, *SIZE, generator=generator).requires_grad_(main),
        torch.randn(2, 2, *SIZE, generator=generator).requires_grad_(heat),
        torch.randn(2, voxels, generator=generator).requires_grad_() if sos else None,
        Rois.around(CENTRES, ROI_SIZES, SIZE) if sos else None,
        organs=(0, 1),
    )


def test_segmentation_loss_is_focal_plus_dice():
    torch.manual_seed(0)
    logits, target = torch.randn(2, 4, *SIZE), random_target()
    loss = SegmentationLoss(WEIGHTS)
    total = loss(logits, target)
    labels = target[:, 0].long()
    p = logits.softmax(1).gather(1, labels[:, None])[:, 0]
    alpha = torch.tensor(WEIGHTS)[labels]
    focal = -(alpha * (1 - p) ** 2 * p.log()).sum() / alpha.sum()
    one_hot = F.one_hot(labels, 4).movedim(-1, 1)
    q = logits.softmax(1)
    dice = sum(1 - 2 * (q * one_hot)[:, c].sum() / (q[:, c].sum() + one_hot[:, c].sum()) for c in range(4))
    assert list(loss.terms) == ["focal", "dice"]
    torch.testing.assert_close(loss.terms["focal"], focal)
    torch.testing.assert_close(loss.terms["dice"], dice, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(total, focal + dice, rtol=1e-4, atol=1e-5)


def test_other_terms_and_factors():
    torch.manual_seed(0)
    logits, target = torch.randn(2, 4, *SIZE), random_target()
    target[:, :, 0] = IGNORE
    counted, labels = logits[:, :, 1:], target[:, 0, 1:].long()
    loss = SegmentationLoss(WEIGHTS, IGNORE, {"cross_entropy": 1.0, "unweighted_focal": 0.5})
    total = loss(logits, target)
    p = counted.softmax(1).gather(1, labels[:, None])[:, 0]
    assert loss.term_names == ("cross_entropy", "unweighted_focal")
    torch.testing.assert_close(loss.terms["cross_entropy"], F.cross_entropy(counted, labels))
    torch.testing.assert_close(loss.terms["unweighted_focal"], 0.5 * (-((1 - p) ** 2) * p.log()).mean())
    torch.testing.assert_close(total, sum(loss.terms.values()))


def test_without_a_counted_voxel_cross_entropy_is_zero():
    logits = torch.randn(2, 4, *SIZE, requires_grad=True)
    loss = SegmentationLoss(WEIGHTS, IGNORE, {"cross_entropy": 1.0})(logits, torch.full((2, 1, *SIZE), float(IGNORE)))
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_focusnet_loss_of_fused_logits_is_that_of_segmentation():
    torch.manual_seed(0)
    logits, target = torch.randn(2, 4, *SIZE), random_target()
    loss = focusnet_loss()
    torch.testing.assert_close(loss(logits, target), SegmentationLoss(WEIGHTS)(logits, target))
    assert list(loss.terms) == ["focal", "dice"]


@pytest.mark.parametrize(
    ("main", "heat", "sos", "names"),
    [
        (True, False, False, ["focal", "dice"]),
        (False, True, False, ["heat_map", "position"]),
        (False, False, True, ["roi_focal", "roi_dice"]),
        (True, True, True, ["focal", "dice", "heat_map", "position", "roi_focal", "roi_dice"]),
    ],
)
def test_terms_are_those_of_the_parts_being_trained(main, heat, sos, names):
    loss = focusnet_loss()
    total = loss(random_output(main, heat, sos), random_target())
    assert list(loss.terms) == names
    assert set(names) <= set(loss.term_names)
    assert total.item() == pytest.approx(sum(term.item() for term in loss.terms.values()), rel=1e-5)
    assert not any(term.requires_grad for term in loss.terms.values())
    total.backward()


@pytest.mark.parametrize(
    ("parts", "names"),
    [
        (("main",), ["focal", "dice"]),
        (("sol",), ["heat_map", "position"]),
        (("sos",), ["roi_focal", "roi_dice"]),
        (PARTS, ["focal", "dice", "heat_map", "position", "roi_focal", "roi_dice"]),
    ],
)
def test_terms_with_the_network_itself(parts, names):
    torch.manual_seed(0)
    network = tiny_focusnet()
    network.train_parts(parts)
    loss = focusnet_loss()
    loss(network(torch.randn(2, 1, *SIZE)), random_target()).backward()
    assert list(loss.terms) == names
    for name, parameter in network.named_parameters():
        trained = name.split(".")[0] in parts
        assert (parameter.grad is not None) == trained, name
        assert not trained or parameter.grad.isfinite().all(), name


def test_heat_map_terms_by_hand():
    # organ 3 is one voxel of the first sample, organ 1 is nowhere
    target = torch.zeros(2, 1, *SIZE)
    target[0, 0, 1, 2, 3] = 3
    output = random_output(main=False, sos=False)
    loss = focusnet_loss()
    loss(output, target)
    sigmas = torch.tensor(SIGMAS)
    heat_map = draw_heat_maps(torch.tensor([[[1.0, 2, 3], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]]), sigmas, SIZE)
    visible = torch.tensor([[True, False], [False, False]])
    valid = torch.ones(2, *SIZE, dtype=torch.bool)
    error, position = losses.heat_map_losses(output.heat_logits, heat_map, visible, valid, sigmas)
    torch.testing.assert_close(loss.terms["heat_map"], error.detach())
    torch.testing.assert_close(loss.terms["position"], position.detach())


def test_heat_maps_of_half_resolution_have_their_targets_there():
    # 2 x 2 x 2 voxels that are one voxel at half resolution, the one at (1, 2, 1)
    target = torch.zeros(2, 1, *SIZE)
    target[:, :, 2:4, 4:6, 2:4] = 3
    coarse = (2, 3, 4)
    centres = torch.tensor([[[1.0, 2, 1], [0, 0, 0]]] * 2)
    sigmas = torch.tensor([[0.5, 1, 1], [1, 1, 1]])  # halved, but none below one voxel that wasn't before
    heat_maps = draw_heat_maps(centres, sigmas, coarse)
    assert heat_maps[0, 0].argmax() == (1 * 3 + 2) * 4 + 1
    logits = torch.randn(2, 2, *coarse, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = focusnet_loss()
    loss(FocusNetOutput(torch.zeros(2, 4, *SIZE), logits), target)
    visible = torch.tensor([[True, False]] * 2)
    valid = torch.ones(2, *coarse, dtype=torch.bool)
    error, position = losses.heat_map_losses(logits, heat_maps, visible, valid, sigmas)
    torch.testing.assert_close(loss.terms["heat_map"], error.detach())
    torch.testing.assert_close(loss.terms["position"], position.detach())


def test_roi_terms_read_the_labels_at_the_rois():
    output, target = random_output(main=False, heat=False), random_target()
    loss = focusnet_loss()
    loss(output, target)
    per_sample = []
    for b in range(2):
        organs = []
        for k, (organ, size) in enumerate(zip(ORGANS, ROI_SIZES, strict=True)):
            z, y, x = output.rois.corners[b, k].tolist()
            box = target[b, 0, z : z + size[0], y : y + size[1], x : x + size[2]]
            organs.append((box == organ).float().flatten())
        per_sample.append(torch.cat(organs))
    expected = losses.roi_losses(
        output.roi_logits,
        torch.stack(per_sample),
        torch.ones(2, output.roi_logits.shape[1], dtype=torch.bool),
        [32, 48],
        torch.tensor(ORGAN_VOXELS),
    )
    torch.testing.assert_close(loss.terms["roi_focal"], expected[0].detach())
    torch.testing.assert_close(loss.terms["roi_dice"], expected[1].detach())


def test_rois_larger_than_the_patch_are_clipped_as_in_the_network():
    torch.manual_seed(0)
    roi_sizes = ((20, 4, 4), (4, 2, 60))
    output = tiny_focusnet(roi_sizes)(torch.randn(2, 1, *SIZE))
    assert output.roi_logits.shape == (2, 4 * 4 * 4 + 4 * 2 * 8)
    assert focusnet_loss()(output, random_target()).isfinite()


def test_ignored_voxels_change_no_term_and_get_no_gradient():
    target = random_target()
    target[:, :, :2, 3:] = IGNORE
    ignored = target == IGNORE
    output = random_output()
    corners = output.rois.corners
    roi_ignored = torch.stack(
        [
            torch.cat(
                [
                    ignored[b, 0, z : z + dz, y : y + dy, x : x + dx].flatten()
                    for (z, y, x), (dz, dy, dx) in zip(corners[b].tolist(), ROI_SIZES, strict=True)
                ]
            )
            for b in range(2)
        ]
    )
    assert roi_ignored.any()
    torch.manual_seed(3)
    masks = [ignored.expand(-1, 4, -1, -1, -1), ignored.expand(-1, 2, -1, -1, -1), roi_ignored]
    changed = [
        torch.where(mask, 20 * torch.randn(mask.shape), logits.detach()).requires_grad_()
        for mask, logits in zip(masks, output, strict=False)
    ]
    loss = focusnet_loss(IGNORE)
    loss(output, target)
    before = loss.terms
    loss(FocusNetOutput(*changed, output.rois, organs=(0, 1)), target).backward()
    assert len(before) == 6
    for name, term in before.items():
        torch.testing.assert_close(loss.terms[name], term, msg=name)
    for mask, logits in zip(masks, changed, strict=True):
        assert (logits.grad[mask] == 0).all()
        assert logits.grad[~mask].any()


def test_without_an_ignore_label_every_voxel_counts():
    logits, target = torch.randn(2, 4, *SIZE, requires_grad=True), random_target()
    SegmentationLoss(WEIGHTS)(logits, target).backward()
    assert (logits.grad.abs().sum(1) > 0).all()


@pytest.mark.parametrize("size", [1e4, 3e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_extreme_logits_give_a_finite_loss_and_finite_gradients(size, dtype):
    output = random_output()
    logits = [(size * part.detach().sign()).to(dtype).requires_grad_() for part in output[:3]]
    total = focusnet_loss()(FocusNetOutput(*logits, output.rois, organs=(0, 1)), random_target())
    total.backward()
    assert total.isfinite()
    assert all(part.grad.isfinite().all() for part in logits)


def test_moves_with_its_weights():
    assert {name for name, _ in focusnet_loss().named_buffers()} == {
        *("weights", "learned"),
        *("sigmas", "organ_voxels"),
    }


# ---- deep supervision ----


def test_deep_supervision_halves_the_weight_with_each_resolution():
    logits = [torch.randn(2, 4, *size) for size in (SIZE, (2, 3, 4), (1, 3, 2))]
    targets = [random_target()[:, :, ::z, ::y, ::x] for z, y, x in ((1, 1, 1), (2, 2, 2), (4, 2, 4))]
    loss, single = SegmentationLoss(WEIGHTS), SegmentationLoss(WEIGHTS)
    total = loss(logits, targets)
    fine, middle, coarse = (single(z, target) for z, target in zip(logits, targets, strict=True))
    torch.testing.assert_close(total, (4 * fine + 2 * middle + coarse) / 7)


def test_small_organs_read_the_finest_target_under_deep_supervision():
    output = random_output()
    deep = output._replace(main_logits=[output.main_logits, torch.randn(2, 4, 2, 3, 4)])
    targets = [random_target(), random_target()[:, :, ::2, ::2, ::2]]
    loss, expected, main = focusnet_loss(), focusnet_loss(), SegmentationLoss(WEIGHTS)
    loss(deep, targets)
    expected(output, targets[0])
    main([z.detach() for z in deep.main_logits], targets)
    for name in loss.term_names:
        terms = main.terms if name in main.terms else expected.terms
        torch.testing.assert_close(loss.terms[name], terms[name])


def test_deep_supervision_does_not_tell_background_from_an_organ_that_is_not_annotated():
    logits = torch.randn(2, 4, *SIZE, generator=torch.Generator().manual_seed(2)).requires_grad_()
    target = random_target() * (random_target() != 2)  # nobody has drawn organ 2
    loss = SegmentationLoss(WEIGHTS)
    loss.annotated = torch.tensor([[True, True, False, True]] * 2)
    loss([logits, logits[..., ::2, ::2, ::2]], [target, target[..., ::2, ::2, ::2]]).backward()
    p = logits.detach().softmax(1)
    grad = logits.grad
    assert grad[:, 2].abs().max() > 0
    # Both get the share that their probabilities have in the sum that is trained.
    torch.testing.assert_close(grad[:, 0] * p[:, 2], grad[:, 2] * p[:, 0], rtol=1e-3, atol=1e-7)


# ---- organs that aren't annotated ----

ANNOTATED = torch.tensor([[True, True, True, False], [True, False, True, True]])  # organ 3, and organ 1


def annotated_target() -> torch.Tensor:
    """A random target without a voxel of organs that aren't annotated."""
    target = random_target()
    for sample, annotated in zip(target, ANNOTATED, strict=True):
        sample[torch.isin(sample, (~annotated).nonzero())] = 0
    return target


def test_unannotated_small_organs_get_no_gradient_from_their_sol_and_sos_nets():
    output = random_output()
    loss = focusnet_loss()
    loss.annotated = ANNOTATED
    loss(output, annotated_target()).backward()
    assert list(loss.terms) == list(loss.term_names)
    # Channels are organs 3 and 1; their ROIs have 32 and 48 voxels.
    for sample, channel, other in ((0, 0, 1), (1, 1, 0)):
        assert not output.heat_logits.grad[sample, channel].any()
        assert output.heat_logits.grad[sample, other].all()
        rois = output.roi_logits.grad[sample].split([32, 48])
        assert not rois[channel].any()
        assert rois[other].all()


def test_every_term_is_that_of_the_samples_and_organs_that_count():
    output, target = random_output(), annotated_target()
    loss = focusnet_loss()
    loss.annotated = ANNOTATED
    loss(output, target)
    merged = losses.merge_unannotated(output.main_logits.log_softmax(1), ANNOTATED)
    labels, valid = target[:, 0].long(), torch.ones(2, *SIZE, dtype=torch.bool)
    own = losses.of_own_class(merged, labels)
    focal = losses.focal_loss(own, labels, valid, torch.tensor(WEIGHTS))
    torch.testing.assert_close(loss.terms["focal"], focal.detach())
    torch.testing.assert_close(loss.terms["dice"], losses.dice_loss(merged.exp(), own.exp(), labels, valid).detach())
    # Each sample counts one organ, so the loss of both is the mean of what each alone gives with that organ.
    singles = []
    for sample, organ in ((0, 1), (1, 0)):
        part = slice(sample, sample + 1)
        kept = slice(organ, organ + 1)
        alone = FocusNetLoss(WEIGHTS, ORGANS[kept], SIGMAS[kept], ORGAN_VOXELS[kept])
        heat_logits = output.heat_logits[part, kept]
        roi_logits = output.roi_logits.split([32, 48], 1)[organ][part]
        rois = Rois.around(CENTRES[part, kept], ROI_SIZES[kept], SIZE)
        alone(FocusNetOutput(output.main_logits[part], heat_logits, roi_logits, rois, organs=(0,)), target[part])
        singles.append(alone.terms)
    for name in ("heat_map", "position", "roi_focal", "roi_dice"):
        torch.testing.assert_close(loss.terms[name], (singles[0][name] + singles[1][name]) / 2, msg=name)


@pytest.mark.parametrize("annotated", [None, ANNOTATED])
def test_rois_of_some_organs_have_the_loss_that_these_alone_would_have(annotated):
    output, target = random_output(main=False, heat=False), annotated_target()
    of_second = output.roi_logits.split([32, 48], 1)[1]
    rois = Rois.around(CENTRES[:, 1:], ROI_SIZES[1:], SIZE)
    some = FocusNetOutput(output.main_logits, None, of_second, rois, organs=(1,))
    loss, alone = focusnet_loss(), FocusNetLoss(WEIGHTS, ORGANS[1:], SIGMAS[1:], ORGAN_VOXELS[1:])
    loss.annotated = alone.annotated = annotated
    loss(some, target)
    alone(some._replace(organs=(0,)), target)
    assert loss.terms == alone.terms
    assert loss.terms["roi_dice"] > 0


def test_all_organs_annotated_is_the_same_as_nothing_said():
    output, target = random_output(), random_target()
    loss = focusnet_loss()
    loss(output, target)
    unsaid = loss.terms
    loss.annotated = torch.ones(2, 4, dtype=torch.bool)
    loss(output, target)
    for name, term in unsaid.items():
        torch.testing.assert_close(loss.terms[name], term, msg=name)


def test_segmentation_terms_of_another_resolution_know_what_is_annotated():
    loss = SegmentationLoss(WEIGHTS)
    loss.annotated = ANNOTATED
    logits = torch.randn(2, 4, 2, 3, 4)
    target = annotated_target()[..., ::2, ::2, ::2]
    terms = loss.segmentation_terms(logits, target)
    merged = logits.clone()
    merged[0, 0] = logits[0, [0, 3]].logsumexp(0)
    merged[0, 3] = -1e4
    merged[1, 0] = logits[1, [0, 1]].logsumexp(0)
    merged[1, 1] = -1e4
    expected = SegmentationLoss(WEIGHTS).segmentation_terms(merged, target)
    for name, term in expected.items():
        torch.testing.assert_close(terms[name], term, msg=name)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_with_unannotated_organs_is_finite(dtype):
    output = random_output()
    logits = [(3e4 * part.detach().sign()).to(dtype).requires_grad_() for part in output[:3]]
    loss = focusnet_loss()
    loss.annotated = ANNOTATED
    total = loss(FocusNetOutput(*logits, output.rois, organs=(0, 1)), annotated_target())
    total.backward()
    assert total.isfinite()
    assert all(part.grad.isfinite().all() for part in logits)
