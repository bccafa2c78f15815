"""Datasets in the raw format of nnU-Net: public ones, a clinic's own, and simulated heads."""
