import pytest
import torch

from nnunetv2_focusnet.architectures import fusion
from nnunetv2_focusnet.architectures.rois import Rois

VOLUME = [4, 6, 8]
SIZES = [[2, 4, 4], [4, 2, 6], [3, 3, 3]]
SMALL, LARGE = (1, 4, 3), [0, 2, 5]  # not in order: organ k belongs to channel SMALL[k]
ALL = torch.ones(2, 3, dtype=torch.bool)


def paste(roi_logits: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    return Rois.around(centres, SIZES, VOLUME).paste(roi_logits, outside=-10.0)


def random_case(seed: int, scale: float = 3.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Main logits (2, 6, 4, 6, 8) and organ logits (2, 3, 4, 6, 8) of ROIs at random, often overlapping."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.stack([torch.randint(0, v, (2, 3), generator=generator) for v in VOLUME], -1)
    voxels = sum(z * y * x for z, y, x in SIZES)
    roi_logits = scale * torch.randn(2, voxels, generator=generator)
    return scale * torch.randn(2, 6, *VOLUME, generator=generator), paste(roi_logits, centres)


def closed_form(main: torch.Tensor, organs: torch.Tensor) -> torch.Tensor:
    """Probabilities of the fused label map in float64, from the formula for probabilities instead of logits."""
    odds = organs.double().exp()
    probabilities = torch.empty_like(main, dtype=torch.float64)
    rest = 1 / (1 + odds.sum(1, keepdim=True))
    probabilities[:, list(SMALL)] = odds * rest
    probabilities[:, LARGE] = main.double()[:, LARGE].softmax(1) * rest
    return probabilities


@pytest.mark.parametrize("scale", [0.1, 3.0, 8.0])
@pytest.mark.parametrize("seed", range(5))
def test_softmax_is_the_closed_form(seed, scale):
    main, organs = random_case(seed, scale)
    fused = fusion.fuse(main, organs, SMALL, ALL)
    assert fused.dtype == torch.float32
    torch.testing.assert_close(fused.softmax(1).double(), closed_form(main, organs), rtol=0, atol=1e-5)


def test_softmax_is_the_closed_form_where_all_rois_coincide():
    main, _ = random_case(0)
    organs = 3 * torch.randn(2, 3, *VOLUME)
    fused = fusion.fuse(main, organs, SMALL, ALL)
    torch.testing.assert_close(fused.softmax(1).double(), closed_form(main, organs), rtol=0, atol=1e-5)


def test_one_organ_has_the_probability_of_its_own_network():
    main = torch.randn(1, 3, 2, 2, 2)
    organ = torch.linspace(-6, 6, 8).view(1, 1, 2, 2, 2)
    probability = fusion.fuse(main, organ, [2], torch.ones(1, 1, dtype=torch.bool)).softmax(1)
    torch.testing.assert_close(probability[:, 2:], organ.sigmoid())


def test_large_classes_keep_their_logits():
    main, organs = random_case(1)
    assert torch.equal(fusion.fuse(main, organs, SMALL, ALL)[:, LARGE], main[:, LARGE])


def test_detected_organ_is_absent_outside_its_roi():
    main, _ = random_case(2)
    main[:, SMALL] = 50.0  # S-Net sees the organs everywhere
    organs = paste(torch.full((2, sum(z * y * x for z, y, x in SIZES)), 4.0), torch.zeros(2, 3, 3, dtype=torch.long))
    probability = fusion.fuse(main, organs, SMALL, ALL).softmax(1)[:, list(SMALL)]
    outside = organs == -10
    assert outside.any()
    assert probability[outside].max() < 1e-4
    assert probability[~outside].min() > 0.3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_without_a_detected_organ_the_answer_is_bit_for_bit_the_main_network_s(dtype):
    main, organs = random_case(3)
    main = main.to(dtype)
    fused = fusion.fuse(main, organs.to(dtype), SMALL, torch.zeros(2, 3, dtype=torch.bool))
    assert fused.dtype == dtype
    assert torch.equal(fused, main)


def test_undetected_organ_keeps_the_main_network_s_logits_beside_detected_ones():
    main, organs = random_case(4)
    detected = torch.tensor([[True, False, True], [False, True, False]])
    fused = fusion.fuse(main, organs, SMALL, detected)
    for b in range(2):
        others = LARGE + [channel for k, channel in enumerate(SMALL) if not detected[b, k]]
        lse = main[b, others].double().exp().sum(0).log()
        for k, channel in enumerate(SMALL):
            if detected[b, k]:
                torch.testing.assert_close(fused[b, channel].double(), lse + organs[b, k].double(), rtol=0, atol=1e-5)
            else:
                assert torch.equal(fused[b, channel], main[b, channel])


def test_undetected_organ_gains_nothing_where_the_main_network_sees_a_detected_one():
    # background, spinal cord, brainstem: S-Net is sure of the cord, and so is the cord's own network
    main = torch.tensor([0.0005, 0.99, 0.0095]).log().view(1, 3, 1, 1, 1)
    organs = torch.tensor([2.0, -10.0]).view(1, 2, 1, 1, 1)
    probability = fusion.fuse(main, organs, [1, 2], torch.tensor([[True, False]])).softmax(1).flatten()
    cord = 1 / (1 + 2.718281828**-2)
    assert probability.tolist() == pytest.approx([0.05 * (1 - cord), cord, 0.95 * (1 - cord)])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("main_size", [3e4, 6e4, 65504.0])
@pytest.mark.parametrize("organ_size", [10.0, 3e4, 6e4])
def test_half_precision_stays_finite(dtype, main_size, organ_size):
    main, organs = random_case(5, 1.0)
    main = (main.sign() * main_size).to(dtype)
    organs = (organs.sign() * organ_size).to(dtype)
    assert main.isfinite().all()
    fused = fusion.fuse(main, organs, SMALL, ALL)
    assert fused.dtype == dtype
    assert fused.isfinite().all()
    assert fused.float().softmax(1).isfinite().all()


def test_half_precision_does_not_overflow_where_all_large_classes_are_at_its_limit():
    main = torch.full((2, 6, *VOLUME), 65504.0, dtype=torch.float16)
    fused = fusion.fuse(main, torch.full((2, 3, *VOLUME), 65504.0, dtype=torch.float16), SMALL, ALL)
    assert torch.equal(fused, main)


def test_half_precision_keeps_the_probabilities_of_usual_logits():
    main, organs = random_case(6, 2.0)
    fused = fusion.fuse(main.half(), organs.half(), SMALL, ALL).float().softmax(1).double()
    torch.testing.assert_close(fused, closed_form(main, organs), rtol=0, atol=0.02)


def test_double_precision_stays_double():
    main, organs = random_case(7)
    fused = fusion.fuse(main.double(), organs.double(), SMALL, ALL)
    assert fused.dtype == torch.float64
    torch.testing.assert_close(fused.softmax(1), closed_form(main, organs), rtol=0, atol=1e-6)
