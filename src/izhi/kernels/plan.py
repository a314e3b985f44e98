"""What the fused kernels of every device have in common: what is compiled, and what is passed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

from izhi.equation import Equation
from izhi.equation.integers import fixed_point_constants

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import Tensor

    from izhi.kernels.events import Events
    from izhi.kernels.ops import Surrogate

#: Steps between two states that the forward pass keeps; the backward pass computes those between again.
KEEP_EVERY = 32


#: The factor that makes a quantised neuron's synaptic input a current, as a coefficient.
INPUT_GAIN = "_gain"
#: States whose formats ``Constants`` have names for, by their place.
FORMATS_OF = ("v", "u", "third", "fourth")
#: The coefficients whose gradients a backward pass computes, by their places; behind the last is the decay's.
Learned = tuple[int, ...]


@dataclass(frozen=True)
class StepForm:
    """What is computed in a time step.

    Attributes:
        equation: of the neuron.
        coupled: whether there is a conductance.
        filtered: whether there is a synapse.
        biased: whether there is a bias.
        quantized: whether states and currents are fixed-point numbers.
        limited: whether the membrane's Jacobian is limited in the backward pass.
        state_quant: whether a function is applied to the states, which the reference alone does.
    """

    equation: Equation
    coupled: bool = False
    filtered: bool = False
    biased: bool = False
    quantized: bool = False
    limited: bool = True
    state_quant: bool = False

    @cached_property
    def own(self) -> int:
        """State variables of the neuron itself."""
        return len(self.equation.states)

    @cached_property
    def states(self) -> int:
        """State variables in all: the neuron's, then the synapse's."""
        return self.own + (1 + self.coupled if self.filtered else 0)

    @cached_property
    def coefficients(self) -> tuple[str, ...]:
        """Names of the neuron's coefficients; a quantised neuron has constants, and a gain of its current, the last."""
        if not self.quantized:
            return self.equation.coefficients
        step = fixed_point_constants(self.equation)
        return (*(x.name for x in step.constants if x.name != step.bias), INPUT_GAIN)


#: Forms that are equal are one object.
step_form = cache(StepForm)


@dataclass(frozen=True)
class Plan:
    """Everything a kernel is compiled for; one is compiled, and cached on disk, for each plan.

    Attributes:
        form: of a step.
        surrogate: class of the surrogate, which has its formula.
        dtype: of currents and spikes in memory, see ``routes.FORMATS``; arithmetic is in float32.
        shared: whether all neurons have the same coefficients.
        learn: the coefficients whose gradients the backward pass computes, besides the bias, and the decay.
    """

    form: StepForm
    surrogate: type[Surrogate]
    dtype: torch.dtype
    shared: bool
    learn: Learned

    @cached_property
    def coupled(self) -> bool:
        """Whether there is a conductance."""
        return self.form.coupled

    @cached_property
    def biased(self) -> bool:
        """Whether there is a bias."""
        return self.form.biased

    @cached_property
    def quantized(self) -> bool:
        """Whether states and currents are fixed-point numbers."""
        return self.form.quantized

    @cached_property
    def own(self) -> int:
        """State variables of the neuron itself."""
        return self.form.own

    @cached_property
    def states(self) -> int:
        """State variables in all."""
        return self.form.states

    @cached_property
    def rows(self) -> int:
        """How many coefficients the neuron has."""
        return len(self.form.coefficients)

    @cached_property
    def learns_decay(self) -> bool:
        """Whether the gradient of the synapse's decay is computed."""
        return self.rows in self.learn


class Grid(NamedTuple):
    """Fixed-point numbers as kernels use them: values, not integers.

    Attributes:
        scale: 2 to the power of the fraction.
        low, high: limits.
    """

    scale: float
    low: float
    high: float


class ProductKernels(NamedTuple):
    """Products of bits in bfloat16, of the inputs alone that fire.

    Attributes:
        product: (events of spikes (T, B, I), weight (O, I)) → currents (T, B, O).
        weight_gradient: (events, gradients of currents (T, B, O)) → (O, I) in float32.
    """

    product: Callable[[Events, Tensor], Tensor]
    weight_gradient: Callable[[Events, Tensor], Tensor]


class BitKernels(NamedTuple):
    """What a device does with spikes as words (B, ⌈T/32⌉, N) of bits along time.

    Attributes:
        packed: spikes (T, B, N) → words; whatever is not 0 counts as 1.
        dense: (words, T, format) → spikes (T, B, N) of 0 and 1.
        counted: words → spikes of each input, (N,) in float32.
        listed: (words, T) → events.
        of_neurons: the same of words that a layer of neurons gives, most of which fire.
        products: of these.
    """

    packed: Callable[[Tensor], Tensor]
    dense: Callable[[Tensor, int, torch.dtype], Tensor]
    counted: Callable[[Tensor], Tensor]
    listed: Callable[[Tensor, int], Events]
    of_neurons: Callable[[Tensor, int], Events]
    products: ProductKernels


class DelayKernels(NamedTuple):
    """Kernels that move the spikes of each neuron in time.

    Attributes:
        forward: (spikes (T, B, N), those before (D + 1, B, N), delays (N,), and these in whole steps of 0 to D, int64)
            → delayed spikes; on a GPU no numbers where a delay is none.
        backward: (those spikes, those before, whole delays, gradients of the delayed ones) → gradients of both, and of
            the delays by differences in time, (N,) in float32.
    """

    forward: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    backward: Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


#: The largest or the mean of what a window sees.
PoolKind = Literal["max", "mean"]


class PoolKernels(NamedTuple):
    """Kernels of windows that lie side by side.

    Attributes:
        forward: (planes (N, H, W), kind, size of a window down and across) → what each sees, (N, ⌊H/down⌋, ⌊W/across⌋);
            and of the largest its place in the window, counted by rows, in uint8, the first of equal ones.
        backward: (gradients of these, places, kind, size of a window, shape of the planes) → gradient of the planes.
        forward_of_bits: (words of planes (N, H, W), size of a window) → words of the largest, (N, ⌊H/down⌋,
            ⌊W/across⌋); and words (N, H, W) of where in its window that is, the first of equal ones.
        backward_of_bits: (gradients of the largest (T, B, C, rows, columns), these words (B, ⌈T/32⌉, C, H, W), size of
            a window) → gradient (T, B, C, H, W).
    """

    forward: Callable[[Tensor, PoolKind, tuple[int, int]], tuple[Tensor, Tensor]]
    backward: Callable[[Tensor, Tensor, PoolKind, tuple[int, int], torch.Size], Tensor]
    forward_of_bits: Callable[[Tensor, tuple[int, int]], tuple[Tensor, Tensor]]
    backward_of_bits: Callable[[Tensor, Tensor, tuple[int, int]], Tensor]


class SampleKernels(NamedTuple):
    """Kernels of whole samples, which take few inputs' weights and a layer's recurrent ones themselves.

    Attributes:
        forward: (plan, call, state, B, whether states are kept) → spikes as words (B, ⌈T/32⌉, N), currents (T, lanes)
            with what was fed back, or none where ``backward`` makes them again, kept states, and the state after the
            last step.
        backward: (plan, call, those words, currents and kept states, gradients of spikes (T, B, N) and of the last
            state) → gradients of everything that went in.
    """

    forward: Callable[[Plan, SampleCall, Tensor, int, bool], tuple[Tensor, Tensor, Tensor, Tensor]]
    backward: Callable[[Plan, SampleCall, Tensor, Tensor, Tensor, Tensor, Tensor], SampleGradients]


class LayerKernels(NamedTuple):
    """Kernels that take the product in front of the neurons too.

    Attributes:
        forward: (plan, call, state, whether currents and states are kept, whether spikes that arrive learn) → spikes as
            words (B, ⌈T/32⌉, N), currents, states, and the state after the last step.
        backward: (plan, call, those currents and states, gradients of spikes and of the last state, None for zeros,
            whether those of the first state and of the currents are asked for) → gradients; those of the currents may
            be written over the currents.
    """

    forward: Callable[[Plan, LayerCall, Tensor, bool, bool], tuple[Tensor, Tensor, Tensor, Tensor]]
    backward: Callable[[Plan, LayerCall, Tensor, Tensor, Tensor, Tensor | None, bool, bool], LayerGradients]


class Formats(NamedTuple):
    """Fixed-point numbers of a layer of neurons, as the kernels use them: values, not integers.

    Attributes:
        current: of the input.
        states: of each state.
    """

    current: Grid
    states: tuple[Grid, ...]


class Constants(NamedTuple):
    """The constants of a call: this is their order in every kernel.

    Attributes:
        dt, substep: time step, and that of an Euler sub-step.
        v_low, v_high: limits of v.
        jacobian_limit: of the backward pass through v.
        per_span: scale of the surrogate's argument.
        surrogate_first, surrogate_second: constants of the surrogate's formula.
        decay, implicit: of the synapse (see ``Synapse``).
        v_scale, v_unit: of fixed-point v and current: 2 to the power of the fraction, and its inverse.
        u_scale, u_unit, u_low, u_high: of fixed-point u, with its limits; so are those of a third and a fourth state.
        i_low, i_high: limits of the fixed-point current.
        trace_scale, trace_unit, trace_low, trace_high: of a synapse's fixed-point sums.
    """

    dt: float = 1.0
    substep: float = 1.0
    v_low: float = 0.0
    v_high: float = 0.0
    jacobian_limit: float = 0.0
    per_span: float = 1.0
    surrogate_first: float = 1.0
    surrogate_second: float = 1.0
    decay: float = 0.0
    implicit: float = 0.0
    v_scale: float = 1.0
    v_unit: float = 1.0
    u_scale: float = 1.0
    u_unit: float = 1.0
    u_low: float = 0.0
    u_high: float = 0.0
    third_scale: float = 1.0
    third_unit: float = 1.0
    third_low: float = 0.0
    third_high: float = 0.0
    fourth_scale: float = 1.0
    fourth_unit: float = 1.0
    fourth_low: float = 0.0
    fourth_high: float = 0.0
    i_low: float = 0.0
    i_high: float = 0.0
    trace_scale: float = 1.0
    trace_unit: float = 1.0
    trace_low: float = 0.0
    trace_high: float = 0.0

    def traced(self, grid: Grid | None) -> Constants:
        """The same with the scale and the limits of a synapse's fixed-point sums, if there are any."""
        if grid is None:
            return self
        return self._replace(
            trace_scale=grid.scale, trace_unit=1 / grid.scale, trace_low=grid.low, trace_high=grid.high
        )

    def quantized(self, f: Formats | None) -> Constants:
        """The same with the scales and limits of fixed-point numbers, if there are any."""
        if f is None:
            return self
        values = {"i_low": f.current.low, "i_high": f.current.high}
        for name, grid in zip(FORMATS_OF, f.states, strict=False):
            values |= {f"{name}_scale": grid.scale, f"{name}_unit": 1 / grid.scale}
            values |= {f"{name}_low": grid.low, f"{name}_high": grid.high}
        return self._replace(**values)


class Call(NamedTuple):
    """The tensors of one call, over lanes = batch × neurons, with lane = sample · N + neuron.

    Attributes:
        current, conductance: (T, lanes); conductance has no elements where there is none.
        bias: (N,), see ``SynapticInput``; no elements where there is none.
        coefficients: (rows, 1) or (rows, N): as many as ``Plan.rows``.
        constants: ``Constants`` in float32, on the CPU.
        decay: of the synapse, without dimensions, on the device of the call; ``Constants`` have it for kernels that do
            not read it there.
    """

    current: Tensor
    conductance: Tensor
    bias: Tensor
    coefficients: Tensor
    constants: Tensor
    decay: Tensor


class Gradients(NamedTuple):
    """What a backward pass gives, over lanes; None where there is nothing to give.

    Attributes:
        current, conductance: (T, lanes), in the format of the current.
        state: (states, lanes), before the first step.
        bias: (lanes,).
        coefficients: (rows, lanes), those of ``Plan.learn``.
    """

    current: Tensor
    conductance: Tensor | None
    state: Tensor
    bias: Tensor | None
    coefficients: Tensor | None


class LayerCall(NamedTuple):
    """The tensors of one call of a product and the neurons behind it.

    Attributes:
        events: of the spikes (T, B, I) that arrive.
        weight: (N, I).
        bias, coefficients, constants, decay: as those of ``Call``.
    """

    events: Events
    weight: Tensor
    bias: Tensor
    coefficients: Tensor
    constants: Tensor
    decay: Tensor


class LayerGradients(NamedTuple):
    """What the backward pass of a product and the neurons behind it gives; None where there is nothing to give.

    Attributes:
        weight: (N, I).
        state: (states, lanes), before the first step; None where nobody asked.
        bias: (N,).
        coefficients: (rows, N), those of ``Plan.learn``.
        current: (T, B, N), from which the gradient of the spikes that arrived is made; None where nobody asked.
    """

    weight: Tensor
    state: Tensor | None
    bias: Tensor | None
    coefficients: Tensor | None
    current: Tensor | None


class SampleCall(NamedTuple):
    """The tensors of one call of neurons with feedback, with few inputs, or both.

    Attributes:
        current: (T, lanes) as that of ``Call``, or the values (T, B, I) of few inputs.
        weight: of those inputs, (N, I); None where the current is given.
        conductance, bias, coefficients, constants, decay: as those of ``Call``.
        feedback: R, (N, N); None without it.
        of_first: (lanes,), what spikes before the first step add to its current; None for nothing.
    """

    current: Tensor
    weight: Tensor | None
    conductance: Tensor
    bias: Tensor
    coefficients: Tensor
    constants: Tensor
    decay: Tensor
    feedback: Tensor | None
    of_first: Tensor | None


class SampleGradients(NamedTuple):
    """What the backward pass of such a call gives; None where there is nothing to give.

    Attributes:
        current: (T, lanes), in the format of the current.
        weight: (N, I).
        conductance, state, bias, coefficients: as those of ``Gradients``.
        feedback: (N, N).
        of_first: (lanes,), of the current of the first step.
    """

    current: Tensor | None
    weight: Tensor | None
    conductance: Tensor | None
    state: Tensor
    bias: Tensor | None
    coefficients: Tensor | None
    feedback: Tensor | None
    of_first: Tensor
