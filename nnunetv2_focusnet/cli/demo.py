"""``nnUNetv2_focusnet_demo``: from images to a report with nnU-Net's own commands, in minutes."""

from __future__ import annotations

import argparse
from pathlib import Path

from nnunetv2_focusnet.cli.command import as_command
from nnunetv2_focusnet.demo.demo import Demo

COMMAND = "nnUNetv2_focusnet_demo"
HOW_LONG = "about 8 minutes on 2 CPU cores"


@as_command(COMMAND, when_stopped="the same command goes on from here")
def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(
        prog=COMMAND,
        description="Make a few simulated head CTs, train FocusNet and stock nnU-Net on them with nnU-Net's own "
        f"commands, predict unseen heads and compare both in a report with pictures. Takes {HOW_LONG}. "
        "Writes only into DIR.",
    )
    default = Path("nnUNetv2_focusnet_demo")
    parser.add_argument(
        "-o", type=Path, default=default, metavar="DIR", help=f"folder for everything (default: {default})"
    )
    folder = parser.parse_args().o
    demo = Demo(folder)
    print(f"FocusNet on simulated heads, in {demo.folder}, on {demo.device}; {HOW_LONG}", flush=True)
    demo.run()


if __name__ == "__main__":
    main()
