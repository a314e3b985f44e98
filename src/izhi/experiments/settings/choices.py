"""Names that commands take beside settings; known before what they name is loaded."""

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
FIGURES = ("accuracy", "outcomes")
#: What is compared and tuned, and what tuning searches, unless the command says otherwise.
USUAL_NEURONS = "lif,normalized,biological"
USUAL_SEARCH = "learning_rate=1e-4..1e-2,slope=1..10"
