"""Experiments: from settings to networks, runs, comparisons, searches and reports."""
