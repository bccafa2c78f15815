"""What is known of a dataset's organs: names, sides, sizes, what is annotated; and what of it goes into the plans."""
