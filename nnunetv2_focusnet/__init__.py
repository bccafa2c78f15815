"""FocusNet, a network for small organs beside large ones, as a trainer of nnU-Net v2.

Importing the package makes its trainers known to nnU-Net. It loads neither torch nor nnunetv2, because it is imported
whenever an interpreter of this environment starts.
"""

from nnunetv2_focusnet._startup import register

__version__ = "0.1.0"

register()
