"""Cases with organs that nobody annotated, in FocusNetTrainer and SNetTrainer, run as nnU-Net runs them."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from small_trainers import SmallSNetTrainer

from nnunetv2_focusnet.organs.plans_entry import PlansEntry

LENS_L, LENS_R = 4, 5
ALL = set(range(1, 10))
CASES = ("Head_000", "Head_001")  # of every batch


@pytest.fixture
def annotate(project: Path) -> Any:
    """A function that says which labels a case has annotated, and takes the others out of its label file."""

    def annotate_case(case: str, annotated: set[int]) -> None:
        label_file = project / "gt_segmentations" / f"{case}.nii.gz"
        image = sitk.ReadImage(str(label_file))
        labels = sitk.GetArrayFromImage(image)
        kept = sitk.GetImageFromArray(np.where(np.isin(labels, list(annotated)), labels, 0))
        kept.CopyInformation(image)
        sitk.WriteImage(kept, str(label_file))
        dataset = json.loads((project / "dataset.json").read_text())
        names = [name for name, label in dataset["labels"].items() if label in annotated]
        dataset.setdefault("focusnet", {}).setdefault("annotated", {})[case] = names
        (project / "dataset.json").write_text(json.dumps(dataset))

    return annotate_case


def batch_without(trainer: Any, sample: int, *labels: int) -> dict[str, Any]:
    """A batch whose sample, of the case with the same number, lacks the labels."""
    batch = type(trainer).batch(trainer)
    target = batch["target"][sample]
    target[torch.isin(target, torch.tensor(labels))] = 0
    return batch


class AlwaysTheSame(torch.nn.Module):
    """A network with one answer: each class in a row of its own along z, for every sample and voxel of the patch."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer = torch.arange(x.shape[2], device=x.device).view(-1, 1, 1).expand(x.shape[2:]).clamp(max=9)
        return 10.0 * torch.nn.functional.one_hot(answer, 10).movedim(-1, 0).float().expand(len(x), -1, -1, -1, -1)


def test_trains_through_all_stages(make_trainer: Any, annotate: Any) -> None:
    annotate(CASES[1], ALL - {LENS_L, 9})
    trainer = make_trainer()
    trainer.batch = lambda: batch_without(trainer, 1, LENS_L, 9)
    trainer.run_training()
    log = trainer.logger.local_logger.my_fantastic_logging
    assert all(math.isfinite(loss) for loss in log["train_losses"])
    assert log["train_losses"][1] < log["train_losses"][0]
    plans = json.loads((Path(trainer.output_folder_base) / "plans.json").read_text())
    organs = PlansEntry.of(plans["configurations"]["3d_fullres"]).organs
    assert [organ.num_cases for organ in organs] == [4 if organ.label in (LENS_L, 9) else 5 for organ in organs]


def test_loss_knows_what_the_cases_of_each_batch_have_annotated(make_trainer: Any, annotate: Any) -> None:
    annotate(CASES[1], ALL - {LENS_L, LENS_R})
    trainer = make_trainer()
    trainer.on_train_start()
    expected = [[True] * 10, [label not in (LENS_L, LENS_R) for label in range(10)]]
    batch = batch_without(trainer, 1, LENS_L, LENS_R)
    for mode, step in ((True, trainer.train_step), (False, trainer.validation_step)):
        trainer.network.train(mode)
        step(batch)
        assert trainer.loss.annotated.tolist() == expected
        step(trainer.batch() | {"keys": ["Head_002", "Head_003"]})
        assert trainer.loss.annotated is None


def test_annotated_side_of_a_pair_is_known_after_a_flip(make_trainer: Any, annotate: Any) -> None:
    annotate(CASES[1], ALL - {LENS_R})
    trainer = make_trainer()
    trainer.on_train_start()
    assert trainer.left_right.laterality.axis == 2
    for flipped, unannotated in ((False, LENS_R), (True, LENS_L)):
        for absent in ((unannotated,), (LENS_L, LENS_R)):  # the annotated side is in the patch, or isn't
            trainer.train_step(batch_without(trainer, 1, *absent) | {"flipped": [False, flipped]})
            assert trainer.loss.annotated[1].tolist() == [label != unannotated for label in range(10)]
            assert trainer.loss.annotated[0].all()


@pytest.mark.parametrize("ignored_rows", [0, 3])
def test_online_dice_does_not_count_what_is_not_annotated(
    make_trainer: Any, annotate: Any, project: Path, ignored_rows: int
) -> None:
    annotate(CASES[1], ALL - {LENS_L})
    if ignored_rows:
        dataset = json.loads((project / "dataset.json").read_text())
        dataset["labels"]["ignore"] = 10
        (project / "dataset.json").write_text(json.dumps(dataset))
    trainer = make_trainer(SmallSNetTrainer)
    trainer.on_train_start()
    trainer.network = AlwaysTheSame()
    batch = batch_without(trainer, 1, LENS_L)
    batch["target"][:, :, :, :ignored_rows] = 10
    result = trainer.validation_step(batch)
    # A class fills a row of 32 x 32 voxels; each organ has 4 x 3 x 4 voxels in rows 4 to 7, those of class 4 to 7.
    row = (32 - ignored_rows) * 32
    hit = np.array([12 if 4 <= label <= 7 else 0 for label in range(1, 10)])
    size = np.array([48] * 9)
    predicted = np.array([row] * 8 + [7 * row])  # the last class fills all rows that are left
    expected = {"tp": 2 * hit, "fp": 2 * (predicted - hit), "fn": 2 * (size - hit)}
    for key, of_lens in (("tp", 12), ("fp", row - 12), ("fn", 36)):
        expected[key][LENS_L - 1] = of_lens  # of the first sample alone
    assert {key: result[f"{key}_hard"].tolist() for key in expected} == {k: v.tolist() for k, v in expected.items()}


def test_online_dice_counts_an_organ_that_is_annotated_and_absent(make_trainer: Any, annotate: Any) -> None:
    annotate(CASES[1], ALL)
    trainer = make_trainer(SmallSNetTrainer)
    trainer.on_train_start()
    trainer.network = AlwaysTheSame()
    result = trainer.validation_step(batch_without(trainer, 1, LENS_L))
    assert result["fp_hard"][LENS_L - 1] == 2 * 32 * 32 - 12


def test_localisation_is_not_measured_where_an_organ_is_not_annotated(make_trainer: Any, annotate: Any) -> None:
    annotate(CASES[1], ALL - {LENS_L})
    trainer = make_trainer()
    trainer.on_train_start()
    trainer.current_epoch = 2
    trainer.network.eval()
    result = trainer.validation_step(batch_without(trainer, 1, LENS_L))
    lens = [organ.label for organ in trainer.small_organs].index(LENS_L)
    for key in ("localisation_error_mm", "detection_rate"):
        assert np.isfinite(result[key][0]).all()
        assert np.isnan(result[key][1]).nonzero()[0].tolist() == [lens]


def test_label_file_that_contradicts_dataset_json_stops_before_training(make_trainer: Any, project: Path) -> None:
    dataset = json.loads((project / "dataset.json").read_text())
    (project / "dataset.json").write_text(json.dumps(dataset | {"focusnet": {"annotated": {CASES[1]: ["Brain"]}}}))
    trainer = make_trainer()
    with pytest.raises(ValueError, match=r"Head_001\.nii\.gz holds ") as error:
        trainer.initialize()
    assert "\n" not in str(error.value)
