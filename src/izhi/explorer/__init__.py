"""Neurons, runs and devices in a browser, on this machine alone: ``izhi explore``. Needs the extra ``explore``."""
