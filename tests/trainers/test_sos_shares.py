"""How much each organ's SOS-Net counts: by what it, the main network and their mean overlapped in validation."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_trainers import SmallPlansNetworkTrainer
from test_focusnet_trainer import log_of, run

from nnunetv2_focusnet.architectures.config import FocusNetConfig, SNetConfig
from nnunetv2_focusnet.architectures.focusnet import FocusNet, FocusNetOutput
from nnunetv2_focusnet.architectures.rois import Rois
from nnunetv2_focusnet.architectures.snet import SNet
from nnunetv2_focusnet.trainers.sos_shares import SHARES, best_shares, count_voxels, dice_by_share, find_dead

SIZE = (2, 2, 4)


def seen_by(network: FocusNet, main: torch.Tensor, sos: torch.Tensor) -> FocusNetOutput:
    """An image of 16 voxels in which one organ, class 1, was found for certain, its ROI the whole image."""
    centre = torch.tensor([[[1, 1, 2]]])
    rois = Rois.around(centre, network.config.roi_sizes, SIZE)
    return FocusNetOutput(main, torch.zeros(1, 1, *SIZE), sos, rois, peaks=torch.full((1, 1), 9.0), centres=centre)


@pytest.fixture
def network() -> FocusNet:
    sizes = SNetConfig(features_per_stage=(2, 2), dilations=((1, 1, 1),), n_blocks=1)
    return FocusNet(SNet(1, 2, sizes), FocusNetConfig(main=sizes, small_organs=(1,), roi_sizes=(SIZE,)))


def test_voxels_of_each_answer_by_hand(network: FocusNet) -> None:
    # The organ is in voxels 0 to 3. The SOS-Net finds 0 to 5, the main network 2 and 3 and, with less certainty, 8 to
    # 15; the mean of both log-odds is above 0 where one is more certain than the other denies it.
    labels = torch.zeros(16, dtype=torch.long)
    labels[:4] = 1
    sos = torch.full((16,), -3.0)
    sos[:6] = 3.0
    main = torch.full((16,), -1.0)
    main[2:4], main[8:] = 2.0, 1.0
    logits = torch.stack([torch.zeros(16), main]).view(1, 2, *SIZE)
    everywhere = torch.ones(1, *SIZE, dtype=torch.bool)
    counts = count_voxels(network, seen_by(network, logits, sos[None]), labels.view(1, *SIZE), everywhere)
    # overlap, and half of 4 voxels + the predicted ones: SOS-Net 6, mean 6 (3 - 1 > 0, 1 - 3 < 0), main network 10
    assert counts[:, :, 0].tolist() == [[4, 5], [4, 5], [2, 7]]
    half = everywhere.clone()
    half[..., 1, :, :] = False  # voxels 8 to 15 don't count
    counts = count_voxels(network, seen_by(network, logits, sos[None]), labels.view(1, *SIZE), half)
    assert counts[:, :, 0].tolist() == [[4, 5], [4, 5], [2, 3]]
    not_annotated = torch.tensor([[False]])
    missed = seen_by(network, logits, sos[None])._replace(peaks=torch.full((1, 1), -9.0))
    assert count_voxels(network, missed, labels.view(1, *SIZE), everywhere)[:, :, 0].tolist() == [[2, 7]] * 3
    assert not count_voxels(
        network, seen_by(network, logits, sos[None]), labels.view(1, *SIZE), half, not_annotated
    ).any()


def test_counts_are_those_of_fused_predictions() -> None:
    sizes = SNetConfig(features_per_stage=(2, 2), dilations=((1, 1, 1),), n_blocks=1)
    config = FocusNetConfig(main=sizes, small_organs=(1, 3), roi_sizes=((2, 4, 4), (2, 4, 4)))
    network, size = FocusNet(SNet(1, 4, sizes), config), (2, 8, 8)
    torch.manual_seed(0)
    main, sos, labels = torch.randn(2, 4, *size), torch.randn(2, 64), torch.randint(4, (2, *size))
    centres = torch.tensor([[[1, 2, 2], [1, 6, 6]]] * 2)  # apart
    seen = FocusNetOutput(main, None, sos, network.rois_around(centres, size), torch.full((2, 2), 9.0), centres)
    counts = count_voxels(network, seen, labels, torch.ones_like(labels, dtype=torch.bool))
    for share, of_share in zip(SHARES, counts, strict=True):
        network.sos_shares.fill_(share)
        predicted = network.fuse(seen).argmax(1)
        for organ, (overlap, volume) in zip((1, 3), of_share.T, strict=True):
            found, there = predicted == organ, labels == organ
            assert overlap == (found & there).sum() > 0
            assert volume == (found.sum() + there.sum()) / 2


def of_one_epoch(*pairs: tuple[float, float]) -> np.ndarray:
    """Counts of one organ with the three shares."""
    return np.array(pairs, dtype=float)[:, :, None]


def test_dice_is_that_of_the_last_epochs_together() -> None:
    old, new = of_one_epoch((0, 9), (9, 9), (9, 9)), of_one_epoch((3, 4), (2, 4), (1, 4))
    # ten epochs count in a short training, a tenth of a long one, and never the first half
    np.testing.assert_allclose(dice_by_share([*[old] * 11, *[new] * 10], 40)[:, 0], [0.75, 0.5, 0.25])
    np.testing.assert_allclose(dice_by_share([*[old] * 21, *[new] * 19], 200)[:, 0], [57 / 85, 47 / 85, 28 / 85])
    np.testing.assert_allclose(dice_by_share([old, old, new, new], 40)[:, 0], [0.75, 0.5, 0.25])


def test_the_best_answer_is_taken_and_of_equal_ones_the_sos_nets() -> None:
    dice = np.array([[0.8, 0.5, 0.0, math.nan], [0.7, 0.6, 0.4, math.nan], [0.8, 0.5, 0.5, math.nan]])
    assert best_shares(dice) == [1.0, 0.5, 0.0, 1.0]


def test_where_the_organ_never_was_who_draws_nothing_is_best() -> None:
    dice = np.array([[math.nan, 0.0, 0.0], [0.0, math.nan, 0.0], [0.0, math.nan, math.nan]])
    assert best_shares(dice) == [1.0, 0.5, 0.0]


def test_dead_is_a_sos_net_that_answers_nothing_where_the_main_network_does() -> None:
    dice = np.array([[0.02, 0.02, 0.5, math.nan], [0.3, 0.02, 0.5, math.nan], [0.63, 0.03, 0.9, math.nan]])
    assert find_dead(dice, ["nerve", "nobody's", "fine", "absent"]) == ["nerve"]


def counts_of(trainer: Any, *overlaps: float) -> list[dict[str, np.ndarray]]:
    """What a validation of one batch finds: the same overlaps of 9 voxels for every organ."""
    organs = len(trainer.small_organs)
    return [{"voxels_by_share": np.array([[[overlap] * organs, [9.0] * organs] for overlap in overlaps])}]


def test_a_dead_sos_net_is_overruled_and_named_once(make_trainer: Any) -> None:
    trainer = make_trainer(SmallPlansNetworkTrainer)
    trainer.on_train_start()
    organs = len(trainer.small_organs)
    for epoch in range(15):
        trainer.current_epoch = epoch
        trainer._choose_shares(counts_of(trainer, 0.0, 1.0, 6.0))
    assert trainer.network.sos_shares.tolist() == [0.0] * organs
    log = Path(trainer.log_file).read_text()
    assert "0.00/0.11/0.67 (main network)" in log
    assert log.count("answers next to nothing") == organs  # once they have had ten epochs to begin


def test_a_checkpoint_holds_what_was_chosen_and_why(make_trainer: Any) -> None:
    trainer = run(make_trainer(SmallPlansNetworkTrainer))
    trainer.current_epoch = trainer.num_epochs
    trainer._choose_shares(counts_of(trainer, 0.0, 9e9, 0.0))
    file = Path(trainer.output_folder) / "checkpoint_latest.pth"
    trainer.save_checkpoint(str(file))
    resumed = make_trainer(SmallPlansNetworkTrainer)
    resumed.initialize()
    resumed.load_checkpoint(str(file))
    assert resumed.network.sos_shares.tolist() == [0.5] * len(trainer.small_organs)
    assert log_of(resumed)["voxels_by_share"] == log_of(trainer)["voxels_by_share"]


def test_ignored_voxels_count_for_nobody(make_trainer: Any, project: Path) -> None:
    file = project / "dataset.json"
    content = json.loads(file.read_text())
    content["labels"] |= {"ignore": max(content["labels"].values()) + 1}
    file.write_text(json.dumps(content))
    trainer = make_trainer(SmallPlansNetworkTrainer)
    trainer.on_train_start()
    trainer.on_train_epoch_start()
    trainer.network.eval()
    batch = trainer.batch()
    for target in batch["target"]:
        target.fill_(trainer.label_manager.ignore_label)
    counts = trainer.validation_step(batch)["voxels_by_share"]
    assert not counts.any()
    assert trainer.network.seen is None  # it would keep the logits of a batch from one validation to the next
