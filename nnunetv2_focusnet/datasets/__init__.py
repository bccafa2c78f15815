"""Simulated data sets and converters to the raw format of nnU-Net."""
