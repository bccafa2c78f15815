"""The console scripts. Loading a command takes seconds, in which Ctrl-C is to be one line, too."""

from functools import partial
from importlib import import_module

from nnunetv2_focusnet.cli.command import as_command


def _run(module: str) -> None:
    with as_command(f"nnUNetv2_focusnet_{module}", when_stopped="nothing was done"):
        main = import_module(f"nnunetv2_focusnet.cli.{module}").main
    main()


path = partial(_run, "path")
plan_and_preprocess = partial(_run, "plan_and_preprocess")
predict = partial(_run, "predict")
demo = partial(_run, "demo")
convert = partial(_run, "convert")
export = partial(_run, "export")
compare = partial(_run, "compare")
phantom = partial(_run, "phantom")
atlas = partial(_run, "atlas")
