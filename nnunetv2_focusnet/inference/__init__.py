"""Prediction of whole images: one location per small organ and image, and flips that swap left and right."""
