"""Segmentation by registration: the atlas that the paper compares with, and Ren et al.'s networks in its regions.

ANTs (antspyx) is an extra of this package.
"""

from importlib.util import find_spec


def check_library() -> None:
    """Call this before a registration is started.

    Raises:
        ValueError: ANTs is missing.
    """
    if find_spec("ants") is None:
        raise ValueError('the atlas needs antspyx: run pip install "nnunetv2-focusnet[atlas]"')
