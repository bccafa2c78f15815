"""How far organs have been learned, and what the loss makes of it."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from small_trainers import SmallFocusNetTrainer, SmallPlansNetworkTrainer

from nnunetv2_focusnet.losses.modules import SegmentationLoss
from nnunetv2_focusnet.trainers.learned import how_far_learned


def test_an_average_of_04_is_the_beginning_and_07_the_end() -> None:
    # The average of a constant DSC d over n epochs is d * (1 - 0.9^n).
    after_20 = [(d * (1 - 0.9**20) - 0.4) / 0.3 for d in (0.6, 0.7)]
    learned = how_far_learned(np.array([[0.2, 0.6, 0.7, 0.95]] * 20))
    np.testing.assert_allclose(learned[1:], [0, *after_20, 1], atol=1e-9)
    np.testing.assert_allclose(learned[0], (sum(after_20) + 1) / 4, atol=1e-9)  # the background's


def test_nothing_is_learned_before_the_first_epoch() -> None:
    assert how_far_learned(np.empty((0, 3))).tolist() == [0] * 4


def test_epochs_without_an_organ_leave_it_as_it_was() -> None:
    with_gaps = np.array([[0.9], [math.nan]] * 15)
    assert how_far_learned(with_gaps).tolist() == how_far_learned(np.array([[0.9]] * 15)).tolist()


def test_an_organ_that_never_was_there_is_as_learned_as_the_others() -> None:
    with_one_unseen = np.array([[0.9, 0.2, math.nan]] * 60)
    np.testing.assert_allclose(how_far_learned(with_one_unseen), [0.5, 1, 0, 0.5])


def test_an_organ_lost_again_gets_its_weight_back() -> None:
    assert how_far_learned(np.array([[0.9]] * 30 + [[0.0]] * 30))[1] == 0


def test_weights_go_to_1_as_organs_are_learned() -> None:
    logits, labels = torch.zeros(1, 3, 1, 1, 3), torch.tensor([[[[[0, 1, 2]]]]])
    logits[0, 2] = 1.0
    loss = SegmentationLoss([0.5, 1.0, 100.0])
    p = logits[0, :, 0, 0, :].softmax(0).diagonal()
    each = (1 - p) ** 2 * -p.log()

    def focal(weights: list[float]) -> float:
        return float((torch.tensor(weights) * each).sum() / sum(weights))

    def measured(learned: list[float]) -> float:
        loss.learned.copy_(torch.tensor(learned))
        return float(loss.segmentation_terms(logits, labels)["focal"])

    assert math.isclose(measured([0, 0, 0]), focal([0.5, 1, 100]), rel_tol=1e-5)
    assert math.isclose(measured([0, 0, 0.5]), focal([0.5, 1, 10]), rel_tol=1e-5)
    assert math.isclose(measured([1, 1, 1]), focal([1, 1, 1]), rel_tol=1e-5)


def test_a_trainer_reads_it_from_its_log_also_of_a_resumed_run(make_trainer: Any) -> None:
    trainer = make_trainer(SmallPlansNetworkTrainer)
    trainer.on_train_start()
    organs = len(trainer.entry.organs)
    for epoch in range(30):
        trainer.local_log.log("dice_per_class_or_region", [0.9] * (organs - 1) + [0.1], epoch)
        trainer.local_log.log("organs_there", [True] * organs, epoch)
    trainer.current_epoch = 30
    trainer.on_train_epoch_start()
    assert trainer.loss.learned.tolist() == [pytest.approx((organs - 1) / organs)] + [1.0] * (organs - 1) + [0.0]


def test_what_only_a_sos_net_has_found_the_main_network_has_yet_to_learn(make_trainer: Any) -> None:
    trainer = make_trainer(SmallPlansNetworkTrainer)
    trainer.on_train_start()
    small = [organ.label for organ in trainer.small_organs]
    # Of 10 voxels the SOS-Nets overlap 9, their mean with the main network 5, the main network alone none.
    counts = [[[float(overlap)] * len(small), [10.0] * len(small)] for overlap in (9, 5, 0)]
    for epoch in range(30):
        trainer.local_log.log("dice_per_class_or_region", [0.9] * len(trainer.entry.organs), epoch)
        trainer.local_log.log("organs_there", [True] * len(trainer.entry.organs), epoch)
        trainer.local_log.log("voxels_by_share", counts, epoch)
    trainer.current_epoch = 30
    trainer.on_train_epoch_start()
    learned = trainer.loss.learned[1:].tolist()
    assert learned == [0.0 if organ.label in small else 1.0 for organ in trainer.entry.organs]


def test_false_voxels_in_epochs_without_the_organ_dont_count(make_trainer: Any) -> None:
    trainer = make_trainer(SmallPlansNetworkTrainer)
    trainer.on_train_start()
    organs = len(trainer.entry.organs)
    there, absent = np.full(organs, 9), np.zeros(organs, int)
    for epoch in range(40):  # in every other epoch no patch has an organ, and one voxel of each is predicted
        trainer.current_epoch = epoch
        tp, fp = (there, absent) if epoch % 2 else (absent, there // 9)
        counts = {"voxels_by_share": np.array([[tp, (2 * tp + fp) / 2]] * 3)[..., : len(trainer.small_organs)]}
        judged = {"tp_hard": tp, "fp_hard": fp, "fn_hard": absent, "loss": np.float32(1)}
        trainer.on_validation_epoch_end([judged | counts])
    trainer.current_epoch = 40
    trainer.on_train_epoch_start()
    assert trainer.loss.learned.tolist() == [1.0] * (organs + 1)


def test_the_papers_weights_stay(make_trainer: Any) -> None:
    trainer = make_trainer(SmallFocusNetTrainer)
    trainer.on_train_start()
    trainer.local_log.log("dice_per_class_or_region", [0.9] * len(trainer.entry.organs), 0)
    trainer.current_epoch = 1
    trainer.on_train_epoch_start()
    assert not trainer.loss.learned.any()
