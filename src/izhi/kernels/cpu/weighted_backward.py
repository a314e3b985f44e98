"""The way back through a layer, product and neurons; see ``weighted.py``."""

from __future__ import annotations

from functools import cache, partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from izhi.compiled import inlined
from izhi.kernels.cpu import arena
from izhi.kernels.cpu.event_tiles import add_products, aligned, turned
from izhi.kernels.cpu.events import fire_often
from izhi.kernels.cpu.lane import lane_functions
from izhi.kernels.cpu.matrix_unit import (
    TILE_BYTES,
    TILE_PAIRS,
    TILE_ROWS,
    add_group,
    configure_tiles,
    has_unit,
    pair_floats,
    release_tiles,
    round_row,
    store_sums,
    tile_memory,
    widen_row,
    zero_sums,
)
from izhi.kernels.cpu.parallel import (
    Argument,
    Kernel,
    argument_places,
    array,
    array_at,
    compile_kernel,
    copy_floats,
    launch,
    number,
    share,
    wide_vectors,
    zero_rows,
)
from izhi.kernels.cpu.recurrence import in_pairs
from izhi.kernels.cpu.rows import (
    GROUP,
    OUTPUT_BLOCK,
    add_rows,
    add_sums,
    copy_row,
    list_bits,
    prefetch_row,
    sum_subsets,
    weigh_rows,
)
from izhi.kernels.cpu.scalars import codec, f32, zero
from izhi.kernels.cpu.weighted import CONSTANTS, LayerArguments, arguments_of, rows_in
from izhi.kernels.events import WORD
from izhi.kernels.low_rank import LowRankGradient
from izhi.kernels.ops import Value
from izhi.kernels.plan import LayerCall, LayerGradients, Plan

#: Pieces of work of the way back, at least: as many threads have some, and the sums are the same for any number.
PIECES = 16


class _Backward(NamedTuple):
    """What the backward kernel takes besides ``LayerArguments``; the last three are the gradients of spikes."""

    parts: Argument
    grad_last: Argument
    grad_first: Argument
    grad_bias: Argument
    grad_p: Argument
    grad_weight: Argument
    grad_spikes: Argument
    second: Argument
    third: Argument = 0


@inlined
def _fetch(by_tiles: Value, source: Value, target: Value) -> None:
    """A row of currents, in bfloat16 where products are those of tiles, else in float32."""
    if by_tiles:
        widen_row(OUTPUT_BLOCK, source, target)
    else:
        copy_row(OUTPUT_BLOCK, source, target)


@inlined
def _put(by_tiles: Value, source: Value, target: Value) -> None:
    """A row of gradients of currents, in the format of these."""
    if by_tiles:
        round_row(OUTPUT_BLOCK, source, target)
    else:
        copy_row(OUTPUT_BLOCK, source, target)


@cache
def _backward(plan: Plan, factored: bool, tabled: bool, needs_input_grad: bool) -> Kernel:
    load, _, element = codec(plan.dtype)
    _, size_of_row = rows_in(plan.dtype)
    by_tiles = plan.dtype == torch.bfloat16
    step, step_vjp, shared_coefficients, all_constants = lane_functions(plan)
    rows_of_neuron, states, summed = plan.rows, plan.states, len(plan.learn)
    biased, shared, quantized = plan.biased, plan.shared, plan.quantized
    by_unit, element_size = has_unit(), plan.dtype.itemsize

    call, own = argument_places(LayerArguments), argument_places(_Backward, behind=LayerArguments)

    @compile_kernel
    def backward(data):  # type: ignore[no-untyped-def]
        steps, batch, chunks, inputs = (
            number(data, call.steps),
            number(data, call.batch),
            number(data, call.chunks),
            number(data, call.inputs),
        )
        places = array(data, call.places, (batch, inputs), np.int32)
        counts = array(data, call.counts, batch, np.int32)
        words = array(data, call.words, (batch, chunks, (inputs + WORD - 1) // WORD * WORD), np.uint32)
        neurons, blocks, parts = number(data, call.neurons), number(data, call.blocks), number(data, own.parts)
        bias, coefficients_at = number(data, call.bias), number(data, call.coefficients)
        p = array(data, call.coefficients, (rows_of_neuron, 1 if shared else neurons), f32)
        constants = array(data, call.constants, CONSTANTS, f32)
        currents, to_block, to_step = (
            number(data, call.currents),
            number(data, call.to_block),
            number(data, call.to_step),
        )
        kept = array(data, call.kept, (batch, blocks, chunks, states, OUTPUT_BLOCK), f32)
        grad_last, grad_first = number(data, own.grad_last), number(data, own.grad_first)
        grad_bias = array(data, own.grad_bias, (parts, blocks, OUTPUT_BLOCK), f32)
        grad_p = array(data, own.grad_p, (parts, blocks, summed, OUTPUT_BLOCK), f32)
        grad_weight = array(data, own.grad_weight, (parts, blocks, inputs, OUTPUT_BLOCK), f32)
        if factored and by_tiles:
            upper, weight_above = number(data, own.grad_spikes), number(data, own.second)
        elif factored:
            outputs, w_above = number(data, own.third), number(data, own.second)
            g_above = array(data, own.grad_spikes, (steps, batch, outputs), f32)
            of_outputs = zero_rows(outputs, OUTPUT_BLOCK)
        else:
            grad_spikes, step_apart, sample_apart = (
                number(data, own.grad_spikes),
                number(data, own.second),
                number(data, own.third),
            )
        wide_vectors()
        worker, workers = share(data)
        if by_tiles:
            right_room, right = aligned(chunks * 4 * TILE_BYTES)
            left_room, left = aligned(2 * chunks * TILE_BYTES)
            sums_room, sums = aligned(2 * 4 * TILE_BYTES)
            above_room, above = aligned(WORD * 4 * OUTPUT_BLOCK)
            tiles = tile_memory(by_unit)
            configure_tiles(tiles, TILE_ROWS, TILE_ROWS)
        else:
            subsets = zero_rows((WORD // GROUP if tabled else 1) << GROUP, OUTPUT_BLOCK)
            fires = np.zeros(WORD, np.int32)
        # Of one piece of memory, so that LLVM sees which of these lie apart from each other.
        room = zero_rows(6 + 3 * states + rows_of_neuron + summed, OUTPUT_BLOCK)
        bias_of, bias_sum, current_of, arriving_spikes, made_t = room[0], room[1], room[2], room[3], room[4]
        nothing, of_states, others = room[5], room[6 : 6 + 3 * states], room[6 + 3 * states :]
        z, gz, then = of_states[:states], of_states[states : 2 * states], of_states[2 * states :]
        q, total = others[:rows_of_neuron], others[rows_of_neuron:]
        path, made = zero_rows(WORD * states, OUTPUT_BLOCK), zero_rows(WORD, OUTPUT_BLOCK)
        s = all_constants(constants)
        same = shared_coefficients(p)
        pieces = blocks * parts
        for piece in range(worker * pieces // workers, (worker + 1) * pieces // workers):
            block, part = piece // parts, piece % parts
            start = block * OUTPUT_BLOCK
            size = min(OUTPUT_BLOCK, neurons - start)
            if not shared:
                for k in range(rows_of_neuron):
                    copy_floats(coefficients_at + 4 * (k * neurons + start), q[k].ctypes.data, size)
            if biased:
                copy_floats(bias + 4 * start, bias_of.ctypes.data, size)
                for i in range(OUTPUT_BLOCK):
                    bias_sum[i] = f32(0)
            if factored and not by_tiles:
                for k in range(outputs):
                    copy_floats(w_above + 4 * (k * neurons + start), of_outputs[k].ctypes.data, size)
            for k in range(summed):
                for i in range(OUTPUT_BLOCK):
                    total[k, i] = f32(0)
            of_weight = grad_weight[part, block]
            for k in range(inputs):
                for i in range(OUTPUT_BLOCK):
                    of_weight[k, i] = f32(0)
            for b in range(part * batch // parts, (part + 1) * batch // parts):
                following = min(b + 1, batch - 1)
                of_sample = b * blocks * steps + block * to_block
                of_following = following * blocks * steps + block * to_block
                for k in range(states):
                    prefetch_row(OUTPUT_BLOCK, kept[following, block, chunks - 1, k].ctypes.data)
                for k in range(states):
                    if grad_last:
                        copy_floats(grad_last + 4 * ((k * batch + b) * neurons + start), gz[k].ctypes.data, size)
                    else:
                        copy_row(OUTPUT_BLOCK, nothing.ctypes.data, gz[k].ctypes.data)
                for back in range(chunks):
                    c = chunks - 1 - back
                    begin = WORD * c
                    length = min(WORD, steps - begin)
                    if factored and by_tiles:
                        _multiply_factors(
                            tiles, upper + (b * chunks + c) * 2 * TILE_BYTES, weight_above + start * 64, above
                        )
                    for k in range(states):
                        copy_row(OUTPUT_BLOCK, kept[b, block, c, k].ctypes.data, z[k].ctypes.data)
                    for t in range(length):
                        x_t = currents + (of_sample + (begin + t) * to_step) * size_of_row
                        for k in range(states):
                            copy_row(OUTPUT_BLOCK, z[k].ctypes.data, path[states * t + k].ctypes.data)
                        if t == length - 1 and not quantized:
                            break  # nothing asks for the state after the last step
                        _fetch(by_tiles, x_t, current_of.ctypes.data)
                        for i in range(OUTPUT_BLOCK):
                            step(z, q, same, current_of[i], zero, bias_of, s, i)
                    for ahead in range(length):
                        t = length - 1 - ahead
                        x_t = currents + (of_sample + (begin + t) * to_step) * size_of_row
                        later = currents + (of_following + (begin + t) * to_step) * size_of_row
                        for line in range(0, size_of_row, 64):
                            prefetch_row(16, later + line)
                        _fetch(by_tiles, x_t, current_of.ctypes.data)
                        for k in range(states):
                            copy_row(OUTPUT_BLOCK, path[states * t + k].ctypes.data, then[k].ctypes.data)
                        if factored and by_tiles:
                            copy_row(OUTPUT_BLOCK, above + 4 * OUTPUT_BLOCK * t, arriving_spikes.ctypes.data)
                        elif factored:
                            factors, rows = g_above[begin + t, b].ctypes.data, of_outputs.ctypes.data
                            weigh_rows(factors, rows, 4 * OUTPUT_BLOCK, outputs, arriving_spikes.ctypes.data)
                        else:
                            place = (begin + t) * step_apart + b * sample_apart + element_size * start
                            source = array_at(grad_spikes + place, size, element)
                            for i in range(size):
                                arriving_spikes[i] = load(source[i])
                        for i in range(OUTPUT_BLOCK):
                            made_t[i], _ = step_vjp(
                                then, z, gz, q, same, current_of[i], zero, bias_of, arriving_spikes[i],
                                total, bias_sum, s, i,
                            )  # fmt: skip
                        copy_row(OUTPUT_BLOCK, made_t.ctypes.data, made[t].ctypes.data)
                        if needs_input_grad:
                            _put(by_tiles, made_t.ctypes.data, x_t)
                    for t in range(length, WORD):
                        copy_row(OUTPUT_BLOCK, nothing.ctypes.data, made[t].ctypes.data)
                    if by_tiles:
                        for t in range(0, WORD, 2):
                            target = right + c * 4 * TILE_BYTES + 32 * t
                            pair_floats(OUTPUT_BLOCK, made[t].ctypes.data, made[t + 1].ctypes.data, target)
                    else:
                        of_word, found = words[b, c], places[b]
                        groups = (length + GROUP - 1) // GROUP
                        if tabled:
                            sum_subsets(OUTPUT_BLOCK, made.ctypes.data, length, subsets.ctypes.data)
                        for k in range(counts[b]):
                            of_input = of_weight[found[k]].ctypes.data
                            if tabled:
                                add_sums(OUTPUT_BLOCK, subsets.ctypes.data, of_word[k], groups, of_input)
                            else:
                                count = list_bits(of_word[k], 0, fires, 0)
                                add_rows(OUTPUT_BLOCK, made.ctypes.data, fires.ctypes.data, count, of_input)
                if grad_first:
                    for k in range(states):
                        copy_floats(gz[k].ctypes.data, grad_first + 4 * ((k * batch + b) * neurons + start), size)
                if by_tiles:
                    many = np.int64(counts[b])
                    add_products(tiles, words[b], places[b], np.int64(0), many, right, left, sums, of_weight)
            if biased:
                copy_row(OUTPUT_BLOCK, bias_sum.ctypes.data, grad_bias[part, block].ctypes.data)
            for k in range(summed):
                copy_row(OUTPUT_BLOCK, total[k].ctypes.data, grad_p[part, block, k].ctypes.data)
        if by_tiles:
            release_tiles()
            right_room[0], left_room[0], sums_room[0], above_room[0] = 0, 0, 0, 0

    return backward


@inlined
def _multiply_factors(tiles: Value, upper: Value, weight: Value, to: Value) -> None:
    """Gradients of 32 steps above, (32, 32), times the weights of 64 neurons above them, (16, 64 pairs)."""
    for half in range(2):
        zero_sums(tiles)
        add_group(tiles, upper, weight + 2 * TILE_BYTES * half, False)
        store_sums(tiles, to + 128 * half, 256, False)


def backward(
    plan: Plan, call: LayerCall, currents: Tensor, kept: Tensor, grad_spikes: Tensor, grad_last: Tensor | None,
    wants_first: bool, needs_input_grad: bool,
) -> LayerGradients:  # fmt: skip
    """Gradients of everything that went in, but for the spikes.

    If ``needs_input_grad``, those of the currents are where the currents were, whose steps lie side by side.
    """
    events, (neurons, inputs) = call.events, call.weight.shape
    batch, blocks, *_ = currents.shape
    chunks, parts = kept.shape[2], -(-PIECES // blocks)
    grad_first = arena.empty(plan.states, batch * neurons) if wants_first else None
    grad_bias = arena.empty(parts, blocks, OUTPUT_BLOCK)
    grad_p = arena.empty(parts, blocks, len(plan.learn), OUTPUT_BLOCK)
    grad_weight = arena.empty(parts, blocks, inputs, OUTPUT_BLOCK)
    factored, tabled = (
        isinstance(grad_spikes, LowRankGradient),
        plan.dtype == torch.float32 and fire_often(events, OUTPUT_BLOCK),
    )
    if isinstance(grad_spikes, LowRankGradient):
        as_taken = in_pairs if plan.dtype == torch.float32 else partial(_tiles, chunks=chunks, blocks=blocks)
        arriving: tuple[int | Tensor, ...] = as_taken(*grad_spikes.factors)
    else:  # steps and samples may come in any order
        grad_spikes = grad_spikes if grad_spikes.stride(2) == 1 else grad_spikes.contiguous()
        arriving = (grad_spikes, *(x * plan.dtype.itemsize for x in grad_spikes.stride()[:2]))
    own = _Backward(
        parts, 0 if grad_last is None else grad_last, 0 if grad_first is None else grad_first, grad_bias, grad_p,
        grad_weight, *arriving,
    )  # fmt: skip
    kernel = _backward(plan, factored, tabled, needs_input_grad)
    launch(kernel, *arguments_of(call, currents, kept), *own, pieces=blocks * parts)
    return LayerGradients(
        turned(grad_weight, neurons),
        grad_first,
        grad_bias.sum(0).view(-1)[:neurons] if plan.biased else None,
        grad_p.sum(0).transpose(0, 1).flatten(1)[:, :neurons] if plan.learn else None,
        currents.transpose(1, 2).flatten(2)[..., :neurons].transpose(0, 1) if needs_input_grad else None,
    )


def _tiles(g: Tensor, weight: Tensor, chunks: int, blocks: int) -> tuple[Tensor, Tensor]:
    """g (T, B, O) and W (O, N) as tiles of whole words and blocks: (B, ⌈T/32⌉·32, 32), (N/16, 16 pairs of O, 16, 2)."""
    (steps, batch, outputs), neurons = g.shape, weight.shape[1]
    upper = g.new_zeros(batch, chunks * WORD, TILE_PAIRS)
    upper[:, :steps, :outputs] = g.transpose(0, 1)
    above = g.new_zeros(TILE_PAIRS, blocks * OUTPUT_BLOCK)
    above[:outputs, :neurons] = weight
    return upper, above.view(TILE_PAIRS // 2, 2, -1, TILE_ROWS).permute(2, 0, 3, 1).contiguous()
