import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest
from commands_apart import ended, largest_file, start

from nnunetv2_focusnet import __version__
from nnunetv2_focusnet._startup import discovery_folder
from nnunetv2_focusnet.cli.demo import Demo
from nnunetv2_focusnet.demo.commands import Command, CommandError, environment, find_command, run_commands
from nnunetv2_focusnet.demo.plans import PATCH_ZYX, shrink_plans
from nnunetv2_focusnet.demo.progress import EpochProgress
from nnunetv2_focusnet.system.files import WriteError


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in PATH for commands of the test's own."""
    folder = tmp_path / "scripts"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return folder


def write_script(folder: Path, name: str, body: str) -> None:
    program = folder / f"{name}.py"
    program.write_text(body)
    path = folder / name
    # Through a shell, as a script's first line takes no interpreter whose path has a space.
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{program}" "$@"\n')
    path.chmod(0o755)


def test_commands_get_folders_of_their_own_and_the_caller_keeps_his(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("nnUNet_raw", "/the/users/own")
    monkeypatch.setenv("nnUNet_wandb_enabled", "1")
    monkeypatch.setenv("nnUNet_extTrainer", "/the/users/trainers")
    variables = environment(tmp_path / "with space")
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        assert variables[name] == str(tmp_path / "with space" / name)
    assert "nnUNet_wandb_enabled" not in variables
    assert variables["nnUNet_extTrainer"] == discovery_folder()
    assert os.environ["nnUNet_raw"] == "/the/users/own"


def test_commands_are_found_beside_python_without_an_activated_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert Path(find_command("nnUNetv2_train")).name.startswith("nnUNetv2_train")
    with pytest.raises(CommandError, match="nnUNetv2_no_such_command is not installed"):
        find_command("nnUNetv2_no_such_command")


def test_output_goes_to_the_log_and_line_by_line_to_the_caller(tmp_path: Path, scripts: Path) -> None:
    write_script(scripts, "two_lines", "import sys; print(sys.argv[1]); print('b', file=sys.stderr)")
    lines: list[str] = []
    run_commands([Command(["two_lines", "a a"], tmp_path / "log", lines.append)], tmp_path)
    assert lines == ["a a", "b"]
    assert (tmp_path / "log").read_text() == "a a\nb\n"


def test_a_failure_names_command_reason_and_log(tmp_path: Path, scripts: Path) -> None:
    write_script(scripts, "failing", "import sys; print('before'); sys.exit('out of tea')")
    with pytest.raises(CommandError, match=r"failing ended with status 1 \(out of tea\); its log is .*step\.log"):
        run_commands([Command(["failing"], tmp_path / "step.log")], tmp_path)


def test_commands_run_side_by_side(tmp_path: Path, scripts: Path) -> None:
    # Each waits for what the other one writes: one after the other they would wait for ever.
    body = """
import sys, time
from pathlib import Path
mine, other = map(Path, sys.argv[1:])
mine.touch()
while not other.exists():
    time.sleep(0.01)
print("saw", other.name)"""
    write_script(scripts, "meeting", body)
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    lines: list[str] = []
    pairs = [(a, b), (b, a)]
    run_commands([Command(["meeting", *pair], Path(f"{pair[0]}.log"), lines.append) for pair in pairs], tmp_path)
    assert sorted(lines) == ["saw a", "saw b"]


def test_a_failure_ends_the_commands_beside_it_and_is_the_one_that_is_named(tmp_path: Path, scripts: Path) -> None:
    write_script(scripts, "sleeper", "import os, time; print(os.getpid(), flush=True); time.sleep(60)")
    # It fails once the other one runs.
    body = """
import sys, time
from pathlib import Path
while not Path(sys.argv[1]).read_text():
    time.sleep(0.01)
sys.exit("out of tea")"""
    write_script(scripts, "failing", body)
    pids: list[str] = []
    other = tmp_path / "other.log"
    other.touch()
    commands = [Command(["sleeper"], other, pids.append), Command(["failing", str(other)], tmp_path / "step.log")]
    with pytest.raises(CommandError, match=r"failing ended with status 1 \(out of tea\); its log is .*step\.log"):
        run_commands(commands, tmp_path)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pids[0]), 0)


def test_a_killed_command_leaves_no_worker_behind(tmp_path: Path, scripts: Path) -> None:
    # The worker keeps the output open and would sleep on; its parent dies as out-of-memory processes do.
    body = """
import os, signal, subprocess, sys
worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(worker.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)"""
    write_script(scripts, "dying", body)
    pids: list[str] = []
    start = time.monotonic()
    with pytest.raises(CommandError, match="status -9"):
        run_commands([Command(["dying"], tmp_path / "log", pids.append)], tmp_path)
    assert time.monotonic() - start < 30
    status = Path(f"/proc/{pids[0]}/status")
    # In a container without an init the worker may stay as a zombie, which runs nothing.
    assert not status.exists() or "State:\tZ" in status.read_text()


def test_ctrl_c_ends_the_running_command(tmp_path: Path, scripts: Path) -> None:
    write_script(scripts, "sleeper", "import os, time; print(os.getpid(), flush=True); time.sleep(60)")
    caller = f"""
from pathlib import Path
from nnunetv2_focusnet.demo.commands import Command, run_commands
run_commands([Command(["sleeper"], Path({str(tmp_path / "log")!r}), print)], Path({str(tmp_path)!r}))"""
    with ended(start("-c", caller)) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "$ sleeper"
        pid = int(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_plans_shrink_once_and_say_what_changed(tmp_path: Path) -> None:
    kernels = [[3, 3, 3]] * 3
    sizes = {"n_stages": 3, "features_per_stage": [32, 64, 128], "kernel_sizes": kernels}
    convolutions = {"n_conv_per_stage": [2, 2, 2], "n_conv_per_stage_decoder": [2, 2]}
    architecture = {"arch_kwargs": sizes | convolutions}
    full = {"patch_size": [48, 96, 96], "batch_size": 2, "spacing": [2.5, 1.5, 1.5], "architecture": architecture}
    plans_file = tmp_path / "nnUNetPlans.json"
    plans_file.write_text(json.dumps({"configurations": {"2d": {"batch_size": 9}, "3d_fullres": full}, "kept": 1}))
    said = shrink_plans(plans_file)
    first = plans_file.read_text()
    shrink_plans(plans_file)
    assert plans_file.read_text() == first
    plans = json.loads(first)
    small = plans["configurations"]["3d_fullres"]
    widths = small["architecture"]["arch_kwargs"]["features_per_stage"]
    assert small["patch_size"] == PATCH_ZYX
    assert len(widths) == 3
    assert small["architecture"]["arch_kwargs"]["n_conv_per_stage"] == [1, 2, 2]  # full resolution comes first
    assert small["architecture"]["arch_kwargs"]["n_conv_per_stage_decoder"] == [2, 1]  # and last
    assert all(narrow < wide for narrow, wide in zip(widths, [32, 64, 128], strict=True))
    assert small["architecture"]["arch_kwargs"]["kernel_sizes"] == kernels
    assert plans["configurations"]["2d"] == {"batch_size": 9}
    assert plans["kept"] == 1
    assert said.startswith("patch 48x96x96 (z, y, x), batch 2, widths 32/64/128 -> patch ")


@pytest.mark.parametrize(
    ("content", "fault"),
    [('{"configu', "isn't JSON"), ("[]", "must hold a JSON object"), ("{}", "isn't what nnU-Net writes")],
)
def test_broken_plans_are_named(tmp_path: Path, content: str, fault: str) -> None:
    file = tmp_path / "plans.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=rf"plans\.json {fault}"):
        shrink_plans(file)


def test_one_line_per_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    show = EpochProgress("FocusNet", 12, lambda: " 1:05")
    for line in (
        "This is the configuration used by this training:",
        "2026-01-01 00:00:00.1: Epoch 0 ",
        "2026-01-01 00:00:09.1: train_loss 9.5",
        "2026-01-01 00:00:09.2: Epoch time: 9.03 s",
        "2026-01-01 00:00:10.1: Epoch 1",
        "2026-01-01 00:00:19.0: localisation error: Lens_L 1.50 mm",
        "2026-01-01 00:00:19.1: train_loss 8.0",
        "2026-01-01 00:00:19.2: Epoch time: 9.03 s",
    ):
        show(line)
    assert capsys.readouterr().out.splitlines() == [
        "[ 1:05] FocusNet: epoch 1 of 12, loss 9.5",
        "[ 1:05] FocusNet: epoch 2 of 12, loss 8.0, localisation error: Lens_L 1.50 mm",
    ]


def test_the_demo_leaves_other_peoples_folders_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="holds other files: name a new or empty folder with -o"):
        Demo(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_demo_names_a_file_in_place_of_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "thesis.txt"
    file.write_text("years of work")
    with pytest.raises(WriteError, match=r"thesis\.txt can't be written \(.*\): a file is where a folder should be"):
        Demo(file).run()
    assert file.read_text() == "years of work"


def test_a_demo_of_another_version_is_not_continued(tmp_path: Path) -> None:
    (tmp_path / "demo.json").write_text(json.dumps({"version": "0.0.0", "finished": []}))
    with pytest.raises(ValueError, match=rf"version 0\.0\.0, this is {__version__}: delete the folder"):
        Demo(tmp_path)


def test_a_stopped_demo_goes_on_behind_its_last_finished_step(tmp_path: Path) -> None:
    finished = ["simulate", "preprocess", "edit_plans", "train", "predict"]
    state = tmp_path / "demo.json"
    state.write_text(json.dumps({"version": __version__, "finished": finished}))
    # There is nothing to compare in this folder, as the command says.
    with pytest.raises(CommandError, match=r"nnUNetv2_focusnet_compare ended with status 1.*labelsTs is no folder"):
        Demo(tmp_path).run()
    assert json.loads(state.read_text())["finished"] == finished
    assert [path.name for path in (tmp_path / "logs").iterdir()] == ["6_compare.log"]


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"version": 1}', '{"version": "1", "finished": 3}'])
def test_a_broken_note_of_what_is_finished_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "demo.json").write_text(content)
    with pytest.raises(ValueError, match=r"demo\.json doesn't say what the demo has done: delete the folder"):
        Demo(tmp_path)


def test_a_log_that_cannot_be_written_ends_the_command(tmp_path: Path, scripts: Path) -> None:
    """It would wait for ever for somebody to read what it prints."""
    write_script(scripts, "talker", "while True: print('x' * 10_000)")
    with largest_file(50_000), pytest.raises(WriteError, match=r"step\.log can't be written \(File too large\)"):
        run_commands([Command(["talker"], tmp_path / "step.log")], tmp_path)
