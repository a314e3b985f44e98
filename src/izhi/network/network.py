"""Networks: modules in sequence, then a readout; and their inputs, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, NoReturn, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from izhi.errors import DivergenceError, SettingError, ShapeError, shown
from izhi.kernels import Spikes, SynapticInput
from izhi.kernels.deferred import DeferredFlags, can_defer, waits_for
from izhi.kernels.tracing import is_traced, is_transformed
from izhi.network.connections import Connection
from izhi.network.initialization import CalibrationReport, calibrate
from izhi.network.layers import BatchNorm, Layer, ModuleState
from izhi.network.sequence import Dropout, are_weights, hooked, layers_of, run_sequence
from izhi.neurons.state import Target, detach, moved
from izhi.spec.network import check_network


class NetworkState(NamedTuple):
    """The state of a network, from which the next call continues.

    Attributes:
        layers: the state of each module: that of a layer, a list of those of a residual block, else None.
        readout: the trace of the readout's synapse, (B, classes); None without one.
    """

    layers: list[ModuleState]
    readout: Tensor | None = None

    def detach(self) -> NetworkState:
        """The same state without its history, see ``izhi.neurons.state.detach``."""
        return detach(self)

    def to(self, target: Target) -> NetworkState:
        """The same state on another device or in another dtype."""
        return moved(self, target)


class NetworkOutput(NamedTuple):
    """The result of a network.

    Attributes:
        output: the argument of the loss, (T, B, classes): spikes of the last layer, or the readout's currents.
        state: the state after the last step.
    """

    output: Tensor
    state: NetworkState

    @property
    def spikes(self) -> NoReturn:
        raise AttributeError("network(x) returns output and state; network.record(x).spikes has those of every layer")


class Recording(NamedTuple):
    """The result of ``Network.record``.

    Attributes:
        output: see ``NetworkOutput``.
        state: see ``NetworkOutput``.
        spikes: spikes of every layer of neurons, (T, B, *features) each.
    """

    output: Tensor
    state: NetworkState
    spikes: list[Tensor]


def _has_limitless_v(module: nn.Module) -> bool:
    """Whether neurons may pass through infinity and return by their reset, as those of the FPGA IP do."""
    settings = getattr(getattr(module, "neuron", None), "settings", None)
    return settings is not None and settings.constants.v_low == -math.inf


def _tensors(state: ModuleState) -> list[Tensor]:
    """The tensors of a state."""
    if isinstance(state, (tuple, list)):
        return [x for one in state for x in _tensors(one)]
    return [state] if isinstance(state, Tensor) else []


def _has_nan(x: Tensor) -> bool:
    """Whether a number is NaN."""
    # The sum of squares takes a small part of the time of isnan, and without them ∞ − ∞ would be NaN as well.
    x = x.detach().flatten()
    return bool(x.dot(x).isnan())


def _diverged(name: str) -> DivergenceError:
    return DivergenceError(
        f"a state of {name} is not a number: weights, coefficients or inputs are not finite, or too large;"
        " choose smaller ones"
    )


class Network(nn.Module):
    """Layers in sequence, then a readout: ``output, state = network(spikes, state=None)``.

        network = Network([nn.Linear(784, 512), izhi.Izhikevich(), nn.Linear(512, 10)])

    Args:
        layers: at least one layer, unless there is a readout: a ``Layer``, or weights (``nn.Linear``, ``nn.Conv1d``,
            ``nn.Conv2d`` or a Connection) and the neurons behind them, which are joined to a Layer. Between
            layers there may be any module without state. It is called with (T·B, *features), so that
            ``nn.MaxPool2d(2)``, ``nn.Flatten()``, ``nn.Unflatten(1, (1, 28, 28))`` and ``nn.BatchNorm2d(8)``, over time
            and batch, work as usual.
        readout: weights without neurons, whose currents are the output: of a Linear weighted spikes, which the loss
            sums over time; with an ExponentialSynapse a leaky membrane. None for weights at the end of ``layers``, or
            else for the spikes of the last layer.
        keep_every: None to store for the backward pass what each step needs; k to store the state of every k-th step
            and to compute the steps between them again, in the memory of k steps and a second forward pass.
        dropout: share of the neurons of each layer that are silenced in training, for a whole sample; the spikes of
            the others count 1/(1 − dropout).
        is_exact: whether it is evaluated in float32 whatever the precision of training; the integers of quantised
            networks are exact there.

    Raises:
        ShapeError: if there are no layers and no readout.
        SettingError: for modules that a network cannot hold, and numbers out of range.
    """

    readout: Connection | None
    #: Which states of an earlier call are NaN, where a device still computes that.
    _pending: tuple[list[str], DeferredFlags] | None = None

    def __init__(
        self, layers: Sequence[nn.Module], readout: nn.Module | None = None, *, keep_every: int | None = None,
        dropout: float = 0.0, is_exact: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        if readout is None and layers and are_weights(layers[-1]):
            *layers, readout = layers
        if readout is not None and not isinstance(readout, Connection):
            readout = Connection.of(readout)
        self.layers = nn.ModuleList(layers_of(layers))
        for number, layer in enumerate(self.spiking, start=1):
            layer.name = f"layer {number}"
        kinds = (BatchNorm, nn.modules.batchnorm._BatchNorm)
        check_network(
            dropout, keep_every, is_empty=not self.spiking and readout is None,
            normalizes=any(isinstance(x, kinds) for x in self.modules()),
        )  # fmt: skip
        self.readout = readout
        self.keep_every, self.dropout, self.is_exact = keep_every, dropout, is_exact

    @property
    def spiking(self) -> list[Layer]:
        """The layers of neurons in their order, including those of residual blocks."""
        return [x for x in self.layers.modules() if isinstance(x, Layer)]

    @property
    def outputs(self) -> int | None:
        """The number of outputs, such as classes; None if it depends on the shape of the input."""
        last = self.readout if self.readout is not None else self.spiking[-1].connection
        ends = self.readout is not None or isinstance(self.layers[-1], Layer)
        return last.outputs if ends and isinstance(last.input, nn.Linear) else None

    def neurons(self, *features: int) -> list[int]:
        """The number of neurons of each layer for inputs of these features, from a step of zeros."""
        own, training = next(self.parameters()), self.training
        self.eval()
        try:
            with torch.no_grad():
                spikes = self.record(own.new_zeros(1, 1, *features)).spikes
        finally:
            self.train(training)
        return [x[0, 0].numel() for x in spikes]

    def forward(self, spikes: Spikes, state: NetworkState | None = None, *, record: object = None) -> NetworkOutput:
        """Run spikes (T, B, *features) through every layer.

        Args:
            spikes: input of the first layer.
            state: that an earlier call returned, to continue from; None for the initial state.
            record: not used any more, see the method ``record``.

        Raises:
            SettingError: for a state that is none of a network, or ``record``.
            DivergenceError: for a layer whose state becomes NaN.
        """
        if record is not None:
            raise SettingError(f"record is {record!r}, which calls do not take any more; use network.record(spikes)")
        before = NetworkState([None] * len(self.layers)) if state is None else state
        if not isinstance(before, NetworkState):
            raise SettingError(f"state is {shown(state)}, expected a NetworkState, as network(spikes) returns it")
        masks: dict[Layer, Tensor] = {}
        if not self.keep_every or not torch.is_grad_enabled() or len(spikes) <= self.keep_every or is_transformed():
            output, after = self._run(spikes, before, masks)
            self._check_states(after)
            return NetworkOutput(output, after)
        outputs = []
        run = self._run if is_traced() else self._run_again()
        for chunk in spikes.split(self.keep_every):
            output, before = cast(
                NetworkOutput, checkpoint(run, chunk, before, masks, use_reentrant=False, preserve_rng_state=False)
            )
            outputs.append(output)
        self._check_states(before)
        return NetworkOutput(torch.cat(outputs), before)

    def _run_again(self) -> Callable[..., NetworkOutput]:
        """``_run``, which raises SettingError unless the parameters are those of now."""
        parameters = list(self.parameters())

        def run(*arguments: Any) -> NetworkOutput:
            if any(x is not y for x, y in zip(self.parameters(), parameters, strict=True)):
                raise SettingError(
                    f"keep_every is {self.keep_every}, which computes steps again in the backward pass, but the call"
                    " had other parameters, by torch.func.functional_call, expected keep_every=None there"
                )
            return self._run(*arguments)

        return run

    def _check_states(self, after: NetworkState) -> None:
        """Raise DivergenceError for a layer whose state is not a number: it would look like one that is silent.

        On a GPU a later call raises it, since the CPU would have to wait for the state.
        """
        if is_traced():
            return
        later: list[tuple[str, Tensor]] = []
        for number, (module, state) in enumerate(zip(self.layers, after.layers, strict=True), start=1):
            if _has_limitless_v(module):
                continue
            name = module.name if isinstance(module, Layer) else f"number {number} of the network"
            for x in _tensors(state):
                if waits_for(x.device):
                    later.append((name, x.detach()))
                elif _has_nan(x):
                    raise _diverged(name)
        if later and can_defer(later[0][1].device):
            self._check_later(later)

    def _check_later(self, states: list[tuple[str, Tensor]]) -> None:
        """Raise DivergenceError for a state of an earlier call, if the device has computed it; these are next."""
        before, are_nan = self._pending, None
        if before is not None and (are_nan := before[1].read()) is None:
            return
        self._pending = None
        if before is not None and are_nan is not None and any(are_nan):
            raise _diverged(next(name for name, is_nan in zip(before[0], are_nan, strict=True) if is_nan))
        flags = torch.stack([x.float().amax() for _, x in states]).isnan()
        self._pending = [name for name, _ in states], DeferredFlags(flags)

    def calibrate(self, spikes: Spikes, deviation: float = 0.6, *, centred: bool = True) -> CalibrationReport:
        """Scale the weights by samples, so that training begins with neurons that neither rest nor fire all the time.

        Layer by layer, each neuron's (channel's) weights and bias get the factor with which its v, were there no
        spikes, has this standard deviation over samples and time, in units of threshold − v at rest; recurrence is left
        out. Where a layer is normalised, the factor of the normalisation is scaled.

        Args:
            spikes: input of the first layer, (T, B, *features), of some hundred training samples.
            deviation: above 0; with 0.5 to 0.7, v crosses the threshold every now and then.
            centred: whether biases are set so that the mean current is 0 as well.

        Returns:
            Shares of silent and saturated neurons of each layer, before and after.

        Raises:
            SettingError: for quantised neurons, or those without a threshold, and a deviation out of range.
        """
        return calibrate(self, spikes, deviation, centred=centred)

    def record(self, spikes: Spikes, state: NetworkState | None = None) -> Recording:
        """Run spikes as a call does, and return the spikes of every layer as well."""
        calls: list[Tensor] = []
        with hooked(self.spiking, lambda layer, inputs, out: calls.append(out[0])):
            output, after = self(spikes, state)
        layers = sum(map(len, calls)) // len(spikes)
        if layers < len(calls):  # with keep_every each layer ran once for each chunk
            calls = [torch.cat(calls[k::layers]) for k in range(layers)]
        return Recording(output, after, calls)

    def _run(self, spikes: Spikes, before: NetworkState, masks: dict[Layer, Tensor]) -> NetworkOutput:
        keep = 1 - self.dropout if self.training else 1.0
        last = self.spiking[-1] if keep < 1 and self.readout is None else None
        out, after = run_sequence(self.layers, spikes, before.layers, Dropout(keep, last, masks))
        if self.readout is None:
            return NetworkOutput(cast(Tensor, out), NetworkState(after))
        try:
            current, trace = self.readout.read_out(out, before.readout)
        except ShapeError as error:
            raise ShapeError(f"the readout: {error}") from None
        return NetworkOutput(current, NetworkState(after, trace))


def input_features(modules: Iterable[nn.Module | None]) -> tuple[int, ...]:
    """The features of the input of a network's modules, from the first of them.

    Raises:
        SettingError: if it accepts any number of features.
    """
    first = next((x for x in modules if x is not None), None)
    if isinstance(first, nn.Unflatten):
        return tuple(first.unflattened_size)
    connection = first.connection if isinstance(first, Layer) else first
    if isinstance(connection, Connection) and isinstance(connection.input, nn.Linear):
        return (connection.inputs,)
    raise SettingError(
        f"the network begins with {type(first).__name__}, which does not say how many inputs there are;"
        " begin it with nn.Unflatten(1, (channels, height, width))"
    )


def run_with_hooks(network: Network, spikes: Spikes, see: Callable[[Layer, SynapticInput, Tensor], None]) -> Tensor:
    """Run spikes through a network; its output. ``see`` receives each layer, its input and its spikes."""

    def show(layer: nn.Module, inputs: tuple[Any, ...], outputs: tuple[Tensor, ...]) -> None:
        own, (arriving, _, *more) = cast(Layer, layer), inputs
        see(own, own.drive(arriving, None, *more)[0], outputs[0])

    with hooked(network.spiking, show):
        output: Tensor = network(spikes).output
    return output


def first_nonfinite(network: Network, spikes: Spikes) -> str | None:
    """The layer and time step of the first number that is not finite: ``"layer 1, time step 3"``, or None."""
    if isinstance(spikes, Tensor) and not torch.isfinite(spikes).all():
        return "the input"
    positions: list[str] = []

    def check(name: str, *tensors: Tensor | None) -> None:
        for tensor in tensors:
            if tensor is not None and not positions and not (finite := torch.isfinite(tensor)).all():
                step = int((~finite.flatten(1).all(dim=1)).nonzero()[0])
                positions.append(f"{name}, time step {step}")

    def of_layer(layer: Layer, drive: SynapticInput, fired: Tensor) -> None:
        check(layer.name, drive.current, drive.conductance, fired)

    with torch.no_grad():
        try:
            output = run_with_hooks(network, spikes, of_layer)
        except DivergenceError as error:
            return positions[0] if positions else str(error).partition(":")[0]
        if network.readout is not None:
            check("the readout", output)
    return positions[0] if positions else None
