"""Simulated heads, and nnU-Net's commands run on them."""
