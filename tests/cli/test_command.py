"""Whatever ends a command: one line, a status, no traceback."""

import errno
import ipaddress
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from commands_apart import stopped

from nnunetv2_focusnet.cli import compare, scripts
from nnunetv2_focusnet.cli.command import as_command, check_num_processes, exit_with
from nnunetv2_focusnet.demo.commands import CommandError
from nnunetv2_focusnet.system.files import WriteError
from nnunetv2_focusnet.system.folders import folder_from_environment
from nnunetv2_focusnet.system.processes import ProcessDiedError, map_in_processes
from nnunetv2_focusnet.system.text import in_columns

SLEEPER = """
import time
from nnunetv2_focusnet.cli.command import as_command

@as_command("sleeper", when_stopped="ORDER")
def main():
    try:
        print("started")
        time.sleep(60)
    finally:
        print("cleaned up")

main()
"""


def status_of(error: BaseException) -> object:
    """What a command exits with; text is printed to stderr, with status 1."""
    with pytest.raises(SystemExit) as ended, as_command("name"):
        raise error
    return ended.value.code


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (CommandError("train ended"), "name: train ended"),
        (CommandError("two\nlines"), "name: two lines"),
        (ProcessDiedError("one of 2 processes died"), "name: one of 2 processes died"),
        (WriteError("a.txt can't be written"), "name: a.txt can't be written"),
        (FileNotFoundError(errno.ENOENT, "No such file", "/a b/ü"), "name: /a b/ü: No such file"),
        (
            OSError(errno.ENOSPC, "No space left", "/full"),
            "name: /full can't be written (No space left): make room on that disk, then run it again",
        ),
        (MemoryError(), "name: memory ran out (no details): end other programs, or use a smaller -np"),
        (
            torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 9 GiB."),
            "name: a GPU's memory ran out (CUDA out of memory. Tried to allocate 9 GiB.): end other programs that use"
            " it, plan for less with -gpu_memory_target, or predict with -device cpu",
        ),
    ],
)
def test_an_expected_error_is_one_line(error: Exception, line: str) -> None:
    assert status_of(error) == line


def test_memory_that_pytorch_does_not_get_is_no_bug() -> None:
    with pytest.raises(SystemExit) as ended, as_command("name"):
        torch.empty(2**60, dtype=torch.uint8)  # more than processors can address
    assert str(ended.value.code).startswith("name: memory ran out (")
    assert str(ended.value.code).endswith("): end other programs, or use a smaller -np")


def test_what_this_package_raises_is_told_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("two\nlines", raising=False)
    with pytest.raises(SystemExit) as ended, as_command("name"):
        folder_from_environment("two\nlines")
    assert str(ended.value.code).startswith("name: two lines is not set: set it to")


def test_an_unexpected_error_is_one_line_that_says_where_and_how_to_see_more(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def faulty() -> None:
        with as_command("name"):
            check_num_processes(None)  # type: ignore[arg-type]

    with pytest.raises(SystemExit) as ended:
        faulty()
    line = str(ended.value.code)
    assert line.startswith("name: unexpected TypeError in command.py, line ")
    assert "NNUNETV2_FOCUSNET_TRACEBACK=1" in line
    assert "\n" not in line
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("NNUNETV2_FOCUSNET_TRACEBACK", "1")
    with pytest.raises(SystemExit):
        faulty()
    assert "Traceback (most recent call last)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("function", "argument", "kind", "place"),
    [
        (json.loads, "{", "JSONDecodeError", "command.py, line "),
        (ipaddress.ip_address, "a.txt", "ValueError", "command.py, line "),  # raised by Python code
        (in_columns, [["a", "b"], ["c"]], "ValueError", "text.py, line "),  # raised by compiled code
    ],
)
def test_errors_of_libraries_that_are_value_errors_are_not_taken_for_messages(
    function: Callable[[Any], object], argument: object, kind: str, place: str
) -> None:
    """They name no file, and nothing to do."""
    with pytest.raises(SystemExit) as ended, as_command("name"):
        function(argument)
    assert str(ended.value.code).startswith(f"name: unexpected {kind} in {place}")


@pytest.mark.parametrize(
    ("function", "arguments", "words"),
    [
        (check_num_processes, [1, 0], "name: -np must be 1 or more, got 0"),
        (in_columns, [[["a"]], [["a", "b"], ["c"]]], "name: unexpected ValueError in text.py, line "),
    ],
)
def test_errors_in_other_processes_are_told_as_those_in_this_one(
    function: Callable[[Any], object], arguments: list[Any], words: str
) -> None:
    with pytest.raises(SystemExit) as ended, as_command("name"):
        list(map_in_processes(function, arguments, 2))
    assert str(ended.value.code).startswith(words)


def test_faults_that_a_command_lists_stay_lines_of_their_own() -> None:
    with pytest.raises(SystemExit) as ended, as_command("name"):
        exit_with("name", ["a.txt: two\nlines", "b.txt"])
    assert ended.value.code == "name: a.txt: two lines\nname: b.txt"
    assert status_of(SystemExit(2)) == 2
    with as_command("name"):
        exit_with("name", [])  # and a command without any raises nothing


@pytest.mark.parametrize(
    ("number", "cause"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM"), (signal.SIGHUP, "SIGHUP")]
)
def test_a_stopped_command_cleans_up_and_says_so_in_a_line(number: int, cause: str) -> None:
    line = f"sleeper: stopped by {cause}; ORDER\n"
    assert stopped(number, "started\n", "-c", SLEEPER) == ("cleaned up\n", line, 128 + number)


@pytest.mark.parametrize(("number", "cause"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")])
def test_a_command_that_hangs_while_it_cleans_up_is_ended_all_the_same(number: int, cause: str) -> None:
    """As a pool does whose workers got the signal, too."""
    script = f"""
import multiprocessing, os, signal, time
from nnunetv2_focusnet.cli import command

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore
command.LONGEST_END_SECONDS = 0.5
with command.as_command("name", when_stopped="go on"):
    multiprocessing.get_context("fork").Process(target=time.sleep, args=[60]).start()
    try:
        os.kill(os.getpid(), {number:d})
        time.sleep(60)
    finally:
        time.sleep(60)
"""
    # Returns once nobody holds the other end of what it prints to, the worker included.
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=30)
    line = f"name: stopped by {cause}; go on; hidden leftovers may stay\n"
    assert (done.returncode, done.stderr) == (128 + number, line)


def test_what_handled_signals_before_handles_them_again() -> None:
    numbers = [signal.SIGINT, signal.SIGTERM]
    before = [signal.getsignal(number) for number in numbers]
    with as_command("name"):
        assert [signal.getsignal(number) for number in numbers] != before
    assert [signal.getsignal(number) for number in numbers] == before


def test_nohup_is_heeded() -> None:
    script = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)" + SLEEPER.replace("60", "1")
    assert stopped(signal.SIGHUP, "started\n", "-c", script) == ("cleaned up\n", "", 0)


def test_forked_workers_that_a_pool_ends_are_no_fault() -> None:
    """Pools end their workers by SIGTERM, and nnU-Net forks some."""
    script = """
import multiprocessing
from nnunetv2_focusnet.cli.command import as_command
with as_command("name"), multiprocessing.get_context("fork").Pool(4) as pool:
    print(pool.map(abs, [-1]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[1]\n", "")


def test_forked_workers_are_ended_by_signals_at_once() -> None:
    """A handler of Python's would have to wait until the worker has the lock that it waits for."""
    script = """
import multiprocessing, signal
from nnunetv2_focusnet.cli.command import as_command
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which nohup ignores
with as_command("name"), multiprocessing.get_context("fork").Pool(1) as pool:
    print(pool.map(signal.getsignal, [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]) == [signal.SIG_DFL] * 3)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "True\n")


@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_reader_that_has_seen_enough_is_no_fault(lines: int) -> None:
    """Both what is printed at once and what lies in the buffer until the end."""
    script = f"from nnunetv2_focusnet.cli.command import as_command\nwith as_command('name'): print('a\\n' * {lines})"
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, "-c", script], stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_output_that_goes_to_a_full_disk_is_a_fault() -> None:
    script = "from nnunetv2_focusnet.cli.command import as_command\nwith as_command('name'): print('a')"
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", script], stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(b"name: standard output can't be written (No space left on device): make room")
    assert done.stderr.count(b"\n") == 1


def test_names_that_the_terminal_cannot_show_are_escaped() -> None:
    script = "from nnunetv2_focusnet.cli.command import as_command\nwith as_command('name'): print('Müller \\udcfc')"
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, rb"M\xfcller \udcfc")


@pytest.mark.parametrize("given", [0, -1])
def test_a_number_of_processes_is_at_least_one(given: int) -> None:
    with pytest.raises(ValueError, match=rf"^-np must be 1 or more, got {given}$"):
        check_num_processes(given)
    assert check_num_processes(1) == 1


def test_ctrl_c_while_a_command_is_still_loading_is_one_line() -> None:
    slow = """
import sys, time
from nnunetv2_focusnet.cli import scripts

class Slow:
    def find_spec(self, name, *_):
        if name == "nnunetv2_focusnet.cli.phantom":
            print("loading")
            time.sleep(60)

sys.meta_path.insert(0, Slow())
scripts.phantom()
"""
    line = "nnUNetv2_focusnet_phantom: stopped by Ctrl-C; nothing was done\n"
    assert stopped(signal.SIGINT, "loading\n", "-c", slow) == ("", line, 130)


def test_every_console_script_is_a_command(
    monkeypatch: pytest.MonkeyPatch, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (repository / "pyproject.toml").read_text()
    names = re.findall(r"^(nnUNetv2_focusnet_\w+) = \"nnunetv2_focusnet\.cli\.scripts:(\w+)\"$", text, re.MULTILINE)
    assert len(names) == 9
    for name, function in names:
        monkeypatch.setattr("sys.argv", ["script", "--help"])
        with pytest.raises(SystemExit) as ended:
            getattr(scripts, function)()
        assert not ended.value.code
        assert f"usage: {name} " in capsys.readouterr().out  # after what nnU-Net wants to be cited


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["-np", "0"], "nnUNetv2_focusnet_compare: -np must be 1 or more, got 0"),
        (["--cv", "7", "-tr", "A"], "nnUNetv2_focusnet_compare: nnUNet_preprocessed is not set: set it to nnU-Net's"),
    ],
)
def test_compare_says_what_it_lacks(arguments: list[str], line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("nnUNet_preprocessed", raising=False)
    monkeypatch.setattr("sys.argv", ["nnUNetv2_focusnet_compare", "-o", "nowhere", *arguments])
    with pytest.raises(SystemExit) as ended:
        compare.main()
    assert str(ended.value.code).startswith(line)
    assert "\n" not in str(ended.value.code)
