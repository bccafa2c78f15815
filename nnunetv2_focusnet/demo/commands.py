"""Running the stock commands for the demo: with folders of its own, a log per command, and nothing left behind."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_focusnet._startup import EXT_TRAINER, discovery_folder
from nnunetv2_focusnet.system.files import naming
from nnunetv2_focusnet.system.processes import process_group

FOLDERS = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
_SETTINGS = {
    "nnUNet_n_proc_DA": "1",
    "nnUNet_def_n_proc": "1",  # also the number of threads to predict with
    "nnUNet_npp": "1",
    "nnUNet_nps": "1",
    "nnUNet_compile": "f",
    "OMP_NUM_THREADS": "1",  # two models side by side, a core each
    "MPLBACKEND": "Agg",
    "PYTHONUNBUFFERED": "1",
    # glibc gives large arrays back to the system at once, and a step spends a tenth of its time on getting them again.
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(256 * 2**20),
}
_POLL_SECONDS = 0.1


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


@dataclass(frozen=True)
class Command:
    """A console script to run.

    Attributes:
        line: name of the script and its arguments.
        log: file that gets what it prints.
        show: called with each line of that, without its end.
    """

    line: Sequence[str]
    log: Path
    show: Callable[[str], None] = lambda line: None


def run_commands(commands: Sequence[Command], folder: Path) -> None:
    """Run console scripts side by side; when one fails, the others are ended.

    Args:
        commands: what to run.
        folder: the demo's folder, which holds the `nnUNet_*` folders.

    Raises:
        CommandError: one ended with an error; names the command, its last words and the log.
        WriteError: a log can't be written.
    """
    with ExitStack() as stack:
        processes = [stack.enter_context(_started(command, folder)) for command in commands]
        readers = [_Reader(*each) for each in zip(processes, commands, strict=True)]
        for reader in readers:
            reader.start()
        statuses = [process.poll() for process in processes]
        while None in statuses and not any(statuses):
            time.sleep(_POLL_SECONDS)
            statuses = [process.poll() for process in processes]
    for reader in readers:
        reader.join()
        if reader.error is not None:
            raise reader.error
    for reader, status in zip(readers, statuses, strict=True):
        if status:  # not those that were ended because another one failed
            said = f"({reader.last_words[:200]}); its log is {reader.command.log}"
            raise CommandError(f"{reader.command.line[0]} ended with status {status} {said}")


def _started(command: Command, folder: Path) -> AbstractContextManager[subprocess.Popen[str]]:
    print(f"       $ {shlex.join(command.line)}", flush=True)
    return process_group(
        [find_command(command.line[0]), *command.line[1:]],
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )


class _Reader(threading.Thread):
    """Carries a process's output to its log until nobody can write any more; a thread, since workers may outlive it."""

    def __init__(self, process: subprocess.Popen[str], command: Command) -> None:
        super().__init__(daemon=True)
        self.process, self.command = process, command
        self.last_words = "it said nothing"
        self.error: OSError | None = None

    def run(self) -> None:
        try:
            with naming(self.command.log), self.command.log.open("w", encoding="utf-8") as file:
                for line in self.process.stdout or ():
                    file.write(line)
                    file.flush()
                    self.last_words = line.strip() or self.last_words
                    self.command.show(line.rstrip())
        except OSError as error:  # full disk, or nobody to show it to
            self.error = error
            self.process.kill()  # else it would wait for ever to be read
