"""Networks as plain tables, without their weights: what settings keep of one that they have no other words for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeAlias

import torch
from torch import nn

from izhi.errors import IzhiError, SettingError, shown, unknown
from izhi.network.connections import Connection, Conv1d, Conv2d, Linear
from izhi.network.delays import AxonalDelay, Delay, SynapticDelay
from izhi.network.layers import Layer
from izhi.network.network import Network
from izhi.network.normalization import BatchNorm
from izhi.network.synapses import ConductanceSynapse, ExponentialSynapse
from izhi.network.traversal import shape_of_inputs, with_shapes
from izhi.neurons import LIF, Izhikevich
from izhi.neurons.surrogate import SURROGATES, ClosedForm
from izhi.spec import IzhikevichParameters

#: A module: its kind, and plain values.
Table: TypeAlias = dict[str, Any]

_CONNECTIONS: dict[str, Any] = {"Linear": Linear, "Conv1d": Conv1d, "Conv2d": Conv2d}
_POOLS: dict[str, Any] = {x.__name__: x for x in (nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d)}
_DELAYS: dict[str, Any] = {"AxonalDelay": AxonalDelay, "SynapticDelay": SynapticDelay}


def blueprint(network: Network, *features: int) -> list[Table]:
    """A network as tables, the readout last.

    Args:
        network: of float weights.
        features: that it takes.

    Raises:
        SettingError: for a module that tables do not hold.
    """
    tables = [
        _of_layer(module, found) if isinstance(module, Layer) else _of_module(module)
        for module, _, found in with_shapes(network.layers, features)
    ]
    if network.readout is not None:
        tables.append({"kind": "Readout", **_of_connection(network.readout)})
    return tables


def build(tables: Sequence[Mapping[str, Any]], **options: Any) -> Network:
    """A network of tables, its weights drawn from torch's generator.

    Args:
        tables: as ``blueprint`` gives them.
        **options: of ``Network``.

    Raises:
        SettingError: for tables that are none.
    """
    row: list[nn.Module] = []
    readout: Connection | None = None
    for number, table in enumerate(tables, start=1):
        try:
            module = _made(table)
        except IzhiError as error:
            raise SettingError(f"modules, number {number}: {error}") from None
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise SettingError(f"modules, number {number}, is {shown(dict(table))} ({shown(reason)})") from None
        if isinstance(module, Connection):
            readout = module
            if number < len(tables):
                raise SettingError(f"modules, number {number}, is a readout, expected it last")
        else:
            row.append(module)
    return Network(row, readout, **options)


def width(network: Network) -> int | None:
    """How many features a network takes; None if its first module does not say."""
    shape = shape_of_inputs([x for x in (*network.layers, network.readout) if isinstance(x, nn.Module)])
    return None if shape is None else math.prod(shape)


def shapes(tables: Sequence[Mapping[str, Any]]) -> list[tuple[Layer, tuple[int, ...]]]:
    """The layers of neurons, without memory for their weights, and the shape of each one's neurons."""
    with torch.device("meta"):
        layers = build(tables).spiking
    return [(x, tuple(t["features"])) for x, t in zip(layers, _neurons_in(tables), strict=True)]


def numbers(tables: Sequence[Mapping[str, Any]]) -> int:
    """How many learned numbers there are."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build(tables).parameters())


def _neurons_in(tables: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [table for table in tables if table["kind"] == "Layer"]


def _of_module(module: nn.Module) -> Table:
    kind = type(module).__name__
    if isinstance(module, nn.Unflatten):
        return {"kind": kind, "shape": list(module.unflattened_size)}
    if isinstance(module, (nn.Flatten, nn.Identity)):
        return {"kind": kind}
    if kind in _POOLS:
        pool: Any = module
        odd = pool.padding not in (0, (0,), (0, 0)) or pool.ceil_mode
        if not odd:
            return {"kind": kind, "kernel": _plain(pool.kernel_size), "stride": _plain(pool.stride)}
    raise SettingError(
        f"the network has {shown(module)}, which settings do not hold; expected layers, pooling without padding,"
        " Flatten and Unflatten"
    )


def _of_layer(layer: Layer, shape: Sequence[int]) -> Table:
    found: Table = {"kind": "Layer", "features": list(shape), **_of_connection(layer.connection)}
    found["neuron"] = _of_neuron(layer.neuron)
    if layer.delay is not None:
        delay = layer.delay
        found["delay"] = {
            "kind": type(delay).__name__, "largest": delay.largest, "learn": delay.steps.requires_grad,
        }  # fmt: skip
    if layer.norm is not None:
        found["norm"] = {"momentum": layer.norm.momentum, "eps": layer.norm.eps}
    return found


def _of_connection(connection: Connection) -> Table:
    kind, own = type(connection).__name__, connection.input
    if kind not in _CONNECTIONS:
        raise SettingError(f"the network has a connection {kind}, expected one of: {', '.join(_CONNECTIONS)}")
    found: Table = {"connection": kind, "bias": own.bias is not None, "recurrent": connection.feedback is not None}
    if kind == "Linear":
        found |= {"inputs": own.in_features, "outputs": own.out_features}
    else:
        found |= {
            "inputs": own.in_channels, "outputs": own.out_channels, "kernel": _plain(own.kernel_size),
            "stride": _plain(own.stride), "padding": _plain(own.padding), "dilation": _plain(own.dilation),
            "groups": own.groups,
        }  # fmt: skip
    synapse = connection.synapse
    if synapse is None:
        return found
    # From its logit, so that rounding is not rounded again.
    table: Table = {"tau": 1 / (1 - torch.sigmoid(synapse.logit.detach().double()).item())}
    table["learn"] = synapse.logit.requires_grad
    if isinstance(synapse, ConductanceSynapse):
        table |= {"reversal": list(synapse.reversal), "implicit": synapse.implicit}
        if synapse.inhibitory is not None:
            table["inhibitory"] = synapse.inhibitory
    else:
        table["filters_bias"] = synapse.filters_bias
    return {**found, "synapse": table}


def _of_neuron(neuron: object) -> Table:
    if not isinstance(neuron, (LIF, Izhikevich)):
        raise SettingError(f"the network has {type(neuron).__name__} neurons, expected float ones of LIF or Izhikevich")
    found: Table = {"kind": neuron.kind, "learn": list(neuron.learned), **_of_surrogate(neuron.settings.surrogate)}
    if neuron.size is not None:
        found["size"] = list(neuron.size)
    if isinstance(neuron, LIF):
        own = {name: value for name, value in neuron.dynamics().items() if name not in neuron.learned}
        first = {name: float(getattr(neuron, name)) for name in neuron.learned}
        return {**found, **own, **first}
    if neuron.mixture is not None:
        raise SettingError("the network has a mixture of neurons, which settings of modules do not hold; use mixture")
    parameters = {name: value for name, value in asdict(neuron.parameters_).items() if value is not None}
    return {**found, "parameters": parameters, "jacobian_limit": neuron.settings.jacobian_limit}


def _of_surrogate(surrogate: object) -> Table:
    for name, kind in SURROGATES.items():
        if isinstance(surrogate, ClosedForm) and type(surrogate) is kind:
            return {"surrogate": name, "surrogate_values": list(asdict(surrogate).values())}
    return {}


def _surrogate(table: Mapping[str, Any]) -> ClosedForm | None:
    if "surrogate" not in table:
        return None
    if table["surrogate"] not in SURROGATES:
        raise unknown("surrogate", table["surrogate"], SURROGATES)
    return SURROGATES[table["surrogate"]](*table["surrogate_values"])


def _plain(size: Any) -> Any:
    return list(size) if isinstance(size, (tuple, list)) else size


def _sizes(value: Any) -> Any:
    """A whole number, or several, or None."""
    if value is None:
        return None
    each = value if isinstance(value, (list, tuple)) else [value]
    if not all(isinstance(x, int) and x >= 0 for x in each):
        raise SettingError(f"a size is {shown(value)}, expected whole numbers")
    return tuple(value) if isinstance(value, (list, tuple)) else value


def _made(table: Mapping[str, Any]) -> nn.Module:
    kind = table["kind"]
    if kind == "Unflatten":
        return nn.Unflatten(1, tuple(table["shape"]))
    if kind in ("Flatten", "Identity"):
        return nn.Flatten() if kind == "Flatten" else nn.Identity()
    if kind in _POOLS:
        pool: nn.Module = _POOLS[kind](_sizes(table["kernel"]), _sizes(table["stride"]))
        return pool
    if kind == "Readout":
        return _connection(table)
    if kind != "Layer":
        raise unknown("module", kind, ["Layer", "Readout", "Flatten", "Unflatten", "Identity", *_POOLS])
    if not all(isinstance(n, int) and n > 0 for n in table["features"]):
        raise SettingError(f"features are {shown(table['features'])}, expected numbers of neurons")
    connection = _connection(table)
    norm = table.get("norm")
    return Layer(
        connection, _neuron(table["neuron"]), _delay(table, connection),
        None if norm is None else BatchNorm(len(connection.weight), **norm),
    )  # fmt: skip


def _connection(table: Mapping[str, Any]) -> Connection:
    kind = table["connection"]
    if kind not in _CONNECTIONS:
        raise unknown("connection", kind, _CONNECTIONS)
    more = {
        name: _sizes(table[name]) for name in ("stride", "padding", "dilation", "groups") if name in table
    }  # fmt: skip
    sizes = (table["inputs"], table["outputs"], *([_sizes(table["kernel"])] if "kernel" in table else []))
    found: Connection = _CONNECTIONS[kind](
        *sizes, bias=table["bias"], recurrent=table["recurrent"], synapse=_synapse(table.get("synapse")), **more
    )
    return found


def _synapse(table: Mapping[str, Any] | None) -> ExponentialSynapse | None:
    if table is None:
        return None
    if "reversal" in table:
        low, rest, high = table["reversal"]
        return ConductanceSynapse(
            table["tau"], learn_tau=table["learn"], reversal=(low, rest, high), implicit=table["implicit"],
            inhibitory=table.get("inhibitory"),
        )  # fmt: skip
    return ExponentialSynapse(table["tau"], learn_tau=table["learn"], filters_bias=table["filters_bias"])


def _delay(table: Mapping[str, Any], connection: Connection) -> Delay | None:
    own = table.get("delay")
    if own is None:
        return None
    if own["kind"] not in _DELAYS:
        raise unknown("delay", own["kind"], _DELAYS)
    if own["kind"] == "AxonalDelay":
        return AxonalDelay(connection.inputs, own["largest"], learn=own["learn"])
    kernel = connection.weight.shape[2:]
    return SynapticDelay(
        connection.weight.shape[1], len(connection.weight), own["largest"], learn=own["learn"], kernel=kernel
    )


def _neuron(table: Mapping[str, Any]) -> LIF | Izhikevich:
    common: dict[str, Any] = {
        "size": _sizes(table.get("size")), "learn": table["learn"], "surrogate": _surrogate(table),
    }  # fmt: skip
    if table["kind"] == LIF.kind:
        known = ("beta", "threshold", "reset", "reset_delay", "v_reset")
        return LIF(**{name: table[name] for name in known if name in table}, **common)
    if table["kind"] == Izhikevich.kind:
        limit = table["jacobian_limit"]
        return Izhikevich(IzhikevichParameters(**table["parameters"]), jacobian_limit=limit, **common)
    raise unknown("neuron", table["kind"], [LIF.kind, Izhikevich.kind])


__all__ = ["Table", "blueprint", "build", "numbers", "shapes", "width"]
