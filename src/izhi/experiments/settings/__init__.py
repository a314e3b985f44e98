"""Settings: groups of fields, one experiment of them, and what they must be together."""

from izhi.experiments.settings.experiment import (
    Experiment,
    experiment,
    flattened,
    parsed,
    read,
    saved_experiment,
    typed,
)
from izhi.experiments.settings.fields import Mark
from izhi.experiments.settings.groups import FIELDS, GROUP_OF, GROUPS, RENAMED, marked

__all__ = [
    "FIELDS", "GROUPS", "GROUP_OF", "RENAMED", "Experiment", "Mark", "experiment", "flattened", "marked", "parsed",
    "read", "saved_experiment", "typed",
]  # fmt: skip
