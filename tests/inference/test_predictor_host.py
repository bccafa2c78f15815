"""What inference/host.py relies on in nnU-Net's predictor. A failure says what changed there."""

import inspect
import sys
from multiprocessing.pool import ThreadPool
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.inference import predict_from_raw_data as predictor_module
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.training.nnUNetTrainer import nnUNetTrainer as trainer_module
from test_predictor import PATCH, predictor_of, tiny_focusnet

from nnunetv2_focusnet.cli import predict as command
from nnunetv2_focusnet.inference.host import HostPredictor
from nnunetv2_focusnet.trainers.host import HostTrainer


class Recording(HostPredictor):
    """Writes down which hooks are called."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.calls: list[tuple] = []
        self.seen: list[torch.Tensor] = []

    def begin_tiles(self, device) -> None:
        self.calls.append(("begin", device))

    def predict_tile(self, x, tile):
        self.calls.append(("tile", tile))
        self.seen.append(x[0])
        return super().predict_tile(x, tile)

    def end_tiles(self) -> None:
        self.calls.append(("end",))

    def finish_case(self, output, properties) -> None:
        self.calls.append(("case", output, properties["name"]))


def test_tiles_come_in_order_between_their_beginning_and_end_and_nothing_changes() -> None:
    data, network = torch.randn(1, 4, 8, 13), tiny_focusnet()
    folds = [network.state_dict()] * 2
    expected = predictor_of(network, *folds, kind=nnUNetPredictor, mirror_axes=(0,))
    predictor = predictor_of(network, *folds, kind=Recording, mirror_axes=(0,))
    logits = predictor.predict_logits_from_preprocessed_data(data)
    assert torch.equal(logits, expected.predict_logits_from_preprocessed_data(data))
    # compute_steps_for_sliding_window: three tiles of 8 along 13 voxels, at most 4 apart
    tiles = [("tile", (slice(None), slice(0, 4), slice(0, 8), slice(x, x + 8))) for x in (0, 2, 5)]
    assert predictor.calls == [("begin", torch.device("cpu")), *tiles, ("end",)] * 2
    for (_, tile), x in zip(tiles * 2, predictor.seen, strict=True):
        assert torch.equal(x, data[tile])


def test_tiles_may_be_moved() -> None:
    class Moved(Recording):
        def place_tiles(self, tiles):
            return [(*tile[:3], slice(tile[3].start // 2 * 2, tile[3].start // 2 * 2 + 8)) for tile in tiles]

    predictor = predictor_of(tiny_focusnet(), kind=Moved)
    predictor.predict_logits_from_preprocessed_data(torch.randn(1, 4, 8, 12))
    assert [call[1][3].start for call in predictor.calls if call[0] == "tile"] == [0, 4]


def test_images_of_at_least_a_patch_are_not_padded_again() -> None:
    predictor = predictor_of(tiny_focusnet(), kind=Recording)
    predictor.predict_sliding_window_return_logits(torch.randn(1, 5, 8, 9))
    ends = [[part.stop for part in call[1][1:]] for call in predictor.calls if call[0] == "tile"]
    assert np.max(ends, 0).tolist() == [5, 8, 9]


def test_cases_are_finished_one_by_one_whatever_way_they_are_predicted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Preprocessor:
        def __init__(self, **_: Any) -> None: ...

        def run_case(self, images: list[str], *_: Any) -> tuple:
            return np.zeros((1, *PATCH), np.float32), None, {"name": Path(images[0]).name}

    exported = []
    monkeypatch.setattr(predictor_module, "export_prediction_from_logits", lambda *args: exported.append(args[5]))
    monkeypatch.setattr(
        predictor_module, "convert_predicted_logits_to_segmentation_with_correct_shape", lambda *args: None
    )
    monkeypatch.setattr(predictor_module.multiprocessing, "get_context", lambda _: SimpleNamespace(Pool=ThreadPool))
    predictor = predictor_of(tiny_focusnet(), kind=Recording)
    predictor.dataset_json = {"file_ending": ".nii.gz"}
    predictor.plans_manager.plans = {}
    predictor.configuration_manager.preprocessor_class = Preprocessor

    files = [["a_0000.nii.gz"], ["b_0000.nii.gz"]]
    outputs = [str(tmp_path / case) for case in "ab"]
    predictor.predict_from_files_sequential(files, outputs)
    cases = ({"data": torch.zeros(1, *PATCH), "ofile": o, "data_properties": {"name": o}} for o in (outputs[0], None))
    predictor.predict_from_data_iterator(cases)
    assert exported == [*outputs, outputs[0]]
    finished = [call[1:] for call in predictor.calls if call[0] == "case"]
    one_by_one = [(outputs[0], "a_0000.nii.gz"), (outputs[1], "b_0000.nii.gz"), (outputs[0], outputs[0]), (None, None)]
    assert finished == one_by_one
    assert [call[0] for call in predictor.calls] == ["begin", "tile", "end", "case"] * 4


def test_a_single_array_is_finished_after_its_export() -> None:
    parameters = list(inspect.signature(predictor_module.export_prediction_from_logits).parameters)
    assert parameters[5] == "output_file_truncated"
    source = inspect.getsource(nnUNetPredictor.predict_single_npy_array)
    assert "export_prediction_from_logits(predicted_logits, dct['data_properties']," in source


class MadeError(Exception):
    """Instead of a predictor."""


def refuse(*_: Any, **__: Any) -> None:
    raise MadeError


def test_command_makes_its_predictor_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("nnUNet_results", str(tmp_path))
    (tmp_path / "Dataset001_Heads").mkdir()
    arguments = ["-i", str(tmp_path), "-o", str(tmp_path / "out"), "-d", "1", "-c", "3d_fullres", "-device", "cpu"]
    monkeypatch.setattr(sys, "argv", ["nnUNetv2_focusnet_predict", *arguments])
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    monkeypatch.setattr(command, "FocusNetPredictor", refuse)
    with pytest.raises(SystemExit, match="unexpected MadeError"):
        command.main()
    assert predictor_module.nnUNetPredictor is nnUNetPredictor


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-part_id", "2"], "nnUNetv2_focusnet_predict: Do you even read"),  # nnU-Net's own words
        ([], r"nnUNetv2_focusnet_predict: .*dataset.json: No such file or directory$"),
    ],
)
def test_what_nnunet_refuses_is_refused_in_one_line(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("nnUNet_results", str(tmp_path))
    (tmp_path / "Dataset001_Heads").mkdir()
    required = ["-i", str(tmp_path), "-o", str(tmp_path / "out"), "-d", "1", "-c", "3d_fullres", "-device", "cpu"]
    monkeypatch.setattr(sys, "argv", ["nnUNetv2_focusnet_predict", *required, *arguments, "-f", "0"])
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    with pytest.raises(SystemExit, match=said) as end:
        command.main()
    assert "\n" not in str(end.value)


def test_results_folder_has_to_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("nnUNet_results", raising=False)
    monkeypatch.setattr(sys, "argv", ["nnUNetv2_focusnet_predict", "-d", "1"])
    with pytest.raises(SystemExit, match="nnUNetv2_focusnet_predict: nnUNet_results is not set"):
        command.main()


def test_final_validation_makes_its_predictor_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer: Any = object.__new__(HostTrainer)
    trainer.network = torch.nn.Identity()
    monkeypatch.setattr(trainer, "set_deep_supervision_enabled", lambda _: None, raising=False)
    trainer.is_ddp, trainer.device = False, torch.device("cpu")
    trainer.predictor = refuse
    with pytest.raises(MadeError):
        trainer.perform_actual_validation()
    assert trainer_module.nnUNetPredictor is nnUNetPredictor
