"""What nnU-Net's trainer lacks to go on after a kill, a full disk or a change of plans: checkpoints above all."""

import contextlib
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

from nnunetv2_focusnet.trainers.checkpoints import read_checkpoint
from nnunetv2_focusnet.trainers.host import FINAL, LATEST, RESUME_ORDER
from nnunetv2_focusnet.trainers.left_right_trainer import LeftRightTrainer
from nnunetv2_focusnet.trainers.pretrained import take_over
from nnunetv2_focusnet.trainers.trained_with import find_difference


class ResumableTrainer(LeftRightTrainer):
    """Writes checkpoints in one piece, and says in one line which file is broken or doesn't fit, and what to do."""

    def take_pretrained_weights(self, path: Path) -> None:
        """Take pretrained weights over, from stock networks, too.

        Raises:
            ValueError: the file can't be read, or is of another network.
        """
        self.print_to_log_file(take_over(self.bare_network, path))

    def on_train_start(self) -> None:
        """Start as nnU-Net does, and remove what a kill left of a checkpoint.

        Raises:
            OSError: as nnU-Net's, but always with a path.
        """
        try:
            super().on_train_start()
        except OSError as error:
            if error.filename is not None or error.errno is None:
                raise
            # nnU-Net writes plans.json and others there; a full disk doesn't tell where it is.
            raise OSError(error.errno, error.strerror, self.output_folder_base) from None
        if self.local_rank == 0:
            for partial in Path(self.output_folder).glob("*.pth.partial"):
                partial.unlink()

    # ---- checkpoints ----

    def save_checkpoint(self, filename: str) -> None:
        """Write a checkpoint in one piece: a run killed while writing, or a full disk, leaves the one before.

        Raises:
            RuntimeError: it can't be written.
        """
        partial = f"{filename}.partial"
        try:
            with self.best_is_up_to_date() if Path(filename).name == LATEST else contextlib.nullcontext():
                super().save_checkpoint(partial)
            if self.writes_checkpoints:
                os.replace(partial, filename)
        except (OSError, RuntimeError) as error:  # torch makes a RuntimeError without a path of a full disk
            reason = str(error).partition("\n")[0]
            free = shutil.disk_usage(Path(filename).parent).free / 2**20
            raise RuntimeError(
                f"{filename} can't be written ({reason}; {free:.0f} MiB are free on its disk). What was there before is"
                " still there: make room, and go on with --c."
            ) from None
        finally:
            if self.writes_checkpoints:
                with contextlib.suppress(OSError):
                    os.remove(partial)

    def load_checkpoint(self, filename_or_checkpoint: str) -> None:
        """Load a checkpoint; with --c the newest of the run, though it had been finished before.

        Raises:
            ValueError: it is damaged, or of another network, plans or version.
        """
        self.initialize_once()
        path = self._newest(Path(filename_or_checkpoint))
        checkpoint = self._read_fitting(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that SOS-Nets aren't trained yet: the line below says so
            super().load_checkpoint(str(path))
        self.print_to_log_file(self.describe_checkpoint(path, checkpoint))

    def describe_checkpoint(self, path: Path, checkpoint: dict[str, Any]) -> str:
        """A line for the log."""
        return f"Loaded {path}, of {checkpoint['current_epoch']} epochs."

    def _newest(self, path: Path) -> Path:
        # A finished run that goes on with more epochs keeps its final checkpoint, which nnU-Net prefers, beside those
        # it writes from then on: if it is killed, the epochs since would be lost.
        latest = path.with_name(LATEST)
        if not self.is_resumed or path.name != FINAL or not latest.is_file():
            return path
        return max(latest, path, key=lambda file: file.stat().st_mtime_ns)

    def _read_fitting(self, path: Path) -> dict[str, Any]:
        """A checkpoint that can be loaded.

        Raises:
            ValueError: it can't.
        """
        try:
            return self._read(path)
        except ValueError as error:
            raise ValueError(f"{error}. {self._remedy(path)}") from None

    def _read(self, path: Path) -> dict[str, Any]:
        checkpoint = read_checkpoint(path)
        if difference := find_difference(self.bare_network, checkpoint["network_weights"]):
            raise ValueError(
                f"{path}, of {checkpoint['trainer_name']}, is of another network or plans than {type(self).__name__}"
                f" has now ({difference})"
            )
        if missing := self.logger.get_checkpoint().keys() - checkpoint["logging"].keys():
            raise ValueError(
                f"{path} is of another version of its trainer (its log lacks {', '.join(sorted(missing))})"
            )
        return checkpoint

    def _remedy(self, broken: Path) -> str:
        """What to do instead: nnU-Net takes the next one in its order, if that one is whole."""
        for other in (broken.with_name(name) for name in RESUME_ORDER if name != broken.name):
            with contextlib.suppress(ValueError):
                return f"Remove it, and --c goes on from {other.name}, of {self._read(other)['current_epoch']} epochs."
        return "Put back the file, or the plans that it was trained with, or start anew without --c."
