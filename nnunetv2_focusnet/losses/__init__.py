"""Losses as functions, targets made from labels, and the modules that choose and add them up for a trainer."""
