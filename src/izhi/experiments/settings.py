"""The experiment: one validated model, read from TOML, overridden from the command line, saved.

Every field is an option of the command line of the same name (``learning_rate``, ``--learning-rate``)
and a key of the TOML file. What is left at None is chosen by ``Experiment.resolved`` from the neuron,
and the saved configuration holds what was chosen.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from izhi.data import DATASETS, EMBEDDED, has_events, require_known, usual_window
from izhi.data.embedded import FOLDS
from izhi.errors import SettingError, unknown
from izhi.files import problem
from izhi.neurons import LEARNABLE, LIF, ORDERS, PRESETS, IzhikevichParameters, Mixture, preset
from izhi.neurons.izhikevich import Izhikevich
from izhi.neurons.surrogate import SURROGATES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: Factor on the input current of biological presets: weights of order 1 → mV/ms.
BIOLOGICAL_GAIN = 200.0

Readout = Literal["spikes", "current", "membrane"]


def _parts(value: Any) -> Any:
    """A comma-separated string as a list, so that one syntax serves the command line."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _shares(value: Any) -> Any:
    """``RS=.5,FS=.5`` as a mapping."""
    if not isinstance(value, str):
        return value
    pairs = [part.partition("=") for part in _parts(value)]
    if not all(equals for _, equals, _ in pairs):
        raise ValueError("expected shares such as RS=.5,FS=.5")
    return {name.strip(): share.strip() for name, _, share in pairs}


def _not_nan(value: float) -> float:
    if math.isnan(value):
        raise ValueError("expected a number above 0, or inf")
    return value


Names = Annotated[tuple[str, ...], BeforeValidator(_parts)]
Widths = Annotated[tuple[Annotated[int, Field(ge=1, le=1_000_000)], ...], BeforeValidator(_parts)]
Shares = Annotated[
    dict[str, Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]], BeforeValidator(_shares)
]


class Experiment(BaseModel):
    """Everything that decides the numbers of a run."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    dataset: str = Field("digits", description="data set: " + ", ".join(DATASETS))
    validation: float = Field(
        0.1, ge=0, lt=1, allow_inf_nan=False, description="share of the training samples held out"
    )
    validation_speaker: int | None = Field(
        None, ge=0,
        description="hold out the training samples of this speaker, in place of a share of all",
    )  # fmt: skip
    fold: int | None = Field(
        None, ge=0, lt=FOLDS,
        description="test on this fifth of an embedded data set, 0 to 4; default: its usual test samples",
    )  # fmt: skip
    best_inputs: int | None = Field(
        None, ge=1,
        description="keep so many inputs of an embedded data set, by analysis of variance; default: all",
    )  # fmt: skip
    split_seed: int = Field(0, ge=0, description="seed of the training/validation split")
    without: Names = Field((), description="classes that are left out of training, comma-separated")

    encoding: Literal["rate", "latency", "constant", "rows", "events"] | None = Field(
        None, description="input coding; default: rate, events for recordings"
    )
    population: int = Field(
        0,
        ge=0,
        le=1000,
        description="Gaussian receptive fields per input; 0 for none, else 3 or more",
    )
    steps: int = Field(25, ge=1, le=1_000_000, description="time steps T")
    window: float | None = Field(
        None, gt=0, allow_inf_nan=False,
        description="milliseconds of a recording that fill the steps; default: by data set",
    )  # fmt: skip
    pool: int = Field(
        1, ge=1, le=1000, description="neighbouring channels or pixels of events that are one input"
    )
    normalize_time: bool = Field(
        False,
        description="place the middle nine tenths of a recording's events alike in the window",
    )
    counts: bool = Field(False, description="count the events of a step, not only whether any came")
    shift: int = Field(
        0,
        ge=0,
        le=1000,
        description="augmentation: largest shift of recordings or images, in channels or pixels",
    )
    stretch: float = Field(
        0.0, ge=0, lt=1, allow_inf_nan=False, description="augmentation: times ± this share"
    )
    drop: float = Field(
        0.0, ge=0, lt=1, allow_inf_nan=False, description="augmentation: share of events left out"
    )
    equalize: float = Field(
        0.0, ge=0, le=10, allow_inf_nan=False,
        description="augmentation of counts: spread of a smooth gain over channels, in its logarithm",
    )  # fmt: skip
    onset: float = Field(
        0.0, ge=0, allow_inf_nan=False,
        description="augmentation: recordings begin up to this many milliseconds earlier or later",
    )  # fmt: skip
    warp: float = Field(
        0.0, ge=0, le=2, allow_inf_nan=False,
        description="augmentation: time bent, t/window becomes (t/window)^γ, ln γ up to this",
    )  # fmt: skip

    hidden: Widths = Field((512,), description="widths of the hidden layers, comma-separated")
    neuron: str = Field("normalized", description="lif, or a preset of izhi.PRESETS")
    order: str | None = Field(None, description="event order; default: the preset's")
    gain: float | None = Field(
        None, allow_inf_nan=False, description="factor on input currents; default: by neuron"
    )
    learn: Names = Field((), description="neuron coefficients to learn, comma-separated")
    per_neuron: bool = Field(False, description="learn them for each neuron, not for each layer")
    spread: float = Field(
        0.0, ge=0, allow_inf_nan=False,
        description="spread of their initial values between neurons, in units of their size",
    )  # fmt: skip
    dynamics_rate: float = Field(
        5e-3, gt=0, allow_inf_nan=False, description="their learning rate, in units of their size"
    )
    mixture: Shares | None = Field(
        None, description="classes that layers begin with, such as RS=.5,FS=.3,CH=.2"
    )
    beta: float = Field(0.95, ge=0, le=1, allow_inf_nan=False, description="decay per step (lif)")
    reset: Literal["subtract", "zero", "none"] = Field("subtract", description="reset (lif)")
    surrogate: str = Field("atan", description="surrogate: " + ", ".join(SURROGATES))
    slope: float = Field(2.0, gt=0, allow_inf_nan=False, description="slope of the surrogate")
    jacobian_limit: Annotated[float, AfterValidator(_not_nan)] = Field(
        1.0, gt=0, description="limit of the membrane Jacobian in the backward pass, or inf"
    )

    connection: Literal[
        "linear", "exponential", "conductance",
        "recurrent", "recurrent-exponential", "recurrent-conductance",
    ] = Field("linear", description="connection into every layer of neurons")  # fmt: skip
    tau: float = Field(10.0, gt=1, allow_inf_nan=False, description="synaptic decay time, steps")
    delays: int = Field(
        0, ge=0, le=10_000,
        description="largest delay into each layer of neurons, in steps, learned; 0 for none",
    )  # fmt: skip
    delay_type: Literal["axonal", "synaptic"] = Field(
        "axonal", description="delays of presynaptic neurons, or of each synapse"
    )
    delay_rate: float = Field(
        0.05, gt=0, allow_inf_nan=False, description="learning rate of delays, in steps"
    )
    inhibitory: float | None = Field(
        None, ge=0, le=1, allow_inf_nan=False,
        description="share of inhibitory presynaptic neurons (conductance); default: free signs",
    )  # fmt: skip
    readout: Readout | None = Field(
        None, description="what the loss reads; default: by neuron (spikes, biological: current)"
    )
    loss: Literal["count", "step", "max", "rate_mse"] = Field(
        "count", description="cross-entropy of counts, of each step, of maxima; or MSE of rates"
    )

    weight_bits: int | None = Field(
        None, ge=2, le=8, description="bits of a weight, trained with its rounding; default: float"
    )
    weight_scale: Literal["layer", "neuron"] = Field(
        "neuron",
        description="whether each neuron's weights have a scale of their own, or a layer's share one",
    )
    state_bits: int | None = Field(
        None, ge=4, le=24,
        description="bits of v, u and currents, trained with their rounding; default: float",
    )  # fmt: skip

    epochs: int = Field(10, ge=1, le=1_000_000, description="passes over the training samples")
    batch_size: int = Field(256, ge=1, le=1_000_000, description="samples per step")
    optimizer: Literal["adam", "adamw", "sgd", "snes", "cma-es", "ga"] = Field(
        "adam",
        description="optimiser; snes, cma-es and ga search by evolution: an epoch is one generation",
    )
    members: int = Field(64, ge=4, le=1_000_000, description="networks of a generation (evolution)")
    step_size: float = Field(
        0.3, gt=0, allow_inf_nan=False,
        description="first spread of a population, in units of 1/√inputs of a weight, 0.1 of a"
        " coefficient's size (evolution)",
    )  # fmt: skip
    searched: Literal["all", "weights", "neurons"] = Field(
        "all", description="weights, the neuron coefficients in learn, or both (evolution)"
    )
    measured_on: Literal["torch", "hls-ip"] = Field(
        "torch",
        description="what runs a population: torch, or the arithmetic of the FPGA IP (evolution)",
    )
    actors: int = Field(
        0, ge=0, le=65536,
        description="processes of a Ray cluster that share a population; 0 for none (evolution)",
    )  # fmt: skip
    learning_rate: float = Field(5e-4, gt=0, allow_inf_nan=False, description="step size")
    schedule: Literal["constant", "cosine"] = Field(
        "constant", description="step sizes over the run: constant, or falling to 0 like a cosine"
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, allow_inf_nan=False,
        description="share of hidden neurons silenced for a sample while training",
    )  # fmt: skip
    weight_decay: float = Field(0.0, ge=0, allow_inf_nan=False, description="weight decay")
    gradient_clip: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="largest norm of the gradient; default: none"
    )
    seed: int = Field(0, ge=0, lt=2**32, description="seed of weights, sample order and coding")

    precision: Literal["auto", "32-true", "64-true", "bf16-mixed", "16-mixed"] = Field(
        "auto", description="number format (auto: bf16 where the machine multiplies it fast)"
    )
    accelerator: str = Field("auto", description="Fabric's accelerator: auto, cpu, cuda, mps")
    devices: int = Field(1, ge=1, le=1024, description="devices per machine")
    nodes: int = Field(1, ge=1, le=65536, description="machines (start one process on each)")
    kernel: Literal["auto", "reference", "cpu", "cuda"] = Field("auto", description="neuron kernel")
    keep_every: int | None = Field(
        None, ge=1, le=1_000_000,
        description="keep every k-th state for the backward pass, to save memory; default: all",
    )  # fmt: skip
    tensorboard: bool = Field(False, description="also write TensorBoard events")

    @property
    def evolves(self) -> bool:
        """Whether it is trained by evolution, without gradients."""
        return self.optimizer in ("snes", "cma-es", "ga")

    @property
    def is_quantized(self) -> bool:
        """Whether weights or states are rounded."""
        return self.weight_bits is not None or self.state_bits is not None

    def resolved(self) -> Experiment:
        """A copy in which what depends on the neuron is chosen, checked as a whole.

        Raises:
            SettingError: naming the value, what was expected, and the fix.
        """
        _check_names(self)
        lif = self.neuron == "lif"
        biological = not lif and preset(self.neuron).unit == "mV"
        events = has_events(self.dataset)
        chosen = {
            "encoding": self.encoding or ("events" if events else "rate"),
            "window": self.window or (usual_window(self.dataset) if events else None),
            "gain": (BIOLOGICAL_GAIN if biological else 1.0) if self.gain is None else self.gain,
            "readout": self.readout or ("current" if biological else "spikes"),
            "order": None if lif else self.order or preset(self.neuron).order,
        }
        return self.model_copy(update=chosen)

    def to_toml(self, header: str = "") -> str:
        """The configuration as TOML text, headed by comment lines."""
        values = {name: value for name, value in self.model_dump().items() if value is not None}
        comment = "".join(f"# {line}\n" for line in header.splitlines())
        listed = {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
        return comment + str(tomli_w.dumps(listed))


def _check_names(e: Experiment) -> None:
    require_known(e.dataset)
    _check_input(e)
    if e.neuron != "lif" and e.neuron not in PRESETS:
        raise unknown("neuron", e.neuron, ("lif", *PRESETS))
    if e.order is not None and e.order not in ORDERS:
        raise unknown("event order", e.order, ORDERS)
    if e.order is not None and e.neuron == "lif":
        raise SettingError(f"order is {e.order!r}, but lif has none; leave it out")
    if e.surrogate not in SURROGATES:
        raise unknown("surrogate", e.surrogate, SURROGATES)
    if 0 < e.population < 3:
        raise SettingError(f"population is {e.population}, expected 0 or at least 3 fields")
    known = ("beta", "threshold") if e.neuron == "lif" else LEARNABLE
    for name in e.learn:
        if name not in known:
            raise unknown("learnable coefficient", name, known)
    if e.per_neuron and not e.learn:
        raise SettingError("per_neuron is set, but learn names no coefficient; add learn")
    if e.spread and not e.per_neuron:
        raise SettingError(
            f"spread is {e.spread:g}, but neurons share their values; add per_neuron"
        )
    if e.mixture:
        _check_mixture(e, e.mixture)
    _check_evolution(e)
    biological = e.neuron != "lif" and preset(e.neuron).unit == "mV"
    if biological and not e.hidden and e.readout is None:
        raise SettingError("hidden names no layer and the readout has no neurons; add a width")


def _check_evolution(e: Experiment) -> None:
    if not e.evolves:
        for name in ("members", "step_size", "searched", "measured_on", "actors"):
            if getattr(e, name) != Experiment.model_fields[name].default:
                raise SettingError(
                    f"{name} is {getattr(e, name)!r}, but the optimiser {e.optimizer} does not evolve;"
                    " choose snes, cma-es or ga"
                )
        return
    if e.is_quantized:
        raise SettingError(
            f"optimizer is {e.optimizer!r}, but weights or states are rounded; evolve the exported artifact"
        )
    for name in ("devices", "nodes"):
        if getattr(e, name) != 1:
            raise SettingError(
                f"{name} is {getattr(e, name)}, but evolution runs on one; share a population by actors"
            )


def _check_mixture(e: Experiment, shares: Mapping[str, float]) -> None:
    if e.neuron == "lif":
        raise SettingError("mixture is set, but lif has no classes; choose another neuron")
    for name in shares:
        if preset(name).unit != preset(e.neuron).unit:
            raise SettingError(
                f"mixture names {name!r}, but the neuron is {e.neuron!r}: one is in mV, the other is not"
            )
    Mixture.of(shares, 1_000_000)


def _check_input(e: Experiment) -> None:
    for name in ("fold", "best_inputs"):
        if getattr(e, name) is not None and e.dataset not in EMBEDDED:
            raise SettingError(
                f"{name} is {getattr(e, name)}, but {e.dataset} is none of {', '.join(EMBEDDED)}; leave it out"
            )
    if has_events(e.dataset):
        if e.encoding not in (None, "events"):
            raise SettingError(
                f"encoding is {e.encoding!r}, but {e.dataset} holds recorded events; leave it out"
            )
        if e.population:
            raise SettingError(
                f"population is {e.population}, but {e.dataset} holds recorded events; leave it out"
            )
        if e.equalize and not e.counts:
            raise SettingError(
                f"equalize is {e.equalize:g}, but only counts have gains; add counts"
            )
        return
    if e.encoding == "events":
        raise SettingError(
            f"encoding is 'events', but {e.dataset} has none; choose rate or another"
        )
    names = "validation_speaker window pool counts normalize_time stretch drop equalize onset warp"
    for name in names.split():
        if getattr(e, name) not in (None, Experiment.model_fields[name].default):
            raise SettingError(
                f"{name} is {getattr(e, name)!r}, but {e.dataset} has no recorded events; leave it out"
            )


def build_neuron(e: Experiment, width: int) -> Izhikevich | LIF:
    """The neuron of a resolved experiment, for a layer of that width."""
    surrogate = SURROGATES[e.surrogate](e.slope)
    size = width if e.per_neuron else None
    if e.neuron == "lif":
        return LIF(
            e.beta, size=size, learn=e.learn, spread=e.spread, reset=e.reset, surrogate=surrogate,
            kernel=e.kernel,
        )  # fmt: skip

    if e.mixture:
        size = width
        parameters: IzhikevichParameters | Mixture = Mixture.of(e.mixture, width, e.order)
    else:
        parameters = preset(e.neuron)
        parameters = parameters if e.order is None else parameters.replace(order=e.order)
    return Izhikevich(
        parameters,
        size=size,
        learn=e.learn,
        spread=e.spread,
        surrogate=surrogate,
        gain=e.gain,
        jacobian_limit=e.jacobian_limit,
        kernel=e.kernel,
    )


def experiment(values: Mapping[str, Any]) -> Experiment:
    """A checked, resolved Experiment; every mistake in values in one SettingError of one line."""
    try:
        return Experiment(**values).resolved()
    except ValidationError as error:
        raise SettingError("; ".join(_mistake(e) for e in error.errors())) from None


def _mistake(error: Any) -> str:
    name = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return str(unknown("setting", name, Experiment.model_fields))
    text = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return f"{name} is {error['input']!r}, expected {text.removeprefix('expected ')}"


def read(path: Path) -> dict[str, Any]:
    """The settings in a TOML file; SettingError where it is missing or no TOML."""
    try:
        with path.open("rb") as file:
            values: dict[str, Any] = tomllib.load(file)
            return values
    except OSError as error:
        raise SettingError(f"cannot read {path}: {problem(error)}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"{path} is not valid TOML: {error}") from None
