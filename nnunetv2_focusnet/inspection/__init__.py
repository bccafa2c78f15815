"""Looking into a trained FocusNet: what each of its parts says about one image."""
