"""Images as they lie on disk: checked, read, written, and compared by their grids. Nothing here imports torch."""
