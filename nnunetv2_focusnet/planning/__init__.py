"""Planning for FocusNet: patch and batch from its own memory, and what a plan costs."""
