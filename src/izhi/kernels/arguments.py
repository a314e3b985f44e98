"""What neurons, synapses and currents are as arguments of kernels: a plan, constants, coefficients, rows of lanes."""

from __future__ import annotations

import math
from functools import cache, lru_cache
from itertools import groupby
from typing import cast

import torch
from torch import Tensor

from izhi.errors import ShapeError
from izhi.kernels.device import Device
from izhi.kernels.lazy import materialize
from izhi.kernels.ops import Surrogate
from izhi.kernels.plan import Constants, Learned, Plan, StepForm, step_form
from izhi.kernels.products import WeightedSpikes
from izhi.kernels.synaptic_input import Memory, StepSettings, SynapticInput


@lru_cache(maxsize=256)
@torch.inference_mode(mode=False)
def planned(
    form: StepForm, surrogate: type[Surrogate], constants: Constants, dtype: torch.dtype, shared: bool, learn: Learned
) -> tuple[Plan, Tensor]:
    """The plan of a call, and its constants as kernels take them."""
    return Plan(form, surrogate, dtype, shared, learn), torch.tensor(constants, dtype=torch.float32)


@lru_cache(maxsize=256)
def planned_step(s: StepSettings, dtype: torch.dtype, shared: bool, learn: Learned) -> tuple[Plan, Tensor]:
    """The plan, and the constants, of single steps under a current alone."""
    return planned(step_form(s.equation), type(cast(Surrogate, s.surrogate)), s.of_kernels, dtype, shared, learn)


def planned_call(
    device: Device, s: StepSettings, coefficients: tuple[Tensor | float, ...], drive: SynapticInput | WeightedSpikes,
    dtype: torch.dtype, memory: Memory, state: tuple[Tensor, ...],
) -> tuple[Plan, tuple[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, ...]]:  # fmt: skip
    """The plan; bias, coefficients, constants and decay; what gradients go to: bias, coefficients, decay, state."""
    one, where = drive.shape[1:], drive.device
    form = step_form(
        s.equation, drive.conductance is not None, drive.synapse is not None, drive.bias is not None,
        s.formats is not None,
    )  # fmt: skip
    bias = nothing(where)[1] if drive.bias is None else drive.bias.float().expand(one[1:]).reshape(-1)
    decay, constants = no_decay(where), s.of_kernels
    traces: tuple[Tensor, ...] = ()
    if drive.synapse is not None:
        decay, implicit, grid = drive.synapse
        constants = constants.traced(grid)._replace(implicit=implicit)
        if not device.LOADS_DECAY:  # which would wait for a GPU
            constants = constants._replace(decay=float(decay.detach()))
        traces = memory.synapse or (torch.zeros(one, device=where),) * (1 + (drive.conductance is not None))
    p, learned, learn = coefficients_of(coefficients, one, where, decay.requires_grad)
    plan, numbers = planned(form, type(cast(Surrogate, s.surrogate)), constants, dtype, p.shape[1] == 1, learn)
    every = (*state, *traces)
    held = torch.stack([x.float() for x in every]).view(len(every), -1)
    fixed = bias.detach().contiguous(), p, numbers, decay.detach().to(where, torch.float32)
    return plan, fixed, (bias, learned, decay, held)


def coefficients_of(
    coefficients: tuple[Tensor | float, ...], one: torch.Size, where: torch.device, learns_decay: bool
) -> tuple[Tensor, Tensor, Learned]:
    """Coefficients as (rows, 1) or (rows, N), without gradients; those that have some, which these go to; the places.

    Numbers are in the device's memory since an earlier call, and join the learned ones there.
    """
    of_decay = (len(coefficients),) if learns_decay else ()
    if _NUMBERS.issuperset(map(type, coefficients)):
        p = _shared(tuple(coefficients), 1, where)
        return p, p, of_decay
    width = math.prod(one[1:]) if any(isinstance(x, Tensor) and x.numel() > 1 for x in coefficients) else 1
    rows: list[Tensor] = []
    learned: dict[int, Tensor] = {}
    for are_tensors, of in groupby(enumerate(coefficients), lambda x: isinstance(x[1], Tensor)):
        if not are_tensors:
            rows.append(_shared(tuple(x for _, x in of), width, where))
            continue
        for k, x in of:
            row = cast(Tensor, x).to(where, torch.float32)
            rows.append((row.expand(one[1:]) if width > 1 else row).reshape(1, -1))
            if row.requires_grad:
                learned[k] = rows[-1]
    with torch.no_grad():
        p = torch.cat(rows)
    return p, torch.cat(list(learned.values())) if learned else p, (*learned, *of_decay)


_NUMBERS = frozenset((float, int))


@lru_cache(maxsize=256)
@torch.inference_mode(mode=False)
def _shared(coefficients: tuple[Tensor | float, ...], width: int, where: torch.device) -> Tensor:
    """Coefficients that are numbers, (rows, width)."""
    rows = torch.tensor(coefficients, dtype=torch.float32, device=where)[:, None]
    return rows.expand(-1, width)


@cache
@torch.inference_mode(mode=False)
def nothing(where: torch.device) -> tuple[Tensor, Tensor]:
    """The conductance and bias of neurons that have none."""
    return torch.empty(1, 0, device=where), torch.empty(0, device=where)


@cache
@torch.inference_mode(mode=False)
def no_decay(where: torch.device) -> Tensor:
    """The decay where there is no synapse."""
    return torch.zeros((), device=where)


def flat(drive: SynapticInput, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Current and conductance, (T, lanes) in one format; conductance has no elements if there is none."""
    steps, g = drive.current.shape[0], drive.conductance
    current = materialize(drive.current).to(dtype).reshape(steps, -1)
    if g is None:
        return current, current.new_empty(steps, 0)
    if g.shape != drive.current.shape:
        raise ShapeError(
            f"conductance has shape {tuple(g.shape)}, expected {tuple(drive.current.shape)}, the current's"
        )
    return current, materialize(g).to(dtype).reshape(steps, -1)
