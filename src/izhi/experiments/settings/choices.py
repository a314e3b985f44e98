"""Names that commands take beside settings; known before what they name is loaded."""

from typing import Any

#: How a trained network is quantised: rounded, trained with rounding, or both, one after the other.
QUANTIZATION_METHODS = ("ptq", "qat", "qat-after-ptq")
#: How a deployed network learns on.
ADAPTATION_METHODS = ("backprop", "evolution", "none")
#: Searches without gradients of a network's weights, and those of an artifact's on a device.
SEARCHES = ("snes", "cma-es", "ga")
DEVICE_SEARCHES = ("sep-cma-es", *SEARCHES)
#: What an artifact is made for.
TARGETS = ("core", "hls-ip")
#: Orders in which runs are listed, and figures that are drawn again.
ORDERS = ("time", "accuracy", "name")
FIGURES = ("accuracy", "outcomes", "trials", "pareto", "evolution", "adaptation")
#: What is compared and tuned, and what tuning searches, unless the command says otherwise.
USUAL_NEURONS = "lif,normalized,biological"
USUAL_SEARCH = "learning_rate=1e-4..1e-2,slope=1..10"
#: What evolution on a device does, and how a deployed network learns on, unless the command says otherwise.
USUAL_EVOLUTION: dict[str, Any] = {
    "optimizer": "snes", "batch_size": 500, "epochs": 100, "layers": None, "fresh": False, "samples": None,
    "seed": 0, "members": 64, "step_size": 0.3,
}  # fmt: skip
USUAL_ADAPTATION: dict[str, Any] = {
    "method": "backprop", "layers": 0, "optimizer": "sep-cma-es", "samples": 6000, "batch": 100, "replay": 1000,
    "steps": 10, "batch_size": 128, "learning_rate": 1e-3, "members": 32, "step_size": 0.1, "every": 5, "tested": 1000,
    "seed": 0,
}  # fmt: skip
