"""The networks that the paper compares with, trained, resumed and read again as nnU-Net does it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from small_trainers import FewBatches
from test_focusnet_trainer import log_of, run

from nnunetv2_focusnet.trainers.paper_networks import (
    AnatomyNetTrainer,
    DeepLabV3PlusTrainer,
    FatUNetTrainer,
    SEResUNetTrainer_CE,
)


@pytest.mark.parametrize(
    "trainer_class", [SEResUNetTrainer_CE, FatUNetTrainer, DeepLabV3PlusTrainer, AnatomyNetTrainer]
)
def test_trains_goes_on_and_predicts_from_its_folder(trainer_class: Any, make_trainer: Any) -> None:
    few_batches = type(trainer_class.__name__, (FewBatches, trainer_class), {"default_num_epochs": 1})
    run(make_trainer(few_batches))
    few_batches.default_num_epochs = 3
    trainer = make_trainer(few_batches)
    trainer.load_checkpoint(str(Path(trainer.output_folder) / "checkpoint_final.pth"))  # as with --c
    run(trainer)
    log = log_of(trainer)
    assert len(log["train_losses"]) == 3
    assert log["train_losses"][2] < log["train_losses"][0]
    assert set(log["stage"]) == {trainer_class.stage_name}
    assert {key.removeprefix("loss/") for key in log if key.startswith("loss/")} == set(trainer_class.loss_factors)

    predictor = nnUNetPredictor(use_gaussian=False, use_mirroring=False, device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(trainer.output_folder_base, (0,), "checkpoint_final.pth")
    image = trainer.batch()["data"][0]
    logits = predictor.predict_logits_from_preprocessed_data(image)
    with torch.no_grad():
        expected = trainer.network.eval()(image[None])[0]
    torch.testing.assert_close(logits.softmax(0).float(), expected.softmax(0), rtol=0, atol=2e-3)  # half precision
