"""What is known of a data set's organs: names, sides, sizes, what is annotated; and what of it goes into the plans."""
