"""Whether nnU-Net finds all trainers: ``python -m side_by_side.check_trainers NAME...``."""

import sys

from side_by_side.budgeted_trainer import find_trainer
from side_by_side.jobs import BenchmarkError

if __name__ == "__main__":
    try:
        for name in sys.argv[1:]:
            find_trainer(name)
    except BenchmarkError as error:
        sys.exit(str(error))
