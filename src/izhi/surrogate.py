"""Surrogate derivatives of the spike: what ``izhi.neurons.surrogate`` holds."""

from izhi.neurons.surrogate import *  # noqa: F403
