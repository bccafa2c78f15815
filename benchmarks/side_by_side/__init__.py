"""Training nnU-Net trainers side by side, on the same data for the same time; parts of both scripts above."""
