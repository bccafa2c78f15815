"""Where FocusNet finds the small organs of its validation cases, and how well the fused label map agrees.

    python benchmarks/localisation.py DATASET_ID -tr FocusNetTrainer -p nnUNetPlans -f 0 [-c 3d_fullres] [-o table.csv]

Whole images, tile by tile as nnU-Net predicts them; an organ's location is the highest peak of its heat map over all
tiles. It counts as found where that lies within the organ's own mean diameter of the reference's centre of mass. DSC is
read from the validation that nnUNetv2_train ends with, which places each organ once per image and also sees flips.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from batchgenerators.utilities.file_and_folder_operations import load_json
from csv_files import write_csv
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.paths import nnUNet_preprocessed, nnUNet_results
from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
from nnunetv2.utilities.dataset_name_id_conversion import maybe_convert_to_dataset_name
from scipy.ndimage import center_of_mass

from nnunetv2_focusnet.organs.plans_entry import PlansEntry


def locate(predictor: nnUNetPredictor, image: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Highest peak (K,) over all tiles and its voxel (K, 3) for an image in shape (C, Z, Y, X)."""
    patch = predictor.configuration_manager.patch_size
    padding = [max(p - s, 0) for p, s in zip(patch, image.shape[1:], strict=True)]
    image = torch.nn.functional.pad(image, [v for p in reversed(padding) for v in (0, p)])
    organs = len(predictor.network.config.small_organs)
    best, where = np.full(organs, -1.0), np.zeros((organs, 3))
    for tile in predictor._internal_get_sliding_window_slicers(image.shape[1:]):
        predictor.network(image[tile][None].to(predictor.device))
        peaks, voxels = predictor.network.located
        corner = [s.start for s in tile[1:]]
        for k, peak in enumerate(peaks[0].tolist()):
            if peak > best[k]:
                best[k], where[k] = peak, voxels[0, k].cpu().numpy() + corner
    return best, where


def measure(model_folder: Path, preprocessed: Path, fold: int) -> list[dict[str, object]]:
    """One row per small organ."""
    predictor = nnUNetPredictor(allow_tqdm=False, device=torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    predictor.initialize_from_trained_model_folder(str(model_folder), (fold,))
    predictor.network.to(predictor.device).eval()
    configuration = predictor.configuration_manager
    spacing = np.array(configuration.spacing)
    folder = str(preprocessed / configuration.data_identifier)
    cases = load_json(str(preprocessed / "splits_final.json"))[fold]["val"]
    dataset = infer_dataset_class(folder)(folder, cases)
    summary = load_json(str(model_folder / f"fold_{fold}" / "validation" / "summary.json"))
    organs = PlansEntry.of(configuration.configuration).organs_with_networks
    if not organs:
        sys.exit(f"{model_folder} has no small organs: there is nothing to locate.")
    errors, detected = np.full((len(cases), len(organs)), np.nan), np.zeros((len(cases), len(organs)))
    for i, case in enumerate(cases):
        image, labels, _, _ = dataset.load_case(case)
        with torch.no_grad():
            peaks, voxels = locate(predictor, torch.from_numpy(np.ascontiguousarray(image[:])).float())
        for k, organ in enumerate(organs):
            mask = np.asarray(labels[:])[0] == organ.label
            detected[i, k] = peaks[k] > predictor.network.config.detection_threshold
            if mask.any():
                errors[i, k] = np.linalg.norm((voxels[k] - center_of_mass(mask)) * spacing)
    rows: list[dict[str, object]] = []
    for k, organ in enumerate(organs):
        present = ~np.isnan(errors[:, k])
        found = errors[present, k] <= organ.diameter_mm
        rows.append(
            {
                "organ": organ.name,
                "diameter_mm": round(organ.diameter_mm, 1),
                "cases": int(present.sum()),
                "found": int(found.sum()),
                "median_error_mm": round(float(np.median(errors[present, k])), 1) if present.any() else "",
                "largest_error_mm": round(float(errors[present, k].max()), 1) if present.any() else "",
                "detected": int(detected[present, k].sum()),
                "mean_dsc": round(summary["mean"][str(organ.label)]["Dice"], 3),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("-tr", default="FocusNetTrainer")
    parser.add_argument("-p", default="nnUNetPlans")
    parser.add_argument("-c", default="3d_fullres")
    parser.add_argument("-f", type=int, default=0)
    parser.add_argument("-o", type=Path, help="CSV file (default: standard output)")
    arguments = parser.parse_args()
    name = maybe_convert_to_dataset_name(arguments.dataset)
    model = Path(nnUNet_results) / name / f"{arguments.tr}__{arguments.p}__{arguments.c}"
    write_csv(arguments.o, measure(model, Path(nnUNet_preprocessed) / name, arguments.f))


if __name__ == "__main__":
    main()
