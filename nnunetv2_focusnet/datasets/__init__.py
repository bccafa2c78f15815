"""Simulated datasets in the raw format of nnU-Net."""
