import math

import pytest
import torch
import torch.nn.functional as F

from nnunetv2_focusnet.losses import functional as losses
from nnunetv2_focusnet.losses.targets import draw_heat_maps


def everywhere(labels: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(labels, dtype=torch.bool)


def focal_loss(
    log_p: torch.Tensor, labels: torch.Tensor, valid: torch.Tensor | None, weights: torch.Tensor
) -> torch.Tensor:
    return losses.focal_loss(losses.of_own_class(log_p, labels), labels, valid, weights)


def dice_loss(p: torch.Tensor, labels: torch.Tensor, valid: torch.Tensor | None) -> torch.Tensor:
    return losses.dice_loss(p, losses.of_own_class(p, labels), labels, valid)


def random_case(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits (2, 4, 3, 4, 5), labels, valid with a fifth of the voxels out, weights."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(2, 4, 3, 4, 5, generator=generator)
    labels = torch.randint(0, 4, (2, 3, 4, 5), generator=generator)
    valid = torch.rand(2, 3, 4, 5, generator=generator) > 0.2
    return logits, labels, valid, torch.tensor([0.1, 1.0, 8.0, 2.5])


# ---- focal ----


def focal_by_loop(logits: torch.Tensor, labels: torch.Tensor, valid: torch.Tensor, weights: torch.Tensor) -> float:
    total = mass = 0.0
    for b, z, y, x in valid.nonzero().tolist():
        values = [math.exp(v) for v in logits[b, :, z, y, x].double().tolist()]
        label = int(labels[b, z, y, x])
        p, alpha = values[label] / sum(values), float(weights[label])
        total -= alpha * (1 - p) ** 2 * math.log(p)
        mass += alpha
    return total / mass


@pytest.mark.parametrize("seed", range(3))
def test_focal_is_the_weighted_mean_over_voxels(seed):
    logits, labels, valid, weights = random_case(seed)
    loss = focal_loss(logits.log_softmax(1), labels, valid, weights)
    assert loss.item() == pytest.approx(focal_by_loop(logits, labels, valid, weights), rel=1e-5)


def test_focal_of_two_voxels_by_hand():
    # p = 1/2 with weight 1 and p = 1/4 with weight 3
    log_p = torch.tensor([[0.5, 0.75], [0.5, 0.25]]).log().view(1, 2, 1, 1, 2)
    labels = torch.tensor([0, 1]).view(1, 1, 1, 2)
    expected = (1 * 0.25 * math.log(2) + 3 * 0.5625 * math.log(4)) / 4
    loss = focal_loss(log_p, labels, everywhere(labels), torch.tensor([1.0, 3.0]))
    assert loss.item() == pytest.approx(expected)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_focal_is_cross_entropy_but_for_its_factor(p):
    _, labels, _, weights = random_case()
    rest = math.log((1 - p) / 3)
    log_p = torch.full((2, 4, 3, 4, 5), rest).scatter(1, labels[:, None], math.log(p))
    cross_entropy = F.cross_entropy(log_p, labels, weight=weights)
    loss = focal_loss(log_p, labels, everywhere(labels), weights)
    assert loss.item() == pytest.approx((1 - p) ** 2 * cross_entropy.item(), rel=1e-5)
    assert cross_entropy.item() == pytest.approx(-math.log(p), rel=1e-5)


@pytest.mark.parametrize("scale", [1e-3, 10.0, 1e4])
def test_focal_does_not_depend_on_the_scale_of_the_weights(scale):
    logits, labels, valid, weights = random_case()
    log_p = logits.log_softmax(1)
    torch.testing.assert_close(
        focal_loss(log_p, labels, valid, scale * weights), focal_loss(log_p, labels, valid, weights)
    )


def test_focal_of_a_perfect_answer_is_0():
    _, labels, valid, weights = random_case()
    log_p = (200 * F.one_hot(labels, 4).movedim(-1, 1).float()).log_softmax(1)
    assert focal_loss(log_p, labels, valid, weights).item() == pytest.approx(0, abs=1e-12)


def test_focal_gradient_is_that_of_the_loop():
    logits, labels, valid, weights = random_case()
    logits.requires_grad_()
    focal_loss(logits.log_softmax(1), labels, valid, weights).backward()
    step = 1e-5
    for index in [(0, 0, 0, 0, 0), (1, 3, 2, 1, 4), (0, 2, 1, 3, 2)]:
        shifted = logits.detach().double().repeat(2, 1, 1, 1, 1, 1)
        shifted[0][index] += step
        shifted[1][index] -= step
        numeric = (
            focal_by_loop(shifted[0], labels, valid, weights) - focal_by_loop(shifted[1], labels, valid, weights)
        ) / (2 * step)
        assert logits.grad[index].item() == pytest.approx(numeric, rel=1e-3, abs=1e-7)


# ---- dice ----


def test_dice_of_a_perfect_answer_is_0():
    _, labels, _, _ = random_case()
    perfect = F.one_hot(labels, 4).movedim(-1, 1).float()
    assert dice_loss(perfect, labels, everywhere(labels)).item() == pytest.approx(0, abs=1e-6)


def test_dice_of_boxes_by_hand():
    # class 1 is 2 voxels long in the labels and in the answer, 1 of them in common: Dice 1/2; background 4, 4, 3: 3/4
    labels = torch.tensor([1, 1, 0, 0, 0, 0]).view(1, 1, 1, 6)
    answer = torch.tensor([0, 1, 1, 0, 0, 0]).view(1, 1, 1, 6)
    probabilities = F.one_hot(answer, 2).movedim(-1, 1).float()
    assert dice_loss(probabilities, labels, everywhere(labels)).item() == pytest.approx(0.5 + 0.25, rel=1e-4)


def test_dice_of_disjoint_boxes_is_1():
    labels = torch.tensor([1, 1, 0, 0, 0, 0, 0, 0]).view(1, 2, 2, 2)
    answer = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1]).view(1, 2, 2, 2)
    probabilities = F.one_hot(answer, 2).movedim(-1, 1).float()
    background = 1 - 2 * 4 / (6 + 6)
    assert dice_loss(probabilities, labels, everywhere(labels)).item() == pytest.approx(1 + background, rel=1e-4)


def test_dice_of_soft_probabilities_by_hand():
    labels = torch.tensor([0, 1]).view(1, 1, 1, 2)
    probabilities = torch.tensor([[0.8, 0.4], [0.2, 0.6]]).view(1, 2, 1, 1, 2)
    expected = (1 - 2 * 0.8 / (1 + 1.2)) + (1 - 2 * 0.6 / (1 + 0.8))
    assert dice_loss(probabilities, labels, everywhere(labels)).item() == pytest.approx(expected, rel=1e-4)


def test_dice_sums_over_the_batch_before_it_divides():
    labels = torch.tensor([[1, 0], [0, 0]]).view(2, 1, 1, 2)
    answer = torch.tensor([[1, 0], [1, 0]]).view(2, 1, 1, 2)
    probabilities = F.one_hot(answer, 2).movedim(-1, 1).float()
    expected = (1 - 2 * 2 / (3 + 2)) + (1 - 2 * 1 / (1 + 2))
    assert dice_loss(probabilities, labels, everywhere(labels)).item() == pytest.approx(expected, rel=1e-4)


def test_absent_class_adds_0_whatever_its_probabilities():
    labels = torch.tensor([1, 1, 0, 0]).view(1, 1, 2, 2)
    probabilities = torch.rand(1, 2, 1, 2, 2)
    absent = torch.tensor([0.0, 1e-7, 0.5]).view(1, 3, 1, 1, 1).expand(1, 3, 1, 2, 2)
    with_absent = torch.cat([probabilities, absent], 1)
    valid = everywhere(labels)
    torch.testing.assert_close(dice_loss(with_absent, labels, valid), dice_loss(probabilities, labels, valid))


def test_dice_of_a_large_patch_has_the_digits_of_double_precision():
    generator = torch.Generator().manual_seed(0)
    size = (2, 160, 128, 128)  # 5 million voxels
    labels = (torch.rand(size, generator=generator) < 1e-4).long()
    p = torch.rand((2, 1, *size[1:]), generator=generator) * 0.01
    probabilities = torch.cat([1 - p, p], 1)
    valid = torch.ones_like(labels, dtype=torch.bool)
    expected = dice_loss(probabilities.double(), labels, valid)
    torch.testing.assert_close(dice_loss(probabilities, labels, valid).double(), expected, rtol=1e-5, atol=0)


def test_dice_leaves_ignored_voxels_out():
    labels = torch.tensor([1, 1, 0, 0, 0, 0]).view(1, 1, 1, 6)
    probabilities = torch.rand(1, 2, 1, 1, 6)
    valid = torch.tensor([True, False, True, True, False, True]).view(1, 1, 1, 6)
    kept = [0, 2, 3, 5]
    expected = dice_loss(probabilities[..., kept], labels[..., kept], everywhere(labels[..., kept]))
    torch.testing.assert_close(dice_loss(probabilities, labels, valid), expected)


def test_where_nothing_is_ignored_no_mask_is_needed():
    logits, labels, _, weights = random_case()
    log_p, valid = logits.log_softmax(1), everywhere(labels)
    torch.testing.assert_close(focal_loss(log_p, labels, None, weights), focal_loss(log_p, labels, valid, weights))
    torch.testing.assert_close(dice_loss(log_p.exp(), labels, None), dice_loss(log_p.exp(), labels, valid))


# ---- organs that aren't annotated ----

# Of four classes the first sample has 1 annotated, the second 2 and 3.
ANNOTATED = torch.tensor([[True, True, False, False], [True, False, True, True]])


def partly_annotated_case(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """As :func:`random_case`, with labels as an annotator leaves them: no voxel of an unannotated organ."""
    logits, labels, valid, weights = random_case(seed)
    return logits, labels * ANNOTATED.gather(1, labels.flatten(1)).view_as(labels) * valid, valid, weights


def marginal_losses(logits: torch.Tensor, labels: torch.Tensor, valid: torch.Tensor) -> dict[str, torch.Tensor]:
    log_q = losses.merge_unannotated(logits.log_softmax(1), ANNOTATED)
    return {
        "focal": focal_loss(log_q, labels, valid, torch.tensor([0.1, 1.0, 8.0, 2.5])),
        "dice": dice_loss(log_q.exp(), labels, valid),
    }


def test_unannotated_probability_counts_to_the_background_by_hand():
    p = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4]]).view(2, 4, 1, 1, 1)
    q = losses.merge_unannotated(p.log(), ANNOTATED).exp()
    expected = torch.tensor([[0.8, 0.2, 0.0, 0.0], [0.3, 0.0, 0.3, 0.4]])
    torch.testing.assert_close(q.flatten(1), expected)


def test_marginal_losses_of_two_voxels_by_hand():
    # Class 2 isn't annotated: q = (0.5 + 0.3, 0.2) at a voxel of the background, (0.1 + 0.5, 0.4) at one of class 1.
    p = torch.tensor([[0.5, 0.1], [0.2, 0.4], [0.3, 0.5]]).view(1, 3, 1, 1, 2)
    labels = torch.tensor([0, 1]).view(1, 1, 1, 2)
    log_q = losses.merge_unannotated(p.log(), torch.tensor([[True, True, False]]))
    focal = focal_loss(log_q, labels, everywhere(labels), torch.tensor([0.5, 1.0, 9.0]))
    assert focal.item() == pytest.approx((-0.5 * 0.2**2 * math.log(0.8) - 1 * 0.6**2 * math.log(0.4)) / 1.5)
    dice = dice_loss(log_q.exp(), labels, everywhere(labels))
    assert dice.item() == pytest.approx((1 - 2 * 0.8 / (1 + 1.4)) + (1 - 2 * 0.4 / (1 + 0.6)), rel=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_marginal_losses_are_those_of_a_network_without_the_unannotated_classes(seed):
    logits, labels, valid, weights = partly_annotated_case(seed)
    probabilities = logits.softmax(1)
    focal = mass = 0.0
    dice = torch.zeros(4, 3)  # overlap, labelled and predicted voxels of each class
    for sample, kept in enumerate(([0, 1], [0, 2, 3])):
        rest = [c for c in range(4) if c not in kept]
        q = probabilities[sample].clone()
        q[0] += q[rest].sum(0)
        for c in kept:
            is_c = (labels[sample] == c) & valid[sample]
            focal -= (weights[c] * (1 - q[c][is_c]) ** 2 * q[c][is_c].log()).sum()
            mass += weights[c] * is_c.sum()
            dice[c] += torch.stack([q[c][is_c].sum(), is_c.sum(), q[c][valid[sample]].sum()])
    overlap, labelled, predicted = dice.T
    result = marginal_losses(logits, labels, valid)
    torch.testing.assert_close(result["focal"], focal / mass)
    torch.testing.assert_close(result["dice"], (1 - 2 * overlap / (labelled + predicted)).sum())


@pytest.mark.parametrize("term", ["focal", "dice"])
def test_how_background_and_unannotated_organ_share_their_probability_is_not_trained(term):
    logits, labels, valid, _ = partly_annotated_case()
    logits.requires_grad_()
    marginal_losses(logits, labels, valid)[term].backward()
    p, gradient = logits.detach().softmax(1), logits.grad
    for sample, organs in enumerate(([2, 3], [1])):
        for organ in organs:
            # Along this direction p_0 + p_organ and all other probabilities stay, and log(p_organ / p_0) rises.
            trade = gradient[sample, organ] / p[sample, organ] - gradient[sample, 0] / p[sample, 0]
            torch.testing.assert_close(trade, torch.zeros_like(trade), rtol=0, atol=1e-6)
    assert gradient.abs().max() > 1e-3
    # An organ that is annotated and isn't there is a negative: here the trade-off is trained.
    losses_of_all = {
        "focal": focal_loss(logits.log_softmax(1), labels, valid, torch.tensor([0.1, 1.0, 8.0, 2.5])),
        "dice": dice_loss(logits.softmax(1), labels, valid),
    }
    (as_background,) = torch.autograd.grad(losses_of_all[term], logits)
    trade = as_background[0, 2] / p[0, 2] - as_background[0, 0] / p[0, 0]
    assert trade[valid[0]].abs().max() > 1e-3


@pytest.mark.parametrize("term", ["focal", "dice"])
def test_no_background_voxel_pushes_an_unannotated_organ_down(term):
    logits, labels, valid, _ = partly_annotated_case()
    logits.requires_grad_()
    marginal_losses(logits, labels, valid)[term].backward()
    background = (labels == 0) & valid
    assert (logits.grad[0, 2:][:, background[0]] <= 0).all()
    assert (logits.grad[1, 1][background[1]] <= 0).all()


def test_an_organ_without_annotation_in_one_sample_is_judged_by_the_others():
    labels = torch.tensor([[1, 0, 0, 0], [0, 0, 0, 0]]).view(2, 1, 2, 2)
    probabilities = torch.tensor([[0.4, 0.9, 0.9, 0.9], [0.1, 0.2, 0.3, 0.4]])
    probabilities = torch.stack([probabilities, 1 - probabilities], 1).view(2, 2, 1, 2, 2)
    annotated = torch.tensor([[True, True], [True, False]])
    dice = dice_loss(losses.merge_unannotated(probabilities.log(), annotated).exp(), labels, everywhere(labels))
    # Class 1: the first sample alone. Background: 3 voxels of the first sample and all 4 of the second, there q is 1.
    overlap, predicted = 3 * 0.9 + 4, 0.4 + 3 * 0.9 + 4
    assert dice.item() == pytest.approx((1 - 2 * 0.6 / (1 + 0.9)) + (1 - 2 * overlap / (7 + predicted)), rel=1e-4)


@pytest.mark.parametrize("size", [20.0, 1e4, 6e4])
def test_extreme_logits_of_unannotated_organs_give_finite_losses_and_gradients(size):
    logits, labels, valid, _ = partly_annotated_case()
    extreme = (logits.sign() * size).requires_grad_()
    loss = sum(marginal_losses(extreme, labels, valid).values())
    loss.backward()
    assert loss.isfinite()
    assert extreme.grad.isfinite().all()


def test_sol_and_sos_terms_of_an_unannotated_organ_vanish_with_their_gradients():
    target, _, valid, sigmas = heat_case()
    target, sigmas = target.repeat(1, 2, 1, 1, 1), sigmas.repeat(2, 1)
    annotated = torch.tensor([[True, False]])
    heat_logits = torch.randn_like(target).requires_grad_()
    heat = losses.heat_map_losses(heat_logits, target, annotated, valid, sigmas, annotated)
    alone = losses.heat_map_losses(heat_logits[:, :1], target[:, :1], annotated[:, :1], valid, sigmas[:1])
    torch.testing.assert_close(heat, alone)
    roi_logits = torch.randn(1, 6, requires_grad=True)
    roi_target, roi_valid = torch.tensor([[1.0, 0, 0, 0, 0, 0]]), torch.ones(1, 6, dtype=torch.bool)
    rois = losses.roi_losses(roi_logits, roi_target, roi_valid, [4, 2], torch.tensor([8.0, 2.0]), annotated)
    first = losses.roi_losses(roi_logits[:, :4], roi_target[:, :4], roi_valid[:, :4], [4], torch.tensor([8.0]))
    torch.testing.assert_close(rois, first)
    sum([*heat, *rois]).backward()
    assert heat_logits.grad[0, 0].all()
    assert not heat_logits.grad[0, 1].any()
    assert roi_logits.grad[0, :4].all()
    assert not roi_logits.grad[0, 4:].any()


def test_batch_in_which_no_small_organ_is_annotated_costs_nothing_in_sol_and_sos():
    target, _, valid, sigmas = heat_case()
    none = torch.zeros(1, 1, dtype=torch.bool)
    heat_logits, roi_logits = torch.randn_like(target), torch.randn(1, 6)
    heat = losses.heat_map_losses(heat_logits, target, none, valid, sigmas, none)
    rois = losses.roi_losses(
        roi_logits, torch.zeros(1, 6), torch.ones(1, 6, dtype=torch.bool), [6], torch.tensor([8.0]), none
    )
    assert [term.item() for term in (*heat, *rois)] == [0, 0, 0, 0]


# ---- heat maps ----

CENTRE, SIGMA = (4.0, 5.0, 6.0), (1.0, 1.5, 2.0)


def heat_case(size=(9, 11, 13), centre=CENTRE) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Target (1, 1, Z, Y, X), visible, valid, sigmas."""
    sigmas = torch.tensor([SIGMA])
    target = draw_heat_maps(torch.tensor([[centre]]), sigmas, size)
    return target, torch.ones(1, 1, dtype=torch.bool), torch.ones(1, *size, dtype=torch.bool), sigmas


def logit(probability: torch.Tensor) -> torch.Tensor:
    return torch.logit(probability, eps=1e-7)


def test_heat_map_loss_is_the_squared_error_over_the_mass_of_a_gaussian():
    target, visible, valid, sigmas = heat_case()
    heat_logits = torch.randn_like(target)
    error, _ = losses.heat_map_losses(heat_logits, target, visible, valid, sigmas)
    mass = math.pi**1.5 * math.prod(SIGMA)
    assert error.item() == pytest.approx(((heat_logits.sigmoid() - target) ** 2).sum().item() / mass, rel=1e-5)


def test_mass_is_the_sum_of_the_squared_target():
    target, visible, valid, sigmas = heat_case((31, 31, 31), (15.0, 15.0, 15.0))
    error, _ = losses.heat_map_losses(torch.full_like(target, -40.0), target, visible, valid, sigmas)
    assert error.item() == pytest.approx(1, rel=1e-3)  # an empty map costs the whole target, which is 1


def test_heat_map_loss_does_not_depend_on_the_patch_size():
    errors = []
    for margin in (0, 4, 12):
        size = tuple(int(n) + 2 * margin for n in (17, 21, 27))
        target, visible, valid, sigmas = heat_case(size, (8.0 + margin, 10.0 + margin, 13.0 + margin))
        error, _ = losses.heat_map_losses(torch.full_like(target, -30.0), target, visible, valid, sigmas)
        errors.append(error.item())
    assert errors == pytest.approx([errors[0]] * 3, rel=1e-3)


def test_empty_map_is_not_the_minimum():
    target, visible, valid, sigmas = heat_case()
    empty, _ = losses.heat_map_losses(torch.full_like(target, -30.0), target, visible, valid, sigmas)
    weak, _ = losses.heat_map_losses(logit(0.3 * target), target, visible, valid, sigmas)
    right, _ = losses.heat_map_losses(logit(target), target, visible, valid, sigmas)
    assert right.item() == pytest.approx(0, abs=1e-6)
    assert right < weak < empty


def test_sum_of_both_heat_map_terms_is_smallest_for_the_target_itself():
    target, visible, valid, sigmas = heat_case()

    def total(heat_logits: torch.Tensor) -> float:
        return sum(losses.heat_map_losses(heat_logits, target, visible, valid, sigmas)).item()

    right, empty, weak = total(logit(target)), total(torch.full_like(target, -30.0)), total(logit(0.7 * target))
    assert right < empty
    assert right < weak


def test_empty_map_is_right_for_an_organ_that_is_not_visible():
    target, _, valid, sigmas = heat_case()
    visible = torch.zeros(1, 1, dtype=torch.bool)
    heat_logits = torch.full_like(target, -30.0).requires_grad_()
    error, divergence = losses.heat_map_losses(heat_logits, target, visible, valid, sigmas)
    assert error.item() == pytest.approx(0, abs=1e-12)
    assert divergence.item() == 0


def test_gradient_moves_a_wrong_peak_to_the_right_place():
    target, visible, valid, sigmas = heat_case()
    away = draw_heat_maps(torch.tensor([[[1.0, 1.0, 1.0]]]), sigmas, (9, 11, 13))
    heat_logits = logit(away).clamp(min=-8).requires_grad_()
    optimizer = torch.optim.Adam([heat_logits], lr=0.5)
    for _ in range(60):
        optimizer.zero_grad()
        sum(losses.heat_map_losses(heat_logits, target, visible, valid, sigmas)).backward()
        optimizer.step()
    peak = heat_logits.detach().flatten().argmax()
    assert tuple(int(i) for i in torch.unravel_index(peak, (9, 11, 13))) == (4, 5, 6)
    assert heat_logits.detach().max().sigmoid() > 0.5


def test_each_heat_map_term_alone_raises_the_target_and_lowers_the_wrong_peak():
    target, visible, valid, sigmas = heat_case()
    for term in range(2):
        heat_logits = torch.full_like(target, -4.0)
        heat_logits[0, 0, 1, 1, 1] = 4.0
        heat_logits.requires_grad_()
        losses.heat_map_losses(heat_logits, target, visible, valid, sigmas)[term].backward()
        assert heat_logits.grad[0, 0, 4, 5, 6] < 0
        assert heat_logits.grad[0, 0, 1, 1, 1] > 0


def test_heat_map_terms_are_means_over_organs():
    target, _, valid, sigmas = heat_case()
    both, sigmas = target.repeat(1, 2, 1, 1, 1), sigmas.repeat(2, 1)
    heat_logits = torch.randn_like(both)
    singles = [
        losses.heat_map_losses(heat_logits[:, k : k + 1], target, torch.tensor([[seen]]), valid, sigmas[:1])
        for k, seen in enumerate([True, False])
    ]
    error, divergence = losses.heat_map_losses(heat_logits, both, torch.tensor([[True, False]]), valid, sigmas)
    torch.testing.assert_close(error, (singles[0][0] + singles[1][0]) / 2)
    torch.testing.assert_close(divergence, singles[0][1])  # of visible organs only


# ---- ROIs ----


def test_roi_losses_by_hand():
    # One sample, two organs: ROIs of 2 and 3 voxels, mean volumes 4 and 10 voxels.
    p = [0.5, 0.8, 0.1, 0.6, 0.3]
    target = [1.0, 0.0, 0.0, 1.0, 1.0]
    of_true = [0.5, 0.2, 0.9, 0.6, 0.3]
    focal = [-((1 - q) ** 2) * math.log(q) for q in of_true]
    expected_focal = (sum(focal[:2]) / 4 + sum(focal[2:]) / 10) / 2
    dice_1 = 1 - 2 * 0.5 / (1.3 + 1)
    dice_2 = 1 - 2 * (0.6 + 0.3) / (1.0 + 2)
    result = losses.roi_losses(
        torch.logit(torch.tensor([p])),
        torch.tensor([target]),
        torch.ones(1, 5, dtype=torch.bool),
        [2, 3],
        torch.tensor([4.0, 10.0]),
    )
    assert result[0].item() == pytest.approx(expected_focal, rel=1e-4)
    assert result[1].item() == pytest.approx((dice_1 + dice_2) / 2, rel=1e-4)


def test_roi_dice_counts_only_rois_that_hold_the_organ():
    logits = torch.randn(2, 6)
    target = torch.tensor([[1.0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]])
    valid = torch.ones(2, 6, dtype=torch.bool)
    _, dice = losses.roi_losses(logits, target, valid, [4, 2], torch.tensor([1.0, 1.0]))
    p = logits[0, :4].sigmoid()
    assert dice.item() == pytest.approx(1 - 2 * p[0].item() / (p.sum().item() + 1), rel=1e-4)


def test_rois_without_any_organ_have_no_dice_but_still_a_focal_loss():
    logits = torch.zeros(2, 6, requires_grad=True)
    valid = torch.ones(2, 6, dtype=torch.bool)
    focal, dice = losses.roi_losses(logits, torch.zeros(2, 6), valid, [4, 2], torch.tensor([8.0, 2.0]))
    assert dice.item() == 0
    per_voxel = 0.25 * math.log(2)
    assert focal.item() == pytest.approx((4 * per_voxel / 8 + 2 * per_voxel / 2) / 2, rel=1e-5)
    (focal + dice).backward()
    assert (logits.grad > 0).all()


def test_perfect_roi_answer_costs_nothing():
    target = torch.tensor([[1.0, 0, 0, 1, 1, 0]])
    focal, dice = losses.roi_losses(
        60 * (target - 0.5), target, torch.ones(1, 6, dtype=torch.bool), [3, 3], torch.tensor([1.0, 2.0])
    )
    assert focal.item() == pytest.approx(0, abs=1e-9)
    assert dice.item() == pytest.approx(0, abs=1e-5)


# ---- what holds for all of them ----


def all_losses(logits: torch.Tensor, labels: torch.Tensor, valid: torch.Tensor) -> dict[str, torch.Tensor]:
    """Every term, from logits (2, 4, 3, 4, 5); heat maps and ROIs read the first two channels."""
    weights, sigmas = torch.tensor([0.1, 1.0, 8.0, 2.5]), torch.tensor([[1.0, 1.0, 1.0], [0.5, 1.0, 2.0]])
    target = draw_heat_maps(torch.tensor([[[1.0, 1, 1], [2, 2, 2]], [[0, 0, 0], [1, 3, 4]]]), sigmas, (3, 4, 5))
    visible = torch.tensor([[True, True], [False, True]])
    log_p = logits.log_softmax(1)
    error, position = losses.heat_map_losses(logits[:, :2], target, visible, valid, sigmas)
    roi_target, roi_valid = (labels == 1).float().flatten(1).repeat(1, 2), valid.flatten(1).repeat(1, 2)
    roi_focal, roi_dice = losses.roi_losses(
        logits[:, :2].flatten(1), roi_target, roi_valid, [60, 60], torch.tensor([5.0, 9.0])
    )
    return {
        "focal": focal_loss(log_p, labels, valid, weights),
        "dice": dice_loss(log_p.exp(), labels, valid),
        "heat_map": error,
        "position": position,
        "roi_focal": roi_focal,
        "roi_dice": roi_dice,
    }


TERMS = ("focal", "dice", "heat_map", "position", "roi_focal", "roi_dice")


@pytest.mark.parametrize("term", TERMS)
def test_ignored_voxels_change_no_loss_and_get_no_gradient(term):
    logits, labels, valid, _ = random_case()
    labels = labels * valid  # ignored voxels have label 0
    changed = torch.where(valid[:, None], logits, 30 * torch.randn_like(logits)).requires_grad_()
    loss = all_losses(changed, labels, valid)[term]
    torch.testing.assert_close(loss, all_losses(logits, labels, valid)[term])
    loss.backward()
    ignored = ~valid[:, None].expand_as(logits)
    assert (changed.grad[ignored] == 0).all()
    assert changed.grad[~ignored].any()


@pytest.mark.parametrize("term", TERMS)
def test_all_voxels_ignored_cost_nothing(term):
    logits, labels, _, _ = random_case()
    logits.requires_grad_()
    loss = all_losses(logits, torch.zeros_like(labels), torch.zeros_like(labels, dtype=torch.bool))[term]
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert not logits.grad.any()


@pytest.mark.parametrize("size", [0.0, 20.0, 1e4, 6e4])
@pytest.mark.parametrize("term", TERMS)
def test_extreme_logits_give_finite_losses_and_gradients(size, term):
    logits, labels, valid, _ = random_case()
    extreme = (logits.sign() * size).requires_grad_()
    loss = all_losses(extreme, labels, valid)[term]
    loss.backward()
    assert loss.isfinite()
    assert extreme.grad.isfinite().all()
