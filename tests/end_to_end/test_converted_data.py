"""Each layout from its source folder to a trained epoch."""

import json
import os
from pathlib import Path
from unittest import mock

import dicom_files
import pytest
import SimpleITK as sitk
import source_folders as sources
from nnunet_in_process import command, extract_fingerprint, measure, threads_for_processes
from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity

from nnunetv2_focusnet.cli.convert import Options, convert
from nnunetv2_focusnet.convert.layouts import LAYOUTS
from nnunetv2_focusnet.convert.layouts.base import Layout
from nnunetv2_focusnet.convert.layouts.hanseg import HanSeg
from nnunetv2_focusnet.convert.layouts.segrap import SegRap

SHAPE = (8, 24, 32)
NUM_ORGANS = 3  # the first of each layout: the networks of dozens of small organs take minutes
CLINIC_ORGANS = ("Lens_L", "Lens_R", "Mandible")  # dicom-rt takes any names
CONFIGURATION = "3d_fullres"

TRAINER = """
import torch
from nnunetv2_focusnet.trainers.focusnet_trainer import FocusNetTrainer


class OneEpochTrainer(FocusNetTrainer):
    def __init__(self, plans, configuration, fold, dataset_json, device=torch.device("cuda")):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs, self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = 1, 1, 1

    def on_train_start(self):
        super().on_train_start()
        self.logger.plot_progress_png = lambda output_folder: None  # takes longer than all the rest
"""


def write_source(layout: Layout, root: Path) -> None:
    """Five cases to train on; the mandible is missing in one of PDDCA, as in the real ones."""
    boxes = sources.apart((layout.organs or CLINIC_ORGANS)[:NUM_ORGANS], SHAPE)
    for number in range(5):
        match layout.name:
            case "pddca":
                name = ("0522c0001", "0522c0002", "0522c0329", "0522c0788", "0522c0806")[number]
                some = {organ: b for organ, b in boxes.items() if (name, organ) != ("0522c0329", "Mandible")}
                sources.pddca_case(root, name, some, SHAPE)
            case "tcia-deepmind":
                sources.tcia_case(root, "validation", "oncologist", f"TCGA-{number}", boxes, SHAPE)
            case "hanseg":
                sources.hanseg_case(root, f"case_0{number}", boxes, SHAPE)
            case "structseg":
                sources.structseg_case(root, number, list(boxes.values()), SHAPE)
            case "segrap":
                sources.segrap_case(root, f"segrap_000{number}", boxes, SHAPE)
            case "dicom-rt":
                image = sitk.GetImageFromArray(sources.ct(boxes, SHAPE))
                image.SetSpacing(sources.SPACING)
                ct = dicom_files.write_ct(root / str(number) / "CT", image)
                rois = [(organ, contours(ct, where)) for organ, where in boxes.items()]
                dicom_files.write_structure_set(root / str(number) / "RS.dcm", ct, rois)


def contours(ct: dicom_files.CTFiles, where: tuple[slice, slice, slice]) -> list[tuple[str, list[float]]]:
    """Along the edges of a cuboid's voxels."""
    z, y, x = where
    low, high = (x.start - 0.5, y.start - 0.5), (x.stop - 0.5, y.stop - 0.5)
    return [("CLOSED_PLANAR", dicom_files.square(ct, index, low, high)) for index in range(z.start, z.stop)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Results folder of each layout's dataset."""
    root = tmp_path_factory.mktemp("real data")
    without_options = ("pddca", "tcia-deepmind", "structseg", "dicom-rt")
    layouts = [*(LAYOUTS[name]() for name in without_options), HanSeg(t1=True), SegRap(True)]
    folders = {name: root / name for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "trainers")}
    for folder in folders.values():
        folder.mkdir()
    names = {}
    for number, layout in enumerate(layouts, start=911):
        write_source(layout, root / layout.name)
        names[layout.name] = f"Dataset{number}_{layout.title}"
        # Linked images are NRRD where the source is: both endings that the converter chooses among are trained from.
        options = Options(layout.organs[:NUM_ORGANS], symlink=layout.name in ("tcia-deepmind", "structseg"))
        convert(layout, root / layout.name, folders["nnUNet_raw"] / names[layout.name], options)
    (folders["trainers"] / "one_epoch_trainer.py").write_text(TRAINER)
    variables = {name: str(folder) for name, folder in folders.items() if name != "trainers"}
    variables |= {"nnUNet_extTrainer": str(folders["trainers"]), "nnUNet_n_proc_DA": "0", "nnUNet_compile": "f"}
    with mock.patch.dict(os.environ, variables):
        for name in names.values():
            plan_and_train(int(name[7:10]), folders["nnUNet_preprocessed"] / name)
    return {layout: folders["nnUNet_results"] / name for layout, name in names.items()}


def plan_and_train(dataset: int, preprocessed: Path) -> None:
    """Fold 0, by nnU-Net's commands, with a network made narrow."""
    with threads_for_processes():
        verify_dataset_integrity(os.path.join(os.environ["nnUNet_raw"], preprocessed.name), num_processes=1)
    extract_fingerprint(dataset)
    command("nnUNetv2_plan_experiment", "-d", str(dataset))
    file = preprocessed / "nnUNetPlans.json"
    plans = json.loads(file.read_text())
    arguments = plans["configurations"][CONFIGURATION]["architecture"]["arch_kwargs"]
    arguments["features_per_stage"] = [4] * arguments["n_stages"]
    file.write_text(json.dumps(plans))
    command("nnUNetv2_preprocess", "-d", str(dataset), "-c", CONFIGURATION, "-np", "1")
    measure(preprocessed)
    command("nnUNetv2_train", str(dataset), CONFIGURATION, "0", "-tr", "OneEpochTrainer", "-device", "cpu")


@pytest.mark.parametrize("layout", ["pddca", "tcia-deepmind", "hanseg", "structseg", "segrap", "dicom-rt"])
def test_a_layout_is_trained_and_validated(trained: dict[str, Path], layout: str) -> None:
    fold = trained[layout] / f"OneEpochTrainer__nnUNetPlans__{CONFIGURATION}" / "fold_0"
    assert (fold / "checkpoint_final.pth").is_file()
    assert json.loads((fold / "validation" / "summary.json").read_text())["metric_per_case"]


def test_official_folds_are_trained(trained: dict[str, Path]) -> None:
    fold = trained["pddca"] / f"OneEpochTrainer__nnUNetPlans__{CONFIGURATION}" / "fold_0"
    validated = {file.name for file in (fold / "validation").glob("*.nii.gz")}
    assert validated == {"0522c0788.nii.gz", "0522c0806.nii.gz"}
