import math
import os
import pickle
from collections.abc import Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn.parallel import DistributedDataParallel

from nnunetv2_focusnet.architectures.config import FocusNetConfig, PairsConfig, SNetConfig
from nnunetv2_focusnet.architectures.focusnet import PARTS, FocusNet, FocusNetOutput
from nnunetv2_focusnet.architectures.plans_unet import PlansUNet
from nnunetv2_focusnet.architectures.rois import Rois
from nnunetv2_focusnet.architectures.snet import SNet

SIZE = (4, 6, 8)
CLASSES, SMALL, LARGE = 5, (4, 2), [0, 1, 3]
LOGIT_OF_THRESHOLD = math.log(0.2 / 0.8)
ROI_SIZES = ((2, 4, 4), (4, 2, 6))
ROI_VOXELS = 2 * 4 * 4 + 4 * 2 * 6
PART_SETS = [("main",), ("sol",), ("sos",), PARTS]


def tiny_focusnet(roi_sizes: Sequence[tuple[int, int, int]] = ROI_SIZES, **kwargs) -> FocusNet:
    torch.manual_seed(0)
    sizes = SNetConfig(features_per_stage=(4, 4), dilations=((1, 1, 1),), n_blocks=1, **kwargs)
    config = FocusNetConfig(main=sizes, small_organs=SMALL, roi_sizes=tuple(roi_sizes))
    return FocusNet(SNet(1, CLASSES, sizes), config)


def tiny_on_unet(
    roi_sizes: Sequence[tuple[int, int, int]] = ROI_SIZES,
    deep_supervision: bool = False,
    gradient_to_main: float = 0.25,
    pairs: PairsConfig | None = None,
) -> FocusNet:
    """On a U-Net of three stages: SOL-Net at half resolution, narrow SOS-Nets that correct the U-Net's log-odds."""
    torch.manual_seed(0)
    strides, kernels = [[1, 1, 1], [2, 2, 2], [1, 1, 2]], [[3, 3, 3]] * 3
    unet = PlainConvUNet(
        *(1, 3, (4, 6, 6), nn.Conv3d, kernels, strides, 1, CLASSES, 1, True, nn.InstanceNorm3d, {"affine": True}),
        nonlin=nn.LeakyReLU,
        deep_supervision=deep_supervision,
    )
    config = FocusNetConfig(
        main=None,
        small_organs=SMALL,
        roi_sizes=tuple(roi_sizes),
        sol_level=1,
        sos_features=2,
        sos_blocks=1,
        sos_squeeze=True,
        sos_corrects_main=True,
        gradient_to_main=gradient_to_main,
        pairs=pairs,
    )
    network = FocusNet(PlansUNet(unet, 1), config)
    for net in network.sos:  # as after some training: at the beginning they correct nothing
        nn.init.normal_(net.head.weight)
    return network


def paired_on_unet() -> FocusNet:
    """Both organs share a SOS-Net."""
    pairs = PairsConfig(organs=((0, 1),), mirror_axis=2)
    return tiny_on_unet(((2, 4, 4), (2, 4, 4)), deep_supervision=True, pairs=pairs)


NETWORKS = pytest.mark.parametrize("make_network", [tiny_focusnet, tiny_on_unet])
TRAINED_AS = pytest.mark.parametrize(
    "make_network", [tiny_focusnet, partial(tiny_on_unet, deep_supervision=True), paired_on_unet]
)


def image(batch: int = 2, size: tuple[int, int, int] = SIZE) -> torch.Tensor:
    return torch.randn(batch, 1, *size, generator=torch.Generator().manual_seed(1))


def force_heat(network: FocusNet, bias: float, spread: float = 0.0) -> None:
    """Heat maps of known height: logits ``bias``, and ``spread`` times what the features say."""
    with torch.no_grad():
        network.sol.head.weight.mul_(spread)
        network.sol.head.bias.fill_(bias)


def total(output: FocusNetOutput) -> torch.Tensor:
    """A loss that depends on every voxel of everything that can have a gradient."""
    main = output.main_logits if isinstance(output.main_logits, list) else [output.main_logits]
    parts = [part for part in [*main, *output[1:3]] if part is not None and part.requires_grad]
    return torch.stack(
        [(part.float() * torch.linspace(-1, 1, part.numel()).view(part.shape)).sum() for part in parts]
    ).sum()


# ---- training ----


@pytest.mark.parametrize(
    ("parts", "heat", "sos"),
    [
        (("main",), False, False),
        (("sol",), True, False),
        (("main", "sol"), True, False),
        (("sos",), True, True),
        (PARTS, True, True),
    ],
)
def test_training_gives_what_the_parts_need(parts, heat, sos):
    network = tiny_focusnet()
    network.train_parts(parts)
    output = network(image())
    assert isinstance(output, FocusNetOutput)
    assert output.main_logits.shape == (2, CLASSES, *SIZE)
    assert (None if output.heat_logits is None else output.heat_logits.shape) == ((2, 2, *SIZE) if heat else None)
    assert (None if output.roi_logits is None else output.roi_logits.shape) == ((2, ROI_VOXELS) if sos else None)
    assert (None if output.rois is None else output.rois.corners.shape) == ((2, 2, 3) if sos else None)


def test_roi_corners_surround_the_peaks():
    network = tiny_focusnet()
    force_heat(network, 0.0, spread=5.0)
    output = network(image())
    for b in range(2):
        for k, size in enumerate(ROI_SIZES):
            heat_map = output.heat_logits[b, k].detach().numpy()
            peak = np.unravel_index(heat_map.argmax(), heat_map.shape)
            expected = [min(max(p - s // 2, 0), n - s) for p, s, n in zip(peak, size, SIZE, strict=True)]
            assert output.rois.corners[b, k].tolist() == expected


@pytest.mark.parametrize("parts", PART_SETS)
def test_only_the_parts_named_get_gradients(parts):
    network = tiny_focusnet()
    network.train_parts(parts)
    total(network(image())).backward()
    for name, parameter in network.named_parameters():
        assert (parameter.grad is not None) == (name.split(".")[0] in parts), name


@pytest.mark.parametrize("parts", PART_SETS[:3])
def test_frozen_parts_do_not_change_bit_for_bit(parts):
    network = tiny_focusnet()
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1, weight_decay=0.5)
    for trained in (PARTS, parts):  # the optimiser has momentum for all parts when the stage starts
        network.train_parts(trained)
        before = deepcopy(network.state_dict())
        for _ in range(2):
            optimizer.zero_grad()
            total(network(image())).backward()
            optimizer.step()
    for name, value in network.named_parameters():
        changed = not torch.equal(value, before[name])
        frozen = name.split(".")[0] not in parts
        assert changed != frozen or not value.any(), name


def test_sos_loss_reaches_the_heat_map_when_all_is_trained():
    network = tiny_focusnet()
    network(image()).roi_logits.square().sum().backward()
    assert network.sol.head.weight.grad.abs().sum() > 0
    assert network.main.encoder.residual[0][0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("part", ["heat_logits", "roi_logits"])
def test_only_a_share_of_the_small_organs_gradient_reaches_the_main_network(part):
    gradients = []
    for share in (1.0, 0.25):
        network = tiny_on_unet(gradient_to_main=share)
        output = network(image())
        getattr(output, part).square().sum().backward()
        # Not into what classifies: what the SOS-Nets read of the main network's logits passes no gradient on.
        assert all(p.grad is None for p in network.decoder.seg_layers.parameters())
        gradients.append({name: p.grad for name, p in network.named_parameters() if p.grad is not None})
    whole, shared = gradients
    assert any(name.startswith("main.unet.encoder") for name in whole)
    for name, gradient in whole.items():
        torch.testing.assert_close(shared[name], 0.25 * gradient if name.startswith("main") else gradient)


@TRAINED_AS
def test_bfloat16_autocast_step_is_finite(make_network):
    network = make_network()
    with torch.autocast("cpu", torch.bfloat16):
        loss = total(network(image()))
    loss.backward()
    assert loss.isfinite()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


# ---- inference ----


def fused_by_hand(network: FocusNet, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities by slices, loops and the closed form, and which organs (B, K) are detected."""
    features = network.main.features(x)
    main = network.main.classify(features.decoder).double()
    coarse = network.sol(features.decoder[network.config.sol_level]).sigmoid()
    stride = [n // m for n, m in zip(x.shape[2:], coarse.shape[2:], strict=True)]
    heat_maps = coarse.repeat_interleave(stride[0], 2).repeat_interleave(stride[1], 3).repeat_interleave(stride[2], 4)
    odds = torch.full((len(x), len(SMALL), *x.shape[2:]), math.nan, dtype=torch.float64)  # outside ROIs
    for b in range(len(x)):
        for k, size in enumerate(network.config.roi_sizes):
            heat_map = heat_maps[b, k].numpy()
            coarse_peak = np.unravel_index(coarse[b, k].numpy().argmax(), coarse.shape[2:])
            peak = [p * s + s // 2 for p, s in zip(coarse_peak, stride, strict=True)]
            sizes = [min(s, n) for s, n in zip(size, heat_map.shape, strict=True)]
            corner = [int(min(max(p - s // 2, 0), n - s)) for p, s, n in zip(peak, sizes, heat_map.shape, strict=True)]
            box = tuple(slice(c, c + s) for c, s in zip(corner, sizes, strict=True))
            whole = [features.decoder[0][b], features.encoder[b], x[b], heat_maps[b, k : k + 1]]
            own = torch.zeros_like(main[b, 0])
            if network.config.sos_corrects_main:  # from the main network's own log-odds, cut at e^4
                own = torch.logit(main[b].softmax(0)[SMALL[k]]).clamp(-4, 4)
                whole.append(own[None].float())
            pooled = torch.cat([volume[(slice(None), *box)] for volume in whole])
            odds[b, k][box] = (own[box] + network.sos[k](pooled[None])[0, 0].double()).exp()
    detected = heat_maps.amax((2, 3, 4)) > 0.2
    probabilities = torch.empty_like(main)
    for b in range(len(x)):
        found = [k for k in range(len(SMALL)) if detected[b, k]]
        others = LARGE + [SMALL[k] for k in range(len(SMALL)) if k not in found]
        # Outside its ROI an organ is e^-10 as likely as the likeliest large one.
        outside = main[b, LARGE].amax(0).exp() / main[b, others].exp().sum(0) * math.exp(-10)
        odds[b] = torch.where(odds[b].isnan(), outside, odds[b])
        rest = 1 / (1 + odds[b, found].sum(0))
        probabilities[b, [SMALL[k] for k in found]] = odds[b, found] * rest
        probabilities[b, others] = main[b, others].softmax(0) * rest
    return probabilities, detected


@pytest.mark.parametrize(
    ("size", "roi_sizes"),
    [
        (SIZE, ROI_SIZES),
        ((8, 10, 12), ROI_SIZES),  # not the size of a training patch
        (SIZE, ((20, 4, 4), (4, 30, 60))),  # ROIs larger than the image
        ((2, 4, 4), ROI_SIZES),  # smaller than both ROIs
    ],
)
@NETWORKS
@torch.no_grad()
def test_fused_probabilities_by_hand(make_network, size, roi_sizes):
    network = make_network(roi_sizes).eval()
    force_heat(network, 0.5, spread=2.0)
    x = image(3, size)
    expected, detected = fused_by_hand(network, x)
    fused = network(x)
    assert detected.any()
    assert fused.shape == (3, CLASSES, *size)
    torch.testing.assert_close(fused.softmax(1).double(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("organs", [[0], [1], [1, 0]])
@torch.no_grad()
def test_one_side_or_both_in_any_order_are_segmented_as_in_the_whole(organs: list[int]) -> None:
    network, x = paired_on_unet().eval(), image()
    network.decoder.deep_supervision = False
    parts = network.parts(x)
    rois = Rois.at(parts.rois.corners[:, organs], [parts.rois.sizes[k] for k in organs], SIZE)
    expected = parts.rois.split(parts.roi_logits[:, None])
    for k, part in zip(organs, rois.split(network.segment_at(x, rois, organs)[:, None]), strict=True):
        torch.testing.assert_close(part, expected[k])


def labelled() -> torch.Tensor:
    """An image with both small organs, and its labels as a further channel."""
    labels = torch.zeros(2, 1, *SIZE)
    labels[:, :, 1:3, 1:3, 1:3] = SMALL[0]
    labels[:, :, 1:3, 3:5, 5:7] = SMALL[1]
    return torch.cat([image(), labels], 1)


@torch.no_grad()
def test_steps_train_the_organs_of_a_pair_in_turns() -> None:
    network = paired_on_unet()
    steps = [network(labelled()) for _ in range(4)]
    assert [step.organs for step in steps] == [[0], [1], [0], [1]]
    assert [network(image()).organs for _ in range(2)] == [[0], [1]]  # where the organs aren't known, too
    network.eval().decoder.deep_supervision = False
    for step, corner in zip(steps, ([1, 0, 0], [1, 2, 4]), strict=False):  # of 2 x 4 x 4 voxels around the organs
        assert step.rois.corners.tolist() == [[corner]] * 2
        torch.testing.assert_close(step.roi_logits, network.segment_at(image(), step.rois, step.organs))
    assert list(network.parts(image()).organs) == [0, 1]


@torch.no_grad()
def test_organs_without_a_partner_are_trained_in_every_step() -> None:
    network = tiny_focusnet()
    assert [network(labelled()).organs for _ in range(2)] == [[0, 1]] * 2


@pytest.mark.usefixtures("fresh_compiler")
def test_steps_of_pairs_compile_for_either_side_without_graph_break() -> None:
    network = paired_on_unet()
    twin = deepcopy(network)
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(twin, backend=counter, fullgraph=True)
    for _ in range(6):
        torch.testing.assert_close(compiled(labelled()).roi_logits, network(labelled()).roi_logits)
    assert counter.frame_count == 2


@torch.no_grad()
def test_organs_are_detected_sample_by_sample():
    network = tiny_focusnet().eval()
    x = image(4)
    force_heat(network, 0.0, spread=1.0)
    network(x)
    logits = torch.logit(network.located[0])
    force_heat(
        network, LOGIT_OF_THRESHOLD - logits.median().item(), spread=1.0
    )  # half of the organs lie below the threshold
    expected, detected = fused_by_hand(network, x)
    assert detected.any()
    assert not detected.all()
    fused = network(x)
    torch.testing.assert_close(fused.softmax(1).double(), expected, rtol=0, atol=1e-5)
    for b, k in (~detected).nonzero().tolist():
        assert torch.equal(fused[b, SMALL[k]], network.main(x)[b, SMALL[k]])


@torch.no_grad()
def test_below_the_threshold_the_answer_is_that_of_s_net():
    network = tiny_focusnet().eval()
    force_heat(network, LOGIT_OF_THRESHOLD - 0.01)
    assert torch.equal(network(image()), network.main(image()))
    force_heat(network, LOGIT_OF_THRESHOLD + 0.01)
    fused, main = network(image()), network.main(image())
    assert torch.equal(fused[:, LARGE], main[:, LARGE])
    assert not torch.equal(fused, main)


@torch.no_grad()
def test_until_the_sos_nets_are_trained_the_answer_is_that_of_s_net():
    network = tiny_focusnet().eval()
    force_heat(network, 4.0)
    assert not torch.equal(network(image()), network.main(image()))
    network.sos_trained.fill_(False)
    assert torch.equal(network(image()), network.main(image()))


@NETWORKS
@torch.no_grad()
def test_organs_of_which_the_sos_net_has_no_share_are_the_main_networks(make_network):
    network, x = make_network().eval(), image()
    force_heat(network, 4.0)
    network.sos_shares.zero_()
    assert torch.equal(network(x), network.seen.main_logits)
    network.sos_shares[1] = 1.0
    fused, main = network(x), network.seen.main_logits
    assert torch.equal(fused[:, SMALL[0]], main[:, SMALL[0]])
    assert not torch.equal(fused[:, SMALL[1]], main[:, SMALL[1]])


@NETWORKS
@torch.no_grad()
def test_half_a_share_is_the_mean_of_both_log_odds(make_network):
    network, x = make_network().eval(), image()
    force_heat(network, 4.0)
    network.sos_shares.copy_(torch.tensor([1.0, 0.0]))  # one organ alone, so that none competes with it
    alone, main = network(x), network.seen.main_logits
    network.sos_shares[0] = 0.5
    log_odds = [torch.logit(logits.double().softmax(1)[:, SMALL[0]]) for logits in (alone, main, network(x))]
    rois = network.seen.rois
    of_sos, of_main, of_both = (rois.gather(values[:, None])[:, 0, : math.prod(ROI_SIZES[0])] for values in log_odds)
    torch.testing.assert_close(of_both, (of_sos + of_main) / 2, rtol=0, atol=1e-4)
    assert not torch.allclose(of_sos, of_main, atol=1e-2)


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("parts", PART_SETS)
@torch.no_grad()
def test_freezing_does_not_change_predictions(parts, trained):
    network = tiny_focusnet().eval()
    force_heat(network, 4.0)
    network.sos_trained.fill_(trained)
    before = network(image())
    network.train_parts(parts)
    assert torch.equal(network(image()), before)
    assert network.sos_trained.item() == trained


@pytest.mark.parametrize(
    ("parts", "used"), [(("main",), {"main"}), (("main", "sol"), {"main", "sol"}), (PARTS, set(PARTS))]
)
@torch.no_grad()
def test_predictions_run_no_part_that_is_not_trained_yet(parts: tuple[str, ...], used: set[str]):
    network, ran = tiny_focusnet().eval(), set()
    network.predict_with(parts)
    for part, module in (("main", network.main.encoder), ("sol", network.sol), ("sos", network.sos[0])):
        module.register_forward_hook(lambda *_, part=part: ran.add(part))
    force_heat(network, 0.9)
    fused = network(image(2))
    assert ran == used
    assert (network.located is not None) == ("sol" in used)
    assert torch.equal(fused, network.main(image(2))) != ("sos" in used)


@pytest.mark.parametrize("trained", [True, False])
@torch.no_grad()
def test_weights_carry_whether_the_sos_nets_are_trained(trained):
    network, other = tiny_focusnet(), tiny_focusnet()
    force_heat(network, 4.0)
    network.sos_trained.fill_(trained)
    other.sos_trained.fill_(not trained)
    other.load_state_dict(network.state_dict())
    assert other.sos_trained.item() == trained
    assert torch.equal(other.eval()(image()), network.eval()(image()))


@torch.no_grad()
def test_deep_supervision_puts_fused_logits_before_the_coarser_ones():
    network = tiny_on_unet(deep_supervision=True).eval()
    force_heat(network, 4.0)
    fused, coarse = network(image())
    network.decoder.deep_supervision = False
    assert torch.equal(fused, network(image()))
    assert coarse.shape == (2, CLASSES, 2, 3, 4)
    network.decoder.deep_supervision = True
    output = network.train()(image())
    assert [tuple(z.shape) for z in output.main_logits] == [(2, CLASSES, *SIZE), (2, CLASSES, 2, 3, 4)]
    assert output.heat_logits.shape == (2, 2, 2, 3, 4)
    assert output.roi_logits.shape == (2, ROI_VOXELS)


@NETWORKS
@torch.no_grad()
def test_inference_leaves_where_the_heat_maps_have_their_peaks(make_network):
    network = make_network()
    force_heat(network, 0.0, spread=5.0)
    for x in (image(), -image()):
        heat_maps = network.train()(x).heat_logits.sigmoid().numpy()
        stride = np.array(SIZE) // heat_maps.shape[2:]
        network.eval()(x)
        peaks, positions = network.located
        assert peaks.shape == (2, 2)
        for b in range(2):
            for k in range(2):
                highest = np.array(np.unravel_index(heat_maps[b, k].argmax(), heat_maps.shape[2:]))
                assert peaks[b, k].item() == pytest.approx(heat_maps[b, k].max(), rel=1e-6)
                assert positions[b, k].tolist() == (highest * stride + (stride - 1) / 2).tolist()  # its middle


@torch.no_grad()
def test_peak_of_a_saturated_heat_map_is_where_its_logit_is_highest():
    network = tiny_focusnet().eval()
    force_heat(network, 40.0, spread=1.0)  # in float32 the sigmoid is 1 everywhere, in half precision from 9 on
    heat_logits = network.sol(network.main.features(image()).decoder[0])
    assert (heat_logits.sigmoid() == 1).all()
    network(image())
    expected = [[np.unravel_index(m.argmax(), SIZE) for m in sample] for sample in heat_logits.numpy()]
    assert network.located[1].tolist() == np.array(expected).tolist()


@NETWORKS
@torch.no_grad()
def test_inference_in_double_precision(make_network):
    network = make_network().eval()
    force_heat(network, 4.0)
    fused = network(image())
    in_double = network.double()(image().double())
    assert in_double.dtype == torch.float64
    torch.testing.assert_close(in_double.float(), fused, rtol=1e-4, atol=1e-4)


@NETWORKS
@torch.no_grad()
def test_inference_under_autocast(make_network):
    network = make_network().eval()
    force_heat(network, 4.0)
    with torch.autocast("cpu", torch.bfloat16):
        fused = network(image())
    assert fused.dtype == torch.bfloat16
    torch.testing.assert_close(fused.float().softmax(1), network(image()).softmax(1), rtol=0, atol=0.1)


# ---- what nnU-Net and Python do with networks ----


def test_feature_map_size_by_hand():
    full, roi = 4 * 6 * 8, ROI_VOXELS
    sol = 2 * (2 * 4 * full + (2 + 4)) + 2 * full  # two blocks without convolution in the skip, two heat maps
    sos = 2 * 2 * 4 * roi + 4 * roi + roi + 2 * 2 * (2 + 4)  # the first block's skip has one
    network = tiny_focusnet()
    expected = network.main.compute_conv_feature_map_size(SIZE) + sol + sos
    assert network.compute_conv_feature_map_size(SIZE) == expected


def test_feature_map_size_is_that_of_a_real_forward_and_changes_nothing():
    network = tiny_focusnet(stride=(1, 2, 2))
    real = deepcopy(network).eval()
    sizes: list[int] = []
    for module in real.modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
            module.register_forward_hook(lambda _module, _args, output: sizes.append(output.numel()))
    real(image(1))
    before = deepcopy(network.state_dict())
    assert network.compute_conv_feature_map_size(SIZE) == sum(sizes)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("copy", [deepcopy, lambda network: pickle.loads(pickle.dumps(network))])
@torch.no_grad()
def test_copies_are_equal_and_apart(copy):
    network = tiny_focusnet().eval()
    force_heat(network, 4.0)
    twin = copy(network)
    fused = network(image())
    assert torch.equal(twin(image()), fused)
    twin.sos_trained.fill_(False)
    assert torch.equal(network(image()), fused)


def test_output_can_be_pickled():
    output = FocusNetOutput(torch.ones(1), None, torch.zeros(2))
    again = pickle.loads(pickle.dumps(output))
    assert isinstance(again, FocusNetOutput)
    assert torch.equal(again.main_logits, output.main_logits)
    assert torch.equal(again.roi_logits, output.roi_logits)
    assert again.heat_logits is None
    assert again.rois is None


@pytest.fixture
def fresh_compiler():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize("parts", PART_SETS)
@TRAINED_AS
def test_compiles_for_training_without_graph_break(make_network, parts):
    network = make_network()
    network.train_parts(parts)
    twin = deepcopy(network)
    eager = network(image())
    compiled = torch.compile(twin, backend="aot_eager", fullgraph=True)(image())
    assert (compiled.rois is None) == (eager.rois is None)
    if eager.rois is not None:
        assert torch.equal(compiled.rois.corners, eager.rois.corners)
        assert torch.equal(compiled.rois.indices, eager.rois.indices)
    for part, expected in zip(compiled[:3], eager[:3], strict=True):
        if isinstance(expected, list):
            torch.testing.assert_close(part, expected)
            continue
        assert (part is None) == (expected is None)
        if expected is not None:
            assert part.requires_grad == expected.requires_grad
            torch.testing.assert_close(part, expected)
    total(eager).backward()
    total(compiled).backward()
    for (name, parameter), expected in zip(twin.named_parameters(), network.parameters(), strict=True):
        assert (parameter.grad is None) == (expected.grad is None), name
        if expected.grad is not None:
            torch.testing.assert_close(parameter.grad, expected.grad, rtol=1e-3, atol=1e-3, msg=name)


@pytest.mark.usefixtures("fresh_compiler")
@NETWORKS
@torch.no_grad()
def test_compiles_for_inference_without_graph_break(make_network):
    network = make_network().eval()
    force_heat(network, 0.5, spread=2.0)
    expected = network(image())
    peaks, voxels = network.located
    network.seen = None
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
    for _ in range(2):
        torch.testing.assert_close(compiled(image()), expected)
        torch.testing.assert_close(network.located[0], peaks)
        assert torch.equal(network.located[1], voxels)


@pytest.mark.usefixtures("fresh_compiler")
@torch.no_grad()
def test_compiles_for_any_batch_and_image_size():
    """As nnU-Net compiles: from the second size on with sizes that may change."""
    network = tiny_focusnet().eval()
    force_heat(network, 0.5, spread=2.0)
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    for batch, size in [(2, SIZE), (3, (8, 8, 10))]:
        torch.testing.assert_close(compiled(image(batch, size)), network(image(batch, size)))


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed")
def test_no_unused_parameters_when_ddp_is_wrapped_anew_for_each_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Two steps of each stage, as DDP complains when the second begins; and with a wrapper older than its stage."""
    network = tiny_focusnet()
    optimizer = torch.optim.AdamW(network.parameters())

    def step_twice(wrapped: DistributedDataParallel) -> None:
        for _ in range(2):
            optimizer.zero_grad()
            total(wrapped(image())).backward()
            optimizer.step()

    if "GLOO_SOCKET_IFNAME" not in os.environ:
        monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")  # a name of this machine that nobody resolves would stop it
    rendezvous = f"file://{tmp_path / 'rendezvous'}"
    torch.distributed.init_process_group("gloo", init_method=rendezvous, rank=0, world_size=1)
    try:
        for parts in PART_SETS:
            network.train_parts(parts)
            wrapped = DistributedDataParallel(network, find_unused_parameters=False)
            step_twice(wrapped)
        network.train_parts(("main",))
        with pytest.raises(RuntimeError, match="Expected to have finished reduction"):
            step_twice(wrapped)
    finally:
        torch.distributed.destroy_process_group()
