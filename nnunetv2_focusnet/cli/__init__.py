"""A module per console script; modules named after one (``demo_...``) are its parts."""
