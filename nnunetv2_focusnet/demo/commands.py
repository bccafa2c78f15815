"""Running the stock commands for the demo: with folders of its own, a log per command, and nothing left behind."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable
from pathlib import Path

from nnunetv2_focusnet._startup import EXT_TRAINER, discovery_folder
from nnunetv2_focusnet.system.files import naming
from nnunetv2_focusnet.system.processes import process_group

FOLDERS = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
_SETTINGS = {
    "nnUNet_n_proc_DA": "1",
    "nnUNet_def_n_proc": "2",
    "nnUNet_npp": "1",
    "nnUNet_nps": "1",
    "nnUNet_compile": "f",
    "OMP_NUM_THREADS": "2",
    "MPLBACKEND": "Agg",
    "PYTHONUNBUFFERED": "1",
}


class CommandError(RuntimeError):
    """A command of the demo ended with an error."""


def environment(folder: Path) -> dict[str, str]:
    """The variables the commands run with: the caller's without nnU-Net's own, which are the demo's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("nnUNet_")}
    folders = {name: str(folder / name) for name in FOLDERS}
    return kept | folders | _SETTINGS | {EXT_TRAINER: discovery_folder()}  # also where registration is switched off


def find_command(name: str) -> str:
    """Path of a console script of this Python, activated environment or not.

    Raises:
        CommandError: it is not there.
    """
    places = [str(Path(sys.executable).parent), sysconfig.get_path("scripts"), os.environ.get("PATH", "")]
    path = shutil.which(name, path=os.pathsep.join(places))
    if path is None:
        raise CommandError(f"the command {name} is not installed beside {sys.executable}: install nnunetv2 there")
    return path


def run_command(command: list[str], folder: Path, log: Path, show: Callable[[str], None]) -> None:
    """Run a console script, write what it prints to a log, and hand each line of it to `show`.

    Args:
        command: name of the script and its arguments.
        folder: the demo's folder, which holds the `nnUNet_*` folders.
        log: file that gets the output.
        show: called with each line, without its end.

    Raises:
        CommandError: it ended with an error; names the command, its last words and the log.
        WriteError: the log can't be written.
    """
    print(f"       $ {shlex.join(command)}", flush=True)
    with process_group(
        [find_command(command[0]), *command[1:]],
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as process:
        lines = _Reader(process, log, show)
        lines.start()
        status = process.wait()
    lines.join()
    if lines.error is not None:
        raise lines.error
    if status != 0:
        raise CommandError(f"{command[0]} ended with status {status} ({lines.last_words[:200]}); its log is {log}")


class _Reader(threading.Thread):
    """Carries a process's output to its log until nobody can write any more; a thread, since workers may outlive it."""

    def __init__(self, process: subprocess.Popen[str], log: Path, show: Callable[[str], None]) -> None:
        super().__init__(daemon=True)
        self.process, self.log, self.show = process, log, show
        self.last_words = "it said nothing"
        self.error: OSError | None = None

    def run(self) -> None:
        try:
            with naming(self.log), self.log.open("w", encoding="utf-8") as file:
                for line in self.process.stdout or ():
                    file.write(line)
                    file.flush()
                    self.last_words = line.strip() or self.last_words
                    self.show(line.rstrip())
        except OSError as error:  # full disk, or nobody to show it to
            self.error = error
            self.process.kill()  # else it would wait for ever to be read
