import pytest
import torch

from nnunetv2_focusnet.architectures import fusion
from nnunetv2_focusnet.architectures.rois import Rois

VOLUME = [4, 6, 8]
SIZES = [[2, 4, 4], [4, 2, 6], [3, 3, 3]]
SMALL, LARGE = (1, 4, 3), [0, 2, 5]  # not in order: organ k belongs to channel SMALL[k]
ALL = torch.ones(2, 3, dtype=torch.bool)


def random_case(seed: int, scale: float = 3.0) -> tuple[torch.Tensor, torch.Tensor, Rois]:
    """Main logits (2, 6, 4, 6, 8), ROI logits (2, N) and ROIs at random, often overlapping."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.stack([torch.randint(0, v, (2, 3), generator=generator) for v in VOLUME], -1)
    rois = Rois.around(centres, SIZES, VOLUME)
    roi_logits = scale * torch.randn(2, sum(rois.voxels), generator=generator)
    return scale * torch.randn(2, 6, *VOLUME, generator=generator), roi_logits, rois


def whole_volume(channels: int) -> Rois:
    """ROIs of ``channels`` organs that each fill the volume."""
    return Rois.around(torch.zeros(2, channels, 3, dtype=torch.long), [VOLUME] * channels, VOLUME)


def in_volume(main: torch.Tensor, roi_logits: torch.Tensor, rois: Rois) -> tuple[torch.Tensor, torch.Tensor]:
    """SOS logits (2, 3, 4, 6, 8) where all organs are detected, by slices and loops, and which voxels are in ROIs."""
    large = main.double()[:, LARGE]
    organs = (large.amax(1, keepdim=True) - 10 - large.logsumexp(1, keepdim=True)).repeat(1, 3, 1, 1, 1)
    inside = torch.zeros_like(organs, dtype=torch.bool)
    for k, part in enumerate(rois.split(roi_logits[:, None])):
        for b, corner in enumerate(rois.corners[:, k].tolist()):
            box = (b, k, *(slice(c, c + s) for c, s in zip(corner, rois.sizes[k], strict=True)))
            organs[box], inside[box] = part[b, 0].double(), True
    return organs, inside


def fuse(main: torch.Tensor, roi_logits: torch.Tensor, rois: Rois, detected: torch.Tensor = ALL) -> torch.Tensor:
    return fusion.fuse_(main.clone(), roi_logits, rois, SMALL, detected, torch.ones(len(SMALL)), outside=-10.0)


def closed_form(main: torch.Tensor, roi_logits: torch.Tensor, rois: Rois) -> torch.Tensor:
    """Probabilities of the fused label map in float64, from the formula for probabilities instead of logits."""
    odds = in_volume(main, roi_logits, rois)[0].exp()
    probabilities = torch.empty_like(main, dtype=torch.float64)
    rest = 1 / (1 + odds.sum(1, keepdim=True))
    probabilities[:, list(SMALL)] = odds * rest
    probabilities[:, LARGE] = main.double()[:, LARGE].softmax(1) * rest
    return probabilities


@pytest.mark.parametrize("scale", [0.1, 3.0, 8.0])
@pytest.mark.parametrize("seed", range(5))
def test_softmax_is_the_closed_form(seed, scale):
    case = random_case(seed, scale)
    fused = fuse(*case)
    assert fused.dtype == torch.float32
    torch.testing.assert_close(fused.softmax(1).double(), closed_form(*case), rtol=0, atol=1e-5)


def test_softmax_is_the_closed_form_where_all_rois_coincide():
    main, *_ = random_case(0)
    case = main, 3 * torch.randn(2, 3 * 4 * 6 * 8), whole_volume(3)
    torch.testing.assert_close(fuse(*case).softmax(1).double(), closed_form(*case), rtol=0, atol=1e-5)


def test_one_organ_has_the_probability_of_its_own_network():
    main = torch.randn(1, 3, 2, 2, 2)
    organ = torch.linspace(-6, 6, 8)[None]
    rois = Rois.around(torch.zeros(1, 1, 3, dtype=torch.long), [[2, 2, 2]], [2, 2, 2])
    fused = fusion.fuse_(
        main.clone(), organ, rois, [2], torch.ones(1, 1, dtype=torch.bool), torch.ones(1), outside=-10.0
    )
    torch.testing.assert_close(fused.softmax(1)[:, 2].flatten(1), organ.sigmoid())


def test_large_classes_keep_their_logits():
    main, *rest = random_case(1)
    assert torch.equal(fuse(main, *rest)[:, LARGE], main[:, LARGE])


def test_detected_organ_is_absent_outside_its_roi():
    main, roi_logits, rois = random_case(2)
    main[:, SMALL] = 50.0  # S-Net sees the organs everywhere
    roi_logits = torch.full_like(roi_logits, 4.0)
    probability = fuse(main, roi_logits, rois).softmax(1)[:, list(SMALL)]
    _, inside = in_volume(main, roi_logits, rois)
    assert not inside.all()
    assert probability[~inside].max() < 1e-4
    assert probability[inside].min() > 0.3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_without_a_detected_organ_the_answer_is_bit_for_bit_the_main_network_s(dtype):
    main, roi_logits, rois = random_case(3)
    main = main.to(dtype)
    fused = fuse(main, roi_logits.to(dtype), rois, torch.zeros(2, 3, dtype=torch.bool))
    assert fused.dtype == dtype
    assert torch.equal(fused, main)


def test_undetected_organ_keeps_the_main_network_s_logits_beside_detected_ones():
    main, roi_logits, rois = random_case(4)
    organs, inside = in_volume(main, roi_logits, rois)
    detected = torch.tensor([[True, False, True], [False, True, False]])
    fused = fuse(main, roi_logits, rois, detected)
    for b in range(2):
        others = LARGE + [channel for k, channel in enumerate(SMALL) if not detected[b, k]]
        lse = main[b, others].double().exp().sum(0).log()
        for k, channel in enumerate(SMALL):
            if detected[b, k]:
                expected = torch.where(inside[b, k], lse + organs[b, k], main[b, LARGE].amax(0).double() - 10)
                torch.testing.assert_close(fused[b, channel].double(), expected, rtol=0, atol=1e-5)
            else:
                assert torch.equal(fused[b, channel], main[b, channel])


def test_undetected_organ_gains_nothing_where_the_main_network_sees_a_detected_one():
    # background, spinal cord, brainstem: S-Net is sure of the cord, and so is the cord's own network
    main = torch.tensor([0.0005, 0.99, 0.0095]).log().view(1, 3, 1, 1, 1)
    rois = Rois.around(torch.zeros(1, 2, 3, dtype=torch.long), [[1, 1, 1]] * 2, [1, 1, 1])
    detected = torch.tensor([[True, False]])
    fused = fusion.fuse_(
        main.clone(), torch.tensor([[2.0, -10.0]]), rois, [1, 2], detected, torch.ones(2), outside=-10.0
    )
    probability = fused.softmax(1).flatten()
    cord = 1 / (1 + 2.718281828**-2)
    assert probability.tolist() == pytest.approx([0.05 * (1 - cord), cord, 0.95 * (1 - cord)])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("main_size", [3e4, 6e4, 65504.0])
@pytest.mark.parametrize("organ_size", [10.0, 3e4, 6e4])
def test_half_precision_stays_finite(dtype, main_size, organ_size):
    main, roi_logits, rois = random_case(5, 1.0)
    main = (main.sign() * main_size).to(dtype)
    roi_logits = (roi_logits.sign() * organ_size).to(dtype)
    assert main.isfinite().all()
    fused = fuse(main, roi_logits, rois)
    assert fused.dtype == dtype
    assert fused.isfinite().all()
    assert fused.float().softmax(1).isfinite().all()


def test_half_precision_does_not_overflow_where_all_large_classes_are_at_its_limit():
    main = torch.full((2, 6, *VOLUME), 65504.0, dtype=torch.float16)
    fused = fuse(main, torch.full((2, 3 * 4 * 6 * 8), 65504.0, dtype=torch.float16), whole_volume(3))
    assert torch.equal(fused, main)


def test_half_precision_keeps_the_probabilities_of_usual_logits():
    main, roi_logits, rois = random_case(6, 2.0)
    fused = fuse(main.half(), roi_logits.half(), rois).float().softmax(1).double()
    torch.testing.assert_close(fused, closed_form(main, roi_logits, rois), rtol=0, atol=0.02)


def test_double_precision_stays_double():
    main, roi_logits, rois = random_case(7)
    case = main.double(), roi_logits.double(), rois
    fused = fuse(*case)
    assert fused.dtype == torch.float64
    torch.testing.assert_close(fused.softmax(1), closed_form(*case), rtol=0, atol=1e-6)
