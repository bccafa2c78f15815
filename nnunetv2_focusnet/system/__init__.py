"""What the operating system does: files, folders, processes."""
