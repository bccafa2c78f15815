"""Comparing models organ by organ: metrics, statistics, tables, plots, report."""
