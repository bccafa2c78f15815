"""Images as they lie on disk: found, checked, read, and compared by their grids. Nothing here imports torch."""
