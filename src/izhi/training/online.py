"""Learning online: gradients whose memory does not grow with the steps, by eligibility traces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeGuard, cast

import torch
from torch import Tensor, nn

from izhi import kernels
from izhi.data import AnyBatch
from izhi.errors import SettingError
from izhi.kernels import Memory, Spikes, SynapticInput
from izhi.kernels.reference import apply_synapse
from izhi.network import Network, NetworkState
from izhi.network.connections import Connection, weight_of
from izhi.network.layers import Layer
from izhi.network.sequence import hooked
from izhi.neurons.neuron import NeuronLayer
from izhi.neurons.state import map_tensors
from izhi.spec.connection import at_least_one
from izhi.training.classifier import Classifier
from izhi.training.gradients import Backprop, Step, check_loss, independent_output


@dataclass(frozen=True)
class Online(Backprop):
    """Training by gradients, in memory that does not grow with the number of time steps.

    A sample is cut into segments. The backward pass of a segment ends at the states s with which the segment began.
    Each sample has eligibility traces e = ∂s/∂θ, the derivatives of a neuron's states by its own weights and
    coefficients θ over all steps before, which go forward in time:

        gradient of θ += Σ ∂L/∂s·e + ∂L/∂θ within the segment
        e ← ∂s′/∂s·e + ∂s′/∂θ,   s′: the states after the segment

    With segments of one step this is e-prop (Bellec et al. 2020, doi:10.1038/s41467-020-17236-y), with longer ones the
    hybrid propagation of HYPR (Baronig et al. 2025, arXiv:2506.14464), with one segment backpropagation through time.
    For one layer without recurrence and a readout without synapse the gradient is that of backpropagation. Else it
    lacks the effect of a spike on other neurons, and on the readout's trace, after the end of its segment.

    Traces take samples·neurons·inputs·states numbers. A first pass without gradients computes the output of all steps,
    so that any loss can be used. Where a synapse's τ is learned, the traces of its layer are computed step by step in
    torch.

    Attributes:
        optimizer: see ``Backprop``.
        schedule: see ``Backprop``.
        clip: see ``Backprop``.
        segment: time steps of a segment, at least 1.

    Raises:
        SettingError: by ``Trainer.fit``, for convolutions, delays, normalisation, quantised networks, ``keep_every``,
            and several processes.
    """

    segment: int = 32

    def start_step(self, trainer: Any, model: nn.Module, optimizer: Any) -> Step:
        at_least_one(segment=self.segment)
        if trainer.machine.world_size > 1:
            raise SettingError(
                f"online learning has {trainer.machine.world_size} processes, expected one; leave devices and nodes at"
                " 1, or train by Backprop"
            )
        check_online(cast(Any, model).module.network)
        return OnlineStep(trainer.machine, model, optimizer, trainer.measure, self.clip, self.segment)


def check_online(network: Network) -> None:
    """Raise SettingError for the first part of a network that ``Online`` does not train."""
    if network.keep_every is not None:
        raise SettingError(
            f"keep_every is {network.keep_every}, but online learning keeps one segment's states; leave it out"
        )
    for part in (*network.spiking, network.readout):
        name = part.name if isinstance(part, Layer) else "the readout"
        odd = None if part is None else _unfit(part)
        if odd is not None:
            raise SettingError(f"{name} has {odd}, which is not trained online; leave it out, or train by Backprop")
    own = {id(p) for layer in network.spiking for p in layer.parameters()}
    for module in network.layers.modules():
        learns = any(id(p) not in own for p in module.parameters(recurse=False))
        if learns or isinstance(module, nn.modules.batchnorm._BatchNorm):
            raise SettingError(
                f"{type(module).__name__} stands beside the layers of neurons, which alone are trained online; leave it"
                " out, or train by Backprop"
            )


def traces_of_sample(network: Network) -> int:
    """How many numbers the traces of one sample are."""
    return sum(traces.numbers for traces in _traced(network).values())


def _unfit(part: Layer | Connection) -> str | None:
    """The property of a part for which there are no eligibility traces; None if there are."""
    connection = part.connection if isinstance(part, Layer) else part
    if not isinstance(connection.input, nn.Linear):
        return "a convolution"
    if type(connection).forward is not Connection.forward:
        return "quantised weights"
    if not isinstance(part, Layer):
        return None
    if part.delay is not None:
        return "delays"
    if part.norm is not None:
        return "normalisation"
    if not isinstance(part.neuron, NeuronLayer) or part.neuron.settings.formats or part.neuron.settings.state_quant:
        return "quantised neurons, or neurons of another library"
    return None


@dataclass
class OnlineStep(Step):
    """One step of an optimiser on one batch, segment by segment."""

    segment: int = 32  #: time steps of a segment

    def differentiate(self, samples: AnyBatch, labels: Tensor, seed: int, weight: float) -> tuple[Tensor, Tensor]:
        classifier: Classifier = self.model.module
        with self.fabric.autocast():
            segments = classifier.encode(samples, seed).split(self.segment)
            output = _without_gradient(classifier, segments, seed).requires_grad_()
            loss = self.loss(classifier.counted(output, samples), labels)
        check_loss(loss, output)
        (signal,) = torch.autograd.grad(weight * loss, output)
        self._propagate(classifier, segments, torch.split(signal, self.segment), seed)
        return loss, output

    def _propagate(
        self, classifier: Classifier, segments: Sequence[Spikes], signals: Sequence[Tensor], seed: int
    ) -> None:
        """Add the gradient, by the derivatives of the loss with respect to the output in each segment."""
        state: NetworkState | None = None
        traced = _traced(classifier.network)
        for number, (spikes, signal) in enumerate(zip(segments, signals, strict=True), start=1):
            state = map_tensors(state, _leaf)
            calls: list[tuple[nn.Module, tuple[Any, ...], Any]] = []
            with self.fabric.autocast(), hooked(traced, partial(_append, calls)):
                output, after = classifier.run(spikes, seed, state)
            if output.requires_grad:
                self.fabric.backward(output, gradient=signal)
            for module, (arriving, *others), fired in calls:
                before, *more = others or [state and state.readout]
                traces = traced[module]
                traces.add_gradient(before)
                if number < len(segments):
                    with self.fabric.autocast(), torch.no_grad():
                        drive = traces.drive(arriving, *more)
                    traces.advance(drive, arriving, fired[0], before)
            state = after
        if all(p.grad is None for p in classifier.parameters()):
            raise independent_output()


@torch.no_grad()
def _without_gradient(classifier: Classifier, segments: Sequence[Spikes], seed: int) -> Tensor:
    """The output of all segments."""
    outputs, state = [], None
    for spikes in segments:
        output, state = classifier.run(spikes, seed, state)
        outputs.append(output)
    return torch.cat(outputs)


def _append(calls: list[Any], *call: Any) -> None:
    calls.append(call)


def _leaf(x: Tensor) -> Tensor:
    """The tensor without its history, of which a gradient is asked."""
    return x.detach().requires_grad_()


def _traced(network: Network) -> dict[nn.Module, _Traces]:
    """The traces of each layer, and of a readout with a synapse, by the module that is called."""
    readout = network.readout
    traced: dict[nn.Module, _Traces] = {layer: _LayerTraces(layer) for layer in network.spiking}
    return traced if readout is None or readout.synapse is None else {**traced, readout: _Traces(readout)}


class _Traces:
    """Eligibility traces of a readout with a synapse: the derivatives of its states by its own parameters.

    Parameters are matrices, whose products with inputs arrive at the synapse, and others, which act in each neuron.
    """

    #: States of the neurons themselves.
    neuron_states = 0

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        #: of each matrix, then of each other parameter, by state: (B, N, inputs), or (B, N, 1); none at first
        self.values: list[list[Tensor]] = []

    def drive(self, arriving: Spikes) -> SynapticInput:
        """What the connection delivers."""
        return cast(SynapticInput, self.connection(arriving))

    def states(self, before: Any) -> list[Tensor]:
        """The states that a call began with, (B, N) each; none of the first call."""
        return [] if before is None else [before]

    def coefficients(self) -> tuple[Tensor | float, ...]:
        """Those of the neurons."""
        return ()

    def after(self, drive: SynapticInput, coefficients: Sequence[Tensor | float], before: Any) -> list[Tensor]:
        """The states after a segment."""
        memory = Memory(tuple(self.states(before)))
        for t in range(len(drive.current)):
            _, memory = apply_synapse(drive.step(t), memory)
        return list(memory.synapse)

    @property
    def numbers(self) -> int:
        """Numbers of one sample."""
        own = self.connection
        inputs = sum(x.shape[1] if x.dim() == 2 else 1 for x in self._learned())
        of_synapse = 0 if own.synapse is None else len(own.synapse.weights(own.weight))
        return own.outputs * inputs * (self.neuron_states + of_synapse)

    @property
    def _is_bias_behind(self) -> bool:
        """Whether the bias arrives behind a synapse."""
        synapse = self.connection.synapse
        return self.connection.input.bias is not None and synapse is not None and not synapse.filters_bias

    def _matrices(self) -> list[Tensor]:
        """Weights of the current, of a conductance, and of recurrence, and a bias before the synapse, (N, inputs)."""
        own = self.connection
        found = [own.weight] if own.synapse is None else [*own.synapse.weights(own.weight)]
        if own.feedback is not None:
            found.append(weight_of(own.feedback))
        if own.input.bias is not None and not self._is_bias_behind:
            found.append(own.input.bias[:, None])
        return found

    def _others(self) -> list[Any]:
        """The bias behind a synapse, the synapse's decay, and coefficients; None for what there is none of."""
        bias, synapse = self.connection.input.bias, self.connection.synapse
        return [bias if self._is_bias_behind else None, synapse and synapse.decay, *self.coefficients()]

    def _learned(self) -> list[Tensor]:
        return [x for x in (*self._matrices(), *self._others()) if _is_learned(x)]

    def add_gradient(self, before: Any) -> None:
        """Add the part of earlier segments, by the gradients of the states that this one began with."""
        if not self.values:
            return
        gradients = [torch.zeros_like(s) if s.grad is None else s.grad for s in self.states(before)]
        parameters, sums = self._learned(), []
        for parameter, trace in zip(parameters, self.values, strict=True):
            pairs = zip(gradients, trace, strict=True)
            total = torch.cat([torch.bmm(g.T[:, None], e.transpose(0, 1)) for g, e in pairs], 1).sum(1)
            sums.append(total if parameter.dim() == 2 else total[:, 0].sum_to_size(parameter.shape))
        torch.autograd.backward(parameters, sums)

    def advance(self, drive: SynapticInput, arriving: Spikes, fired: Tensor, before: Any) -> None:
        """Carry the traces over a segment.

        Args:
            drive: what the connection delivers.
            arriving: its input.
            fired: spikes of the layer.
            before: the state that the segment began with.
        """
        drive, inputs = self._whole(drive, arriving, fired, before)
        bias, decay, *coefficients = others = [
            _leaf(x.expand(drive.shape[1:])) if _is_learned(x) else x for x in self._others()
        ]
        if drive.synapse is not None:
            drive = drive._replace(bias=bias, synapse=drive.synapse._replace(decay=decay))
        states, learned = self.states(before), [x for x in others if _is_learned(x)]
        asked = [x for x in (drive.current, drive.conductance, *states, *learned) if x is not None]
        rows = [_derivatives(s, asked) for s in self.after(drive, coefficients, before)]
        columns = iter(zip(*rows, strict=True))  # of what was asked, the derivative of each state
        by_arriving = {name: next(columns) for name in ("current", "conductance") if getattr(drive, name) is not None}
        jacobian = [next(columns) for _ in states]
        traces = [[_weighted(d, x) for d in by_arriving[name]] for name, x in inputs]
        traces += [[d[..., None].clone() for d in derivatives] for derivatives in columns]  # some may be one tensor
        for trace, earlier in zip(traces, self.values, strict=True) if self.values else ():
            for by_state, e in zip(jacobian, earlier, strict=True):
                for new, d in zip(trace, by_state, strict=True):
                    new.addcmul_(d[..., None], e)
        self.values = traces

    def _whole(
        self, drive: SynapticInput, arriving: Spikes, fired: Tensor, before: Any
    ) -> tuple[SynapticInput, list[tuple[str, Tensor]]]:
        """The drive with recurrence and bias in its currents; where each learned matrix's input arrives, and it."""
        x, fired = arriving.detach() if isinstance(arriving, Tensor) else arriving.dense(), fired.detach()
        inputs, current = [("current", x)], drive.current
        if drive.conductance is not None:
            inputs.append(("conductance", x))
        if drive.feedback is not None:
            first = torch.zeros_like(fired[0]) if before is None else before.memory.spikes.detach().to(fired.dtype)
            last = torch.cat([first[None], fired[:-1]])
            inputs.append(("current", last))
            current = current + nn.functional.linear(last, drive.feedback.to(last.dtype))
        if self.connection.input.bias is not None and not self._is_bias_behind:
            inputs.append(("current", x.new_ones(len(x), x.shape[1], 1)))
            current = current if drive.bias is None else current + drive.bias
        drive = drive._replace(
            current=_leaf(_single(current)), conductance=None if drive.conductance is None else
            _leaf(_single(drive.conductance)), bias=None, feedback=None,
        )  # fmt: skip
        return drive, [pair for pair, matrix in zip(inputs, self._matrices(), strict=True) if matrix.requires_grad]


class _LayerTraces(_Traces):
    """Those of a layer's neurons, and of their synapse."""

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer.connection)
        self.layer, self.neuron = layer, cast(NeuronLayer[Any, Any], layer.neuron)
        self.neuron_states = len(self.neuron.settings.equation.states)

    def drive(self, arriving: Spikes, more: Tensor | None = None) -> SynapticInput:
        return self.layer.drive(arriving, None, more)[0]

    def states(self, before: Any) -> list[Tensor]:
        return [] if before is None else [*(x for x in before if isinstance(x, Tensor)), *before.memory.synapse]

    def coefficients(self) -> tuple[Tensor | float, ...]:
        return tuple(self.neuron.coefficients())

    def after(self, drive: SynapticInput, coefficients: Sequence[Tensor | float], before: Any) -> list[Tensor]:
        state, shape = self.neuron.initial_state(drive.current[0]) if before is None else before, drive.shape[1:]
        traces, states = state.memory.synapse, tuple(x for x in state if isinstance(x, Tensor))
        settings, kernel = self.neuron.settings, self.neuron.kernel
        if _is_learned(drive.synapse and drive.synapse.decay):
            kernel = "reference"  # kernels take one decay, and here is one for each sample's neuron
        elif any(map(_is_learned, (drive.bias, *coefficients))):
            # Kernels take parameters of each neuron: every sample's neuron is one of its own, of a single sample.
            drive, coefficients = _of_one_sample(drive), [_in_a_row(x, shape) for x in coefficients]
            traces, states = (tuple(x.reshape(1, -1) for x in tensors) for tensors in (traces, states))
        _, memory, after = kernels.run(drive, Memory(traces), states, tuple(coefficients), settings, kernel)
        return [x.view(shape) for x in (*after, *memory.synapse)]


def _of_one_sample(drive: SynapticInput) -> SynapticInput:
    """Arrivals (T, B, N), and a bias (B, N), as those of B·N neurons of one sample."""
    current, conductance = (x if x is None else x.flatten(1)[:, None] for x in (drive.current, drive.conductance))
    bias = drive.bias if drive.bias is None else _in_a_row(drive.bias, drive.shape[1:])
    return drive._replace(current=cast(Tensor, current), conductance=conductance, bias=cast("Tensor | None", bias))


def _in_a_row(parameter: Tensor | float, shape: torch.Size) -> Tensor | float:
    """A parameter of each neuron, or of each sample's, as one of B·N neurons."""
    return parameter.expand(shape).reshape(-1) if isinstance(parameter, Tensor) else parameter


def _derivatives(state: Tensor, asked: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Those of each sample's neuron by tensors of its own; 0 where a state does not depend on them."""
    if not state.requires_grad:
        return tuple(map(torch.zeros_like, asked))
    return torch.autograd.grad(state.sum(), asked, retain_graph=True, allow_unused=True, materialize_grads=True)


def _is_learned(parameter: Tensor | float | None) -> TypeGuard[Tensor]:
    """Whether a gradient of it is asked."""
    return isinstance(parameter, Tensor) and parameter.requires_grad


def _single(x: Tensor) -> Tensor:
    """A tensor in single precision at least."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _weighted(derivative: Tensor, inputs: Tensor) -> Tensor:
    """The derivative by arriving currents (T, B, N) times inputs (T, B, M), summed over time: (B, N, M)."""
    return torch.bmm(derivative.permute(1, 2, 0), inputs.to(derivative.dtype).transpose(0, 1))
