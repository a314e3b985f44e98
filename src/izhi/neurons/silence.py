"""A warning for a layer that stays silent in training: without spikes it does not learn."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from torch import Tensor

from izhi.errors import SilentLayerWarning
from izhi.kernels.tracing import is_traced

#: Calls, and time steps in all, without a spike after which a layer is called silent.
CALLS, STEPS = 5, 100


@dataclass(eq=False)
class SilenceWatch:
    """Checks a layer's spikes until one has occurred, or it has warned."""

    calls: int = 0
    steps: int = 0
    is_over: bool = False

    def see(self, spikes: Tensor, steps: int, layer: str, stacklevel: int) -> None:
        """Check the spikes of one call.

        Args:
            spikes: of all its steps; spikes without gradient are ignored.
            steps: the number of time steps.
            layer: its name in the warning.
            stacklevel: of the layer's caller, from here.
        """
        if self.is_over or not spikes.requires_grad or is_traced():
            return
        self.calls, self.steps = self.calls + 1, self.steps + steps
        if spikes.detach().any():
            self.is_over = True
        elif self.calls >= CALLS and self.steps >= STEPS:
            self.is_over = True
            warnings.warn(
                f"{layer} is silent: no neuron has fired in {self.calls} calls ({self.steps} steps) of training;"
                " raise its input current (gain or weights) or the steps",
                SilentLayerWarning,
                stacklevel=stacklevel,
            )
