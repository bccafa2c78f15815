"""What inference/host.py relies on in nnU-Net's predictor. A failure says what changed there."""

import contextlib
import inspect
import os
import sys
import threading
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
from nnunetv2_focusnet.inference.host_export import HostExport
from nnunetv2_focusnet.trainers.host import HostTrainer

NAMES_OF_EXPORTS = ("export_prediction_from_logits", "convert_predicted_logits_to_segmentation_with_correct_shape")


class Recording(HostPredictor):
    """Writes down which hooks are called."""

    meets: threading.Barrier | None = None
    """Where one predictor waits for another one before it hands out its export."""

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

    def check_folder(self, folder) -> None:
        self.calls.append(("folder", folder))

    def check_inputs(self, files) -> None:
        self.calls.append(("inputs", *map(str, files)))

    def export(self):
        self.calls.append(("export",))
        if self.meets is not None:
            with contextlib.suppress(threading.BrokenBarrierError):
                self.meets.wait(timeout=0.2)
        return RecordingExport(self.calls.append)


class RecordingExport(HostExport):
    """Writes down what nnU-Net has it do."""

    def __init__(self, record: Any) -> None:
        self.record = record

    def write(self, logits, properties, configuration, plans, dataset_json, output, *args) -> None:
        self.record(("write", properties["name"], output, *args))

    def convert(self, logits, plans, configuration, labels, properties, return_probabilities=False) -> str:
        self.record(("convert", properties["name"], return_probabilities))
        return f"labels of {properties['name']}"


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


class Preprocessor:
    """In place of nnU-Net's."""

    def __init__(self, **_: Any) -> None: ...

    def run_case(self, images: list[str], *_: Any) -> tuple:
        return np.zeros((1, *PATCH), np.float32), None, {"name": Path(images[0]).name}

    def run_case_npy(self, image: np.ndarray, segmentation: None, properties: dict, *_: Any) -> tuple:
        return image, None, properties


@pytest.fixture
def recording() -> Recording:
    predictor = predictor_of(tiny_focusnet(), kind=Recording)
    predictor.dataset_json = {"file_ending": ".nii.gz"}
    predictor.plans_manager.plans = {}
    predictor.configuration_manager.preprocessor_class = Preprocessor
    return predictor


def test_cases_are_exported_by_the_hook_whatever_way_they_are_predicted(
    recording: Recording, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(predictor_module.multiprocessing, "get_context", lambda _: SimpleNamespace(Pool=ThreadPool))
    by_nnunet = [getattr(predictor_module, name) for name in NAMES_OF_EXPORTS]
    files, outputs = [["a_0000.nii.gz"], ["b_0000.nii.gz"]], [str(tmp_path / case) for case in "ab"]
    recording.predict_from_files_sequential(files, outputs)
    cases = ({"data": torch.zeros(1, *PATCH), "ofile": o, "data_properties": {"name": n}} for o, n in
             ((outputs[0], "c"), (None, "d")))  # fmt: skip
    results = recording.predict_from_data_iterator(cases)
    assert results == [None, "labels of d"]
    array = np.zeros((1, *PATCH), np.float32)
    recording.predict_single_npy_array(array, {"name": "e"}, None, outputs[1])
    assert recording.predict_single_npy_array(array, {"name": "f"}) == "labels of f"
    exports = [call for call in recording.calls if call[0] in ("write", "convert")]
    assert exports == [
        ("write", "a_0000.nii.gz", outputs[0], False),
        ("write", "b_0000.nii.gz", outputs[1], False),
        ("write", "c", outputs[0], False),
        ("convert", "d", False),
        ("write", "e", outputs[1], False),
        ("convert", "f", False),
    ]
    # each of the six by an export of its own, made when its logits were there
    assert [call[0] for call in recording.calls if call[0] in ("end", "export")] == ["end", "export"] * 6
    assert [getattr(predictor_module, name) for name in NAMES_OF_EXPORTS] == by_nnunet


def test_logits_alone_export_nothing(recording: Recording) -> None:
    recording.predict_logits_from_preprocessed_data(torch.zeros(1, *PATCH))
    assert [call[0] for call in recording.calls] == ["begin", "tile", "end"]


def test_inputs_are_checked_before_the_first_is_predicted(recording: Recording, tmp_path: Path) -> None:
    recording.configuration_manager.previous_stage_name = "3d_lowres"
    files = [["a_0000.nii.gz", "a_0001.nii.gz"], ["b_0000.nii.gz", "b_0001.nii.gz"]]
    recording._manage_input_and_output_lists(files, str(tmp_path), "low")
    recording._manage_input_and_output_lists(files, str(tmp_path))
    previous = [os.path.join("low", f"{case}.nii.gz") for case in "ab"]
    names = [name for case in files for name in case]
    assert recording.calls == [("inputs", *names, *previous), ("inputs", *names)]
    recording.calls.clear()
    (tmp_path / "a_0000.nii.gz").touch()
    recording._manage_input_and_output_lists(str(tmp_path), str(tmp_path))
    assert recording.calls == [("folder", tmp_path), ("inputs", str(tmp_path / "a_0000.nii.gz"))]


def test_predictors_of_several_threads_export_their_own_images(monkeypatch: pytest.MonkeyPatch) -> None:
    by_nnunet = [getattr(predictor_module, name) for name in NAMES_OF_EXPORTS]
    predictors = [predictor_of(tiny_focusnet(), kind=Recording) for _ in range(2)]
    Recording.meets = threading.Barrier(2)
    results = {}

    def predict(k: int) -> None:
        cases = [{"data": torch.zeros(1, *PATCH), "ofile": None, "data_properties": {"name": f"{k}{i}"}} for i in "ab"]
        results[k] = predictors[k].predict_from_data_iterator(iter(cases))

    monkeypatch.setattr(predictor_module.multiprocessing, "get_context", lambda _: SimpleNamespace(Pool=ThreadPool))
    threads = [threading.Thread(target=predict, args=[k]) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    Recording.meets = None
    for k, predictor in enumerate(predictors):
        assert results[k] == [f"labels of {k}a", f"labels of {k}b"]
        assert [call[1] for call in predictor.calls if call[0] == "convert"] == [f"{k}a", f"{k}b"]
    assert [getattr(predictor_module, name) for name in NAMES_OF_EXPORTS] == by_nnunet


def test_nnunet_s_export_takes_what_the_hooks_do() -> None:
    write, convert = (inspect.signature(getattr(predictor_module, name)).parameters for name in NAMES_OF_EXPORTS)
    assert [*write][:7] == [
        *("predicted_array_or_file", "properties_dict", "configuration_manager", "plans_manager"),
        *("dataset_json_dict_or_file", "output_file_truncated", "save_probabilities"),
    ]
    assert [*convert][:6] == [
        *("predicted_logits", "plans_manager", "configuration_manager", "label_manager", "properties_dict"),
        "return_probabilities",
    ]


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


def test_errors_of_libraries_below_nnunet_are_no_refusals(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("nnUNet_results", str(tmp_path))
    line = ["-i", str(tmp_path), "-o", str(tmp_path / "out"), "-d", "1", "-c", "3d_fullres", "-device", "cpu"]
    monkeypatch.setattr(sys, "argv", ["nnUNetv2_focusnet_predict", *line])
    monkeypatch.setattr(predictor_module, "get_output_folder", lambda *_: torch.zeros(2) + torch.zeros(3))
    with pytest.raises(SystemExit, match=r"unexpected RuntimeError in .*The size of tensor a"):
        command.main()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-device", "cpu", "-part_id", "2"], "nnUNetv2_focusnet_predict: Do you even read"),  # nnU-Net's own words
        (["-device", "cpu"], r"nnUNetv2_focusnet_predict: .*dataset.json: No such file or directory$"),
        (["-device", "cpu", "-d", "2"], r"nnUNetv2_focusnet_predict: Could not find a dataset with the ID 2"),
        (["-device", "cpu", "-d", "Heads"], r"nnUNetv2_focusnet_predict: dataset_name_or_id was a string"),
        (["-device", "cpu", "-f", "0,1"], r"nnUNetv2_focusnet_predict: invalid literal for int\(\) .*'0,1'$"),
        ([], r"nnUNetv2_focusnet_predict: PyTorch finds no CUDA GPU.* give -device cpu"),
    ],
)
def test_what_nnunet_refuses_is_refused_in_one_line(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("nnUNet_results", str(tmp_path))
    (tmp_path / "Dataset001_Heads").mkdir()
    required = ["-i", str(tmp_path), "-o", str(tmp_path / "out"), "-d", "1", "-c", "3d_fullres", "-f", "0"]
    monkeypatch.setattr(sys, "argv", ["nnUNetv2_focusnet_predict", *required, *arguments])
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
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
