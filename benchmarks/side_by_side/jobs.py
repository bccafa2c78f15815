"""Several commands at a time, each with a log, none of which outlives the script."""

import subprocess
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_focusnet.demo.commands import CommandError
from nnunetv2_focusnet.system.processes import process_group

POLL_SECONDS = 0.5


class BenchmarkError(CommandError):
    """Something that the user has to know in one line."""


@dataclass(frozen=True)
class Job:
    """A command with its variables; what it prints is appended to a log."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path


class RunningJob:
    """A job that has been started; it and all that it has started end with the stack."""

    def __init__(self, job: Job, stack: ExitStack) -> None:
        self.job = job
        self._own = stack.enter_context(ExitStack())
        job.log.parent.mkdir(exist_ok=True)
        output = self._own.enter_context(job.log.open("a", encoding="utf-8"))
        self._process = self._own.enter_context(
            process_group(
                job.command, env=job.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        )

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def close(self) -> str | None:
        """What has to be said of the job, which has ended; None if all is well."""
        self._own.close()
        if self._process.returncode == 0:
            return None
        lines = [line for line in self.job.log.read_text(errors="replace").splitlines() if line.strip()]
        return (
            f"{self.job.name} ended with status {self._process.returncode} ({''.join(lines[-1:])[:200]}); "
            f"its log is {self.job.log}"
        )


def run_jobs(jobs: Iterable[Job], at_once: int = 1) -> None:
    """Run commands to their end; where one fails, the others go on, as each may take hours.

    Raises:
        BenchmarkError: some ended with an error; names the last words and the log of each.
    """
    waiting, running, faults = deque(jobs), list[RunningJob](), list[str]()
    with ExitStack() as stack:
        while waiting or running:
            while waiting and len(running) < at_once:
                running.append(RunningJob(waiting.popleft(), stack))
            time.sleep(POLL_SECONDS)
            for ended in [each for each in running if each.has_ended]:
                running.remove(ended)
                if fault := ended.close():
                    faults.append(fault)
    if faults:
        raise BenchmarkError("; ".join(faults))
