"""A warning for a layer that stays silent in training: without spikes it does not learn."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from torch import Tensor

from izhi.errors import SilentLayerWarning
from izhi.kernels.deferred import DeferredFlags, can_defer
from izhi.kernels.packed import bits_of
from izhi.kernels.tracing import is_traced

#: Calls, and time steps in all, without a spike after which a layer is called silent.
CALLS, STEPS = 5, 100


@dataclass(eq=False)
class SilenceWatch:
    """Checks a layer's spikes until one has occurred, or it has warned.

    On a GPU it reads what an earlier call gave, if that has been computed, and so checks some of the calls.
    """

    calls: int = 0
    steps: int = 0
    is_over: bool = False
    _pending: tuple[DeferredFlags, int] | None = None

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
        if self._pending is None:
            if not can_defer(spikes.device):
                return
            bits = bits_of(spikes)
            self._pending = DeferredFlags((spikes.detach() if bits is None else bits.words).any()[None]), steps
        flags, of_call = self._pending
        fired = flags.read()
        if fired is None:
            return
        self._pending, self.calls, self.steps = None, self.calls + 1, self.steps + of_call
        if fired[0]:
            self.is_over = True
        elif self.calls >= CALLS and self.steps >= STEPS:
            self.is_over = True
            warnings.warn(
                f"{layer} is silent: no neuron has fired in {self.calls} calls ({self.steps} steps) of training;"
                " raise its input current (gain or weights) or the steps",
                SilentLayerWarning,
                stacklevel=stacklevel,
            )
