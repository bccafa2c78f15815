"""Training several nnU-Net trainers side by side: the same data, plans and time; parts of small_organs.py and paper_tables.py."""
