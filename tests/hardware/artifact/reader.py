"""An artifact read and run as docs/artifact.md says, by numpy and the standard library alone: a second opinion.

Nothing of izhi is imported here, and nothing of it was looked at: what the document does not say would be wrong.
"""

import hashlib
import io
import json
import zipfile

import numpy as np


def read(path):
    """The manifest, and the arrays by name."""
    with zipfile.ZipFile(path) as file:
        found = {}
        for info in file.infolist():
            assert info.compress_type == zipfile.ZIP_STORED
            found[info.filename.removesuffix(".npy")] = file.read(info)
    arrays = {name: np.load(io.BytesIO(data), allow_pickle=False) for name, data in found.items()}
    manifest = json.loads(arrays.pop("manifest").tobytes())
    assert manifest["format"] == "izhi artifact"
    assert set(manifest["sha256"]) == set(arrays)
    for name, expected in manifest["sha256"].items():
        assert hashlib.sha256(found[name]).hexdigest() == expected
    return manifest, arrays


def unpacked(rows, bits, columns, *, signed=True):
    """Rows of bytes as integers of some bits, the lowest bit first."""
    each = np.unpackbits(rows, axis=1, bitorder="little")[:, : columns * bits].reshape(len(rows), columns, bits)
    values = each.astype(object) @ np.array([1 << k for k in range(bits)], object)
    half = 1 << (bits - 1)
    return np.where(values >= half, values - 2 * half, values) if signed else values


def rounded(x, shift):
    return (x + (1 << shift) // 2) >> shift


def saturated(x, form):
    half = 1 << (form[0] - 1)
    return np.minimum(np.maximum(x, -half), half - 1)


class Reader:
    """A network as the file has it; all numbers are Python's integers, which never run over."""

    def __init__(self, path):
        self.manifest, self.arrays = read(path)

    def values(self, name, count):
        found = self.arrays[name].astype(object)
        return np.resize(found, count) if len(found) == 1 else found

    def test_vectors(self):
        """Inputs (T, count, inputs) and their scores (count, classes)."""
        tests, steps = self.manifest["tests"], self.manifest["steps"]
        first = (self.manifest["layers"] or [self.manifest["readout"]])[0]
        packed = self.arrays["test.inputs"]
        inputs = unpacked(packed, tests["bits"], first["inputs"], signed=False)
        return inputs.reshape(steps, tests["count"], first["inputs"]), self.arrays["test.scores"]

    def scores(self, inputs):
        """Of inputs (T, inputs), one score for each class."""
        layers = [Layer(self, number, table) for number, table in enumerate(self.manifest["layers"])]
        readout, total, reads = self.manifest["readout"], 0, self.manifest.get("reads", "sum")
        each, self.trace = [], 0
        for x in inputs.astype(object):
            for layer in layers:
                x = layer.step(x)
            each.append(x if readout is None else self.readout(readout, x))
            total = total + each[-1]
        return {"sum": total, "max": np.array(each).max(0), "last": each[-1], "steps": np.array(each)}[reads]

    def readout(self, table, x):
        x = pooled(table, x)
        weight = unpacked(self.arrays["readout.weight"], table["weight_bits"], len(x))
        multiplier, bias = (self.values(f"readout.{name}", table["outputs"]) for name in ("multiplier", "bias"))
        if "formats" not in table:
            return multiplier * (weight @ x) + bias
        form, decay = table["formats"]["trace"], self.values("readout.decay", table["outputs"])
        self.trace = saturated((weight @ x) * (1 << form[1]) + rounded(decay * self.trace, table["fraction"]), form)
        return saturated(rounded(self.trace * multiplier, table["shift"]), table["formats"]["current"]) + bias


class Window:
    def __init__(self, table):
        self.features, (self.kernel, self.stride, self.padding) = (
            table["features"], (table[name] for name in ("kernel", "stride", "padding"))
        )  # fmt: skip
        _, *sizes = self.features
        self.places = [
            (size + 2 * padding - kernel) // stride + 1
            for size, kernel, stride, padding in zip(sizes, self.kernel, self.stride, self.padding, strict=True)
        ]

    def seen(self, x, row, column):
        """Features (channels, kernel height, kernel width) seen at a place; 0 outside."""
        channels, height, width = self.features
        grid, found = x.reshape(channels, height, width), np.zeros((channels, *self.kernel), object)
        for ky in range(self.kernel[0]):
            for kx in range(self.kernel[1]):
                y, z = row * self.stride[0] + ky - self.padding[0], column * self.stride[1] + kx - self.padding[1]
                if 0 <= y < height and 0 <= z < width:
                    found[:, ky, kx] = grid[:, y, z]
        return found

    def of_places(self, x):
        return [self.seen(x, row, column) for row in range(self.places[0]) for column in range(self.places[1])]


def pooled(table, x):
    for pool in table.get("pools", []):
        window = Window({"padding": [0, 0], **pool})
        over = {"sum": np.sum, "max": np.max}[pool["kind"]]
        x = np.array([over(seen, axis=(1, 2)) for seen in window.of_places(x)], object).T.reshape(-1)
    return x


class Layer:
    """A layer of neurons, with its states."""

    def __init__(self, file, number, table):
        self.table, place, n = table, f"layers.{number}.", table["outputs"]
        self.window = Window(table["window"]) if "window" in table else None
        self.late, self.past = None, []
        columns = table["inputs"]
        for pool in table.get("pools", []):
            window = Window({"padding": [0, 0], **pool})
            columns = pool["features"][0] * window.places[0] * window.places[1]
        if table.get("delayed"):
            self.late = file.values(place + "delay", columns)
        if self.window is not None:
            columns = self.window.features[0] * self.window.kernel[0] * self.window.kernel[1]
        bits = table["weight_bits"]
        self.weight = unpacked(file.arrays[place + "weight"], bits, columns)
        self.feedback = unpacked(file.arrays[place + "feedback"], bits, n) if table["recurrent"] else None
        of_step = table.get("step")
        names = [*(x[0] for x in of_step["constants"]), *table["initial"]] if of_step else {
            "izhikevich": ("a1", "a2", "a3", "a4", "b1", "b2", "b3", "c", "d", "threshold", "v0", "u0"),
            "lif": ("beta", "bias", "threshold"), "lif-zero": ("beta", "bias", "threshold"),
            "lif-soft": ("beta", "bias", "threshold"), "lif-value": ("beta", "bias", "threshold", "reset"),
        }[table["neuron"]]  # fmt: skip
        self.p = {name: file.values(place + name, n) for name in (*names, "multiplier")}
        self.decay = file.values(place + "decay", n) if "trace" in table["formats"] else None
        zero = np.zeros(n, object)
        self.trace, self.z = zero, zero
        self.v, self.u = self.p.get("v0", zero), self.p.get("u0", zero)
        self.states = {x: self.p.get(f"{x}0", zero) for x in of_step["states"]} if of_step else {}

    def step(self, x):
        formats, shift, f = self.table["formats"], self.table["shift"], self.table["fraction"]
        x = pooled(self.table, x)
        if self.late is not None:
            self.past.append(x)
            now = len(self.past) - 1
            x = np.array([self.past[now - d][i] if d <= now else 0 for i, d in enumerate(self.late)], object)
        if self.window is None:
            a = self.weight @ x
        else:
            a = np.array([self.weight @ seen.reshape(-1) for seen in self.window.of_places(x)], object).T.reshape(-1)
        if self.feedback is not None:
            a = a + self.feedback @ self.z
        if self.decay is not None:
            form = formats["trace"]
            a = self.trace = saturated(a * (1 << form[1]) + rounded(self.decay * self.trace, f), form)
        current = saturated(rounded(a * self.p["multiplier"], shift), formats["current"])
        own = "own" if "step" in self.table else self.table["neuron"].replace("-", "_")
        self.z = getattr(self, own)(current, formats, f)
        return self.z

    def izhikevich(self, current, formats, f):
        p, v, u = self.p, self.v, self.u
        spike = v >= p["threshold"]
        q = rounded(v * v, formats["v"][1])
        change = rounded(p["a1"] * q + p["a2"] * v + p["a3"] * u + p["a4"], f)
        new = saturated(v + current + change, formats["v"])
        fallen = saturated(u + rounded(p["b1"] * new + p["b2"] * u + p["b3"], f), formats["u"])
        self.v = np.where(spike, p["c"], new)
        self.u = np.where(spike, saturated(u + p["d"], formats["u"]), fallen)
        return spike.astype(object) * 1

    def own(self, current, formats, f):
        step, values = self.table["step"], []
        for op, value, *operands in step["operations"]:
            values.append(self.operation(op, value, [values[k] for k in operands], current, formats, f))
        *after, fires = (values[k] for k in step["results"])
        self.states = dict(zip(step["states"], after, strict=True))
        return fires.astype(object) * 1

    def operation(self, op, value, x, current, formats, f):
        fraction = {**{state: formats[state][1] for state in self.states}, "fraction": f}
        return {
            "variable": lambda: {**self.p, **self.states, "_input": current}[value],
            "constant": lambda: 0 * current,
            "+": lambda: x[0] + x[1], "-": lambda: x[0] - x[1], "*": lambda: x[0] * x[1],
            "negative": lambda: -x[0], "absolute": lambda: abs(x[0]),
            "shift": lambda: rounded(x[0], fraction[value]),
            "aligned": lambda: x[0] * (1 << f + fraction[value.split()[0]] - fraction[value.split()[1]]),
            "saturated": lambda: saturated(x[0], formats[value]),
            "clip": lambda: np.minimum(np.maximum(x[0], x[1]), x[2]),
            ">=": lambda: x[0] >= x[1], ">": lambda: x[0] > x[1],
            "not": lambda: ~x[0].astype(bool), "and": lambda: x[0] & x[1], "or": lambda: x[0] | x[1],
            "select": lambda: np.where(x[0].astype(bool), x[1], x[2]),
        }[op]()  # fmt: skip

    def lif(self, current, formats, f):
        p, above = self.p, self.v > self.p["threshold"]
        leak = rounded(p["beta"] * self.v + p["bias"], f)
        self.v = saturated(current + leak - np.where(above, p["threshold"], 0), formats["v"])
        return (self.v > p["threshold"]).astype(object) * 1

    def lif_soft(self, current, formats, f):
        p = self.p
        kept = np.where(self.v > p["threshold"], self.v - p["threshold"], self.v)
        self.v = saturated(current + rounded(p["beta"] * kept + p["bias"], f), formats["v"])
        return (self.v > p["threshold"]).astype(object) * 1

    def lif_zero(self, current, formats, f):
        p = self.p
        kept = np.where(self.v > p["threshold"], 0, self.v)
        self.v = saturated(current + rounded(p["beta"] * kept + p["bias"], f), formats["v"])
        return (self.v > p["threshold"]).astype(object) * 1

    def lif_value(self, current, formats, f):
        p = self.p
        kept = np.where(self.v > p["threshold"], p["reset"], self.v)
        self.v = saturated(current + rounded(p["beta"] * kept + p["bias"], f), formats["v"])
        return (self.v > p["threshold"]).astype(object) * 1
