"""Work spread over processes, none of which outlives the one that started it."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
from commands_apart import ended, group_of, is_running, start, wait_until

from nnunetv2_focusnet.system.processes import ProcessDiedError, map_in_processes

# Two workers that note that they work and would do so for a minute; PREPARE runs in each process that starts.
WORK = """
import os, sys, time
from pathlib import Path
from nnunetv2_focusnet.cli.command import as_command
from nnunetv2_focusnet.system.processes import map_in_processes

PREPARE

def work(folder):
    Path(folder, str(os.getpid())).touch()
    time.sleep(60)

@as_command("name")
def as_one_of_ours():
    list(map_in_processes(work, sys.argv[1:] * 2, 2))

def as_nnunet():
    list(map_in_processes(work, sys.argv[1:] * 2, 2))

if __name__ == "__main__":
    RUN()
"""


def write_script(folder: Path, run: str, prepare: str = "") -> str:
    """The path of a script in a folder of its own."""
    script = folder / "script.py"
    script.write_text(WORK.replace("RUN", run).replace("PREPARE", prepare))
    return str(script)


def process_of(_: int) -> int:
    return os.getpid()


@pytest.mark.parametrize(("items", "apart"), [([0], False), ([0], True), ([], True)])
def test_one_process_is_this_one_unless_it_is_to_be_apart(items: list[int], apart: bool) -> None:
    processes = list(map_in_processes(process_of, items, 1, apart=apart))
    assert len(processes) == len(items)
    assert all((process != os.getpid()) == apart for process in processes)


def die_or_sleep(item: int) -> None:
    if item:
        time.sleep(2)
        return
    os.kill(os.getpid(), signal.SIGKILL)


def test_results_come_in_the_order_of_the_items() -> None:
    assert list(map_in_processes(abs, [-3, 2, -1], num_processes=2)) == [3, 2, 1]


@pytest.mark.parametrize(("items", "num_processes"), [([0], 4), ([0, 1], 1)])
def test_what_one_process_can_do_is_done_here(items: list[int], num_processes: int) -> None:
    # No other process could be handed a lambda.
    assert set(map_in_processes(lambda _: os.getpid(), items, num_processes)) == {os.getpid()}


def test_an_error_reaches_the_caller() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        list(map_in_processes(int, ["4", "four"], num_processes=2))


def test_an_iteration_that_is_given_up_does_not_wait_for_the_rest() -> None:
    begun = time.monotonic()
    results = map_in_processes(time.sleep, [0, 60, 60], num_processes=2)
    next(results)
    results.close()
    assert time.monotonic() - begun < 30


def test_a_worker_that_is_killed_ends_the_others_and_is_told() -> None:
    with pytest.raises(ProcessDiedError, match=r"one of 2 processes died, probably because memory ran out: use fewer"):
        list(map_in_processes(die_or_sleep, [1, 0, 1, 1, 1, 1, 1, 1], num_processes=2))
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path, number: int) -> None:
    """As nnUNetv2_train is, which handles no signal."""
    notes = tmp_path / "notes"
    notes.mkdir()
    with ended(start(write_script(tmp_path, "as_nnunet"), str(notes))) as process:
        wait_until(lambda: len(list(notes.iterdir())) == 2, "two workers")
        process.send_signal(number)
        process.wait(60)
        assert process.returncode == -number
        wait_until(lambda: not any(is_running(int(note.name)) for note in notes.iterdir()), "the workers' end")


@pytest.mark.parametrize(
    ("number", "cause", "whom"),
    [
        (signal.SIGTERM, "SIGTERM", "parent"),
        (signal.SIGTERM, "SIGTERM", "group"),
        (signal.SIGINT, "Ctrl-C", "group"),
    ],
)
def test_workers_end_with_a_command_that_is_stopped(tmp_path: Path, number: int, cause: str, whom: str) -> None:
    """Batch systems tell the command alone or all of its processes, terminals all: it is the command that answers."""
    notes = tmp_path / "notes"
    notes.mkdir()
    with ended(start(write_script(tmp_path, "as_one_of_ours"), str(notes))) as process:
        wait_until(lambda: len(list(notes.iterdir())) == 2, "two workers")
        (os.killpg if whom == "group" else os.kill)(process.pid, number)
        _, err = process.communicate(timeout=60)
        assert not any(is_running(int(note.name)) for note in notes.iterdir())
    assert err == f"name: stopped by {cause}; nothing unfinished is left\n"
    assert process.returncode == 128 + number


def test_ctrl_c_while_workers_are_still_starting_is_one_line(tmp_path: Path) -> None:
    """A terminal sends it to all of them, and Python itself would answer with a traceback from each."""
    slow = "if __name__ != '__main__': Path(sys.argv[1], str(os.getpid())).touch(); time.sleep(60)"
    notes = tmp_path / "notes"
    notes.mkdir()
    with ended(start(write_script(tmp_path, "as_one_of_ours", slow), str(notes))) as process:
        wait_until(lambda: len(list(notes.iterdir())) == 2, "two workers that start")
        os.killpg(process.pid, signal.SIGINT)
        wait_until(lambda: group_of(process) == [], "the end of all")
        _, err = process.communicate(timeout=60)
    assert err == "name: stopped by Ctrl-C; nothing unfinished is left\n"


def test_a_group_ends_with_a_caller_that_is_killed(tmp_path: Path) -> None:
    """Also what the command has started, as nnU-Net's do."""
    command = "import subprocess, sys; print(subprocess.Popen(['sleep', '60']).pid, flush=True); sys.stdin.read()"
    caller = f"""
import subprocess, sys
from nnunetv2_focusnet.system.processes import process_group

with process_group([sys.executable, "-c", {command!r}], stdin=subprocess.PIPE) as process:
    print(process.pid, flush=True)
    process.wait()
"""
    with ended(start("-c", caller)) as process:
        assert process.stdout is not None
        pids = [int(process.stdout.readline()) for _ in range(2)]
        assert all(map(is_running, pids))
        process.kill()
        wait_until(lambda: not any(map(is_running, pids)), "the group's end")
