"""What SOL-Net and the SOS-Nets add: a FocusNet that small_organs.py has trained, with them and without.

    python benchmarks/without_sos.py STATE [-tr FocusNetTrainerPlansNetwork]

The same weights predict the same unseen cases once more, the small organs with the main network's own answer for them.
Predictions and the comparison's report go into STATE/without_sos.
"""

import argparse
import os
from pathlib import Path

import torch
from side_by_side.state import State

from nnunetv2_focusnet.cli.compare import compare
from nnunetv2_focusnet.compare.inputs import read_folders


def predict(state: State, trainer: str, output: Path) -> None:
    """Predict the unseen cases with the main network alone, as a checkpoint without trained SOS-Nets does."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

    output.mkdir(parents=True, exist_ok=True)
    predictor = nnUNetPredictor(device=torch.device(state.settings.device), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(state.model(trainer)), (0,))
    predictor.list_of_parameters[0]["sos_trained"].fill_(False)
    images = get_filenames_of_train_images_and_targets(str(state.raw))
    for case in state.unseen_cases:
        predictor.predict_from_files_sequential([images[case]["images"]], [str(output / case)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("state", type=Path, metavar="STATE")
    parser.add_argument("-tr", default="FocusNetTrainerPlansNetwork")
    arguments = parser.parse_args()
    state = State.load(arguments.state.resolve())
    os.environ |= state.environment()
    torch.set_num_threads(state.settings.threads)
    folder = state.folder / "without_sos" / arguments.tr
    predict(state, arguments.tr, folder / "predictions")
    models = [f"main_network_alone={folder / 'predictions'}", f"{arguments.tr}={state.predictions(arguments.tr)}"]
    inputs = read_folders(state.folder / "references", models, state.preprocessed / "dataset.json", "1")
    compare(inputs, folder / "report", state.raw / "imagesTr", False, state.settings.threads, show_progress=False)
    print((folder / "report" / "summary.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
