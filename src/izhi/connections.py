"""Connections between layers, and delays: what ``izhi.network.connections`` holds."""

from izhi.network.connections import *  # noqa: F403
