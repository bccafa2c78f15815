"""The largest memory that a process has had."""

import resource
import sys


def peak_rss_mib(who: int) -> float:
    """Of this process (``RUSAGE_SELF``), or of the largest of the ended ones that it started (``RUSAGE_CHILDREN``)."""
    unit = 2**20 if sys.platform == "darwin" else 2**10  # macOS counts in bytes, Linux in KiB
    return resource.getrusage(who).ru_maxrss / unit
