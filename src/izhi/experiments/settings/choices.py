"""Names and defaults of commands besides settings, importable without torch."""

from typing import Any

#: Methods of quantisation: rounding, training with rounding, or both in turn.
QUANTIZATION_METHODS = ("ptq", "qat", "qat-after-ptq")
#: Methods of adaptation.
ADAPTATION_METHODS = ("backprop", "evolution", "none")
#: Searches of evolution, of a network and of an artifact on a device.
SEARCHES = ("snes", "cma-es", "ga")
DEVICE_SEARCHES = ("sep-cma-es", *SEARCHES)
#: Targets of an artifact.
TARGETS = ("core", "hls-ip")
#: Orders of listed runs, and figures of finished commands.
ORDERS = ("time", "accuracy", "name")
FIGURES = ("accuracy", "outcomes", "trials", "pareto", "evolution", "adaptation", "ranks")
#: Default variants of comparisons and searches, and the default search.
USUAL_NEURONS = "lif,normalized,biological"
USUAL_SEARCH = "learning_rate=1e-4..1e-2,slope=1..10"
#: Defaults of evolution on a device, and of the adaptation of a deployed network.
USUAL_EVOLUTION: dict[str, Any] = {
    "optimizer": "snes", "batch_size": 500, "epochs": 100, "layers": None, "fresh": False, "samples": None,
    "seed": 0, "members": 64, "step_size": 0.3,
}  # fmt: skip
USUAL_ADAPTATION: dict[str, Any] = {
    "method": "backprop", "layers": 0, "optimizer": "sep-cma-es", "samples": 6000, "batch": 100, "replay": 1000,
    "steps": 10, "batch_size": 128, "learning_rate": 1e-3, "members": 32, "step_size": 0.1, "every": 5, "tested": 1000,
    "seed": 0,
}  # fmt: skip
