"""3d_lowres, the cascade and plans of residual encoders, with each trainer, and together with stock's."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import source_folders as sources
import torch
from nnunet_in_process import command, extract_fingerprint, measure
from nnunetv2.dataset_conversion.generate_dataset_json import generate_dataset_json

DATASET = "Dataset906_Configurations"
LABELS = {"background": 0, "Brain": 1, "Lens_L": 2, "Lens_R": 3}
SHAPE = (16, 48, 48)
PLANS, RESIDUAL = "nnUNetPlans", "nnUNetResEncUNetLPlans"
CASCADE = "3d_cascade_fullres"
TRAINED = [(PLANS, "3d_lowres"), (PLANS, CASCADE), (RESIDUAL, "3d_fullres")]
STOCK, *OURS = ("StepsOfStock", "StepsOfFocusNet", "StepsOfPlansNetwork", "StepsOfZoom", "StepsOfSNet")

TRAINERS = """
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_focusnet.trainers.focusnet_trainer import FocusNetTrainer
from nnunetv2_focusnet.trainers.host import ClassSettings
from nnunetv2_focusnet.trainers.plans_network_trainer import FocusNetTrainerPlansNetwork
from nnunetv2_focusnet.trainers.snet_trainer import SNetTrainer
from nnunetv2_focusnet.trainers.zoom_trainer import FocusNetTrainerZoom


class Steps(ClassSettings):
    default_num_epochs, default_num_iterations_per_epoch, default_num_val_iterations_per_epoch = 1, 2, 1

    def on_train_start(self):
        super().on_train_start()
        self.logger.plot_progress_png = lambda output_folder: None  # takes longer than all the rest


class StepsOfStock(Steps, nnUNetTrainer):
    pass


class StepsOfFocusNet(Steps, FocusNetTrainer):
    pass


class StepsOfPlansNetwork(Steps, FocusNetTrainerPlansNetwork):
    pass


class StepsOfZoom(Steps, FocusNetTrainerZoom):
    pass


class StepsOfSNet(Steps, SNetTrainer):
    pass
"""


class Project:
    """Folders of nnU-Net under ``root``, and what its commands leave there."""

    def __init__(self, root: Path) -> None:
        self.raw, self.preprocessed, self.results = (
            root / folder / DATASET for folder in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
        )

    def write_cases(self) -> None:
        """One to train on and to validate, one to predict; a brain and two lenses in each."""
        for part in ("Tr", "Ts"):
            boxes = {"Brain": sources.box(4, 8, 10, (10, 30, 26)), "Lens_L": sources.box(6, 2, 30)}
            boxes |= {"Lens_R": sources.box(6, 2, 14)}
            labels = sum(LABELS[name] * sources.mask(where, SHAPE) for name, where in boxes.items())
            sources.save(self.raw / f"images{part}" / f"Case_{part}_0000.nii.gz", sources.ct(boxes, SHAPE))
            sources.save(self.raw / f"labels{part}" / f"Case_{part}.nii.gz", labels)
        generate_dataset_json(str(self.raw), {"0": "CT"}, LABELS, 1, ".nii.gz")
        self.preprocessed.mkdir(parents=True)
        fold = {"train": ["Case_Tr"], "val": ["Case_Tr"]}
        (self.preprocessed / "splits_final.json").write_text(json.dumps([fold]))

    def shrink(self, plans_name: str) -> None:
        """Make the networks of plans narrow, and those of residual encoders shallow."""
        file = self.preprocessed / f"{plans_name}.json"
        plans = json.loads(file.read_text())
        for configuration in plans["configurations"].values():
            if "architecture" in configuration:
                arguments = configuration["architecture"]["arch_kwargs"]
                arguments["features_per_stage"] = [4] * arguments["n_stages"]
                if "n_blocks_per_stage" in arguments:
                    arguments["n_blocks_per_stage"] = [1] * arguments["n_stages"]
        file.write_text(json.dumps(plans))

    def fold(self, trainer: str, plans: str, configuration: str, fold: int = 0) -> Path:
        return self.results / f"{trainer}__{plans}__{configuration}" / f"fold_{fold}"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    root = tmp_path_factory.mktemp("configurations")
    (root / "trainers").mkdir()
    (root / "trainers" / "trainers_of_few_steps.py").write_text(TRAINERS)
    project = Project(root)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
            patch.setenv(name, str(root / name))
        patch.setenv("nnUNet_extTrainer", str(root / "trainers"))
        patch.setenv("nnUNet_n_proc_DA", "0")
        project.write_cases()
        extract_fingerprint(906)
        command("nnUNetv2_plan_experiment", "-d", "906", "-gpu_memory_target", "0.01")
        command("nnUNetv2_plan_experiment", "-d", "906", "-pl", "nnUNetPlannerResEncL")
        for plans in (PLANS, RESIDUAL):
            project.shrink(plans)
        # Plans of residual encoders share 3d_fullres with nnUNetPlans.
        command("nnUNetv2_preprocess", "-d", "906", "-c", "3d_fullres", "3d_lowres", "-np", "1")
        measure(project.preprocessed)
        yield project


@pytest.fixture(scope="module")
def trained(project: Project) -> Project:
    """All models; the cascade trains on what 3d_lowres, which comes before it, predicts of its training case."""
    for trainer, (plans, configuration) in itertools.product((STOCK, *OURS), TRAINED):
        options = ["906", configuration, "0", "-p", plans, "-tr", trainer, "-device", "cpu", "--npz"]
        command("nnUNetv2_train", *options)
    return project


@pytest.fixture(scope="module")
def predicted(trained: Project) -> dict[tuple[str, str, str], Path]:
    """Of the unseen case by each model, with probabilities; the cascade gets what 3d_lowres predicts of it."""
    outputs = {}
    for trainer, (plans, configuration) in itertools.product((STOCK, *OURS), TRAINED):
        previous = outputs.get((trainer, PLANS, "3d_lowres"))
        outputs[trainer, plans, configuration] = predict(trained, trainer, plans, configuration, previous)
    return outputs


def predict(
    trained: Project,
    trainer: str,
    plans: str,
    configuration: str,
    previous: Path | None,
    how: str = "",
    script: str = "nnUNetv2_predict",
) -> Path:
    output = trained.results / "predicted" / f"{trainer} {plans} {configuration} {how}"
    options = ["-i", str(trained.raw / "imagesTs"), "-o", str(output), "-d", "906", "-f", "0", "--save_probabilities"]
    options += ["-npp", "0", "-nps", "0", "-device", "cpu", "--disable_tta", "-step_size", "1"]
    if configuration == CASCADE:
        options += ["-prev_stage_predictions", str(previous)]
    command(script, *options, "-tr", trainer, "-p", plans, "-c", configuration)
    return output


def predict_with_our_command(trained: Project, predicted: dict, trainer: str, plans: str, configuration: str) -> Path:
    previous = predicted[trainer, PLANS, "3d_lowres"]
    return predict(trained, trainer, plans, configuration, previous, "by our command", "nnUNetv2_focusnet_predict")


def labels_of(folder: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "Case_Ts.nii.gz")))


@pytest.mark.parametrize("trainer", OURS)
@pytest.mark.parametrize(("plans", "configuration"), TRAINED)
def test_a_model_is_trained_validated_and_predicts(
    trained: Project, predicted: dict, trainer: str, plans: str, configuration: str
) -> None:
    fold = trained.fold(trainer, plans, configuration)
    assert json.loads((fold / "validation" / "summary.json").read_text())["metric_per_case"]
    labels = labels_of(predicted[trainer, plans, configuration])
    assert labels.shape == SHAPE
    assert set(np.unique(labels)) <= set(LABELS.values())


@pytest.mark.parametrize("trainer", OURS)
def test_the_cascade_reads_what_3d_lowres_predicted(trained: Project, predicted: dict, trainer: str) -> None:
    weights = torch.load(trained.fold(trainer, PLANS, CASCADE) / "checkpoint_final.pth", weights_only=False)
    first = next(value for value in weights["network_weights"].values() if value.ndim == 5)
    voxels = 4 if trainer == "StepsOfZoom" else 1  # of the image in one of the main network's grid
    assert first.shape[1] == voxels * (1 + 3)  # image, and a channel per organ
    other = trained.results / f"other {trainer}"
    sources.save(other / "Case_Ts.nii.gz", sources.mask(sources.box(0, 0, 0, SHAPE), SHAPE))
    again = predict(trained, trainer, PLANS, CASCADE, other, "of another 3d_lowres")
    ours, theirs = (np.load(f / "Case_Ts.npz")["probabilities"] for f in (again, predicted[trainer, PLANS, CASCADE]))
    assert not np.allclose(ours, theirs)


@pytest.mark.parametrize(("plans", "configurations"), [(PLANS, ["3d_lowres", CASCADE]), (RESIDUAL, ["3d_fullres"])])
def test_best_configuration_is_found_among_all_trainers_and_their_ensembles_with_stock(
    trained: Project, plans: str, configurations: list[str]
) -> None:
    options = ["906", "-p", plans, "-c", *configurations, "-tr", STOCK, *OURS, "-f", "0", "-np", "1"]
    command("nnUNetv2_find_best_configuration", *options)
    found = json.loads((trained.results / "inference_information.json").read_text())["all_results"]
    models = len([STOCK, *OURS]) * len(configurations)
    assert len(found) == models + models * (models - 1) // 2
    assert all(0 <= dice <= 1 for dice in found.values())


@pytest.mark.parametrize("trainer", OURS)
def test_our_command_predicts_the_cascade_and_says_what_it_found(
    trained: Project, predicted: dict, trainer: str
) -> None:
    output = predict_with_our_command(trained, predicted, trainer, PLANS, CASCADE)
    assert labels_of(output).shape == SHAPE
    assert np.load(output / "Case_Ts.npz")["probabilities"].shape == (len(LABELS), *SHAPE)
    found = json.loads((output / "Case_Ts_locations.json").read_text())["organs"]
    assert list(found) == [name for name, label in LABELS.items() if label]
    with_peaks = {name for name, organ in found.items() if "peak" in organ}
    assert with_peaks == ({"Lens_L", "Lens_R"} if trainer != "StepsOfSNet" else set())
    for name in with_peaks:
        voxel, mm = found[name]["peak"]["voxel"], found[name]["peak"]["mm"]
        image = sitk.ReadImage(str(trained.raw / "imagesTs" / "Case_Ts_0000.nii.gz"))
        assert mm == pytest.approx(image.TransformIndexToPhysicalPoint(voxel), abs=max(image.GetSpacing()) / 2 + 0.1)


def test_our_command_predicts_stock_models_as_nnunet_s_does(trained: Project, predicted: dict) -> None:
    output = predict_with_our_command(trained, predicted, STOCK, PLANS, "3d_lowres")
    expected = predicted[STOCK, PLANS, "3d_lowres"]
    ours, theirs = (np.load(folder / "Case_Ts.npz")["probabilities"] for folder in (output, expected))
    np.testing.assert_array_equal(ours, theirs)
    assert not (output / "Case_Ts_locations.json").exists()


@pytest.mark.parametrize("trainer", OURS)
def test_predictions_are_averaged_with_stock_ones(trained: Project, predicted: dict, trainer: str) -> None:
    models = [(trainer, PLANS, CASCADE), (STOCK, RESIDUAL, "3d_fullres")]
    output = trained.results / "predicted" / f"{trainer} and stock"
    command("nnUNetv2_ensemble", "-i", *(str(predicted[m]) for m in models), "-o", str(output), "-np", "1")
    mean = sum(np.load(predicted[m] / "Case_Ts.npz")["probabilities"].astype(np.float32) for m in models)
    np.testing.assert_array_equal(labels_of(output), mean.argmax(0))
