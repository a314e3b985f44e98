"""Neurons of the user's own in files of NIR: as LIF where they are LIF, else by reference."""

import warnings
from itertools import pairwise

import nir
import pytest
import torch

import izhi
import izhi.nir
from izhi.connections import Conv2d, Linear
from izhi.equation import literature
from izhi.errors import IzhiError, LossWarning
from izhi.network import Layer, Network
from izhi.trust import trust

#: Files are read in processes of their own.
pytestmark = pytest.mark.usefixtures("forked_processes")

SPIKES = (torch.rand(40, 6, 12, generator=torch.Generator().manual_seed(1)) < 0.3).float()


@izhi.neuron(states="v", parameters={"beta": 0.9, "threshold": 1.0})
def subtracting(v, I, p):
    v = p.beta * v + I
    s = izhi.spike(v - p.threshold)
    return v - izhi.hold(s) * p.threshold, s


@izhi.neuron(states="v", parameters={"beta": 0.9, "threshold": 1.0})
def zeroed(v, I, p):
    v = p.beta * v + 0.5 * I
    s = izhi.spike((v - p.threshold) / p.threshold, strict=True)
    return v * (1.0 - izhi.hold(s)), s


@izhi.neuron(states="v", parameters={"tau": 12.0, "rest": 0.2, "threshold": 1.0, "v_reset": -0.3}, initial={"v": 0.2})
def biased(v, I, p):
    v = v + (p.rest - v + I) / p.tau
    return izhi.select(v < p.threshold, v, p.v_reset), izhi.spike(v - p.threshold)


@izhi.neuron(states="v", parameters={"threshold": 1.0})
def integrating(v, I, p):
    v = v + I
    return izhi.select(v >= p.threshold, 0.0, v), izhi.spike(v - p.threshold)


@izhi.neuron(states="v", parameters={"threshold": 1.0})
def quadratic(v, I, p):
    v = v * v + I
    return izhi.select(v >= p.threshold, 0.0, v), izhi.spike(v - p.threshold)


@izhi.neuron(states="v", parameters={"threshold": 1.0})
def half_reset(v, I, p):
    v = 0.9 * v + I
    return izhi.select(v >= p.threshold, 0.5 * v, v), izhi.spike(v - p.threshold)


@izhi.neuron(states="v", parameters={"threshold": 1.0})
def late(v, I, p):
    v = izhi.select(v >= 0.5, 0.0, v) * 0.9 + I
    return v, izhi.spike(v - p.threshold)


def network(model, **options):
    torch.manual_seed(0)
    made = Network([Layer(Linear(12, 20), model(**options)), Layer(Linear(20, 5), model())])
    with torch.no_grad():
        for one in made.layers:
            one.connection.weight.add_(0.2).mul_(4)
    return made


def of_file(model, path, **options):
    """Spikes of a network, and of what its file holds; the kinds of its neurons' nodes."""
    before = network(model, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LossWarning)
        izhi.nir.write(before, path)
    after = izhi.nir.read(path)
    nodes = nir.read(path).nodes
    kinds = {type(node).__name__ for name, node in nodes.items() if name.startswith("neurons")}
    return before(SPIKES)[0], after(SPIKES)[0], kinds


@pytest.mark.parametrize(
    ("model", "options", "kind"),
    [
        (subtracting, {}, "LIF"),
        (subtracting, {"learn": "beta", "parameter_shape": 20, "spread": 0.05}, "LIF"),
        (zeroed, {}, "LIF"),
        (zeroed, {"threshold": 0.7}, "LIF"),
        (biased, {}, "LIF"),
        (literature.parametric_lif, {"w": -1.0}, "LIF"),
        (integrating, {}, "IF"),
        (quadratic, {}, "Custom"),
        (half_reset, {}, "Custom"),
        (late, {}, "Custom"),
        (literature.two_compartment_lif, {}, "Custom"),
        (literature.adaptive_exponential, {"learn": "a,b", "parameter_shape": 20, "spread": 0.2}, "Custom"),
    ],
)
def test_spikes_are_kept(model, options, kind, tmp_path):
    before, after, kinds = of_file(model, tmp_path / "net.nir", **options)
    assert before.sum() > 10
    assert kinds == {kind}
    assert torch.equal(before, after)


def test_subtraction_is_said(tmp_path):
    alone = Network([Layer(Linear(12, 20), subtracting())])
    with pytest.warns(LossWarning, match="layer 1 subtracts the threshold") as warned:
        izhi.nir.write(alone, tmp_path / "net.nir")
    assert warned[0].filename == __file__


def test_libraries_read_those_that_they_have(tmp_path):
    izhi.nir.write(network(zeroed), tmp_path / "net.nir", library="norse")
    same = izhi.nir.read(tmp_path / "net.nir", library="norse")
    assert torch.equal(network(zeroed)(SPIKES)[0], same(SPIKES)[0])
    for model in (quadratic, biased, subtracting):
        with pytest.raises(IzhiError, match=f"{model.reference}, whose equation or reset norse does not have"):
            izhi.nir.write(network(model), tmp_path / "other.nir", library="norse")


def test_a_file_imports_no_module_that_the_user_has_not_named(tmp_path, monkeypatch):
    (tmp_path / "strange.py").write_text(
        "import izhi\n"
        "@izhi.neuron(states='v', parameters={'threshold': 1.0})\n"
        "def cubic(v, I, p):\n"
        "    v = v * v * v + I\n"
        "    s = izhi.spike(v - p.threshold)\n"
        "    return izhi.select(v >= p.threshold, 0.0, v), s\n"
    )
    monkeypatch.chdir(tmp_path)
    values = nir.ir.__dict__["Custom"]("strange:cubic", "threshold", torch.ones(1, 4).numpy())
    weights = nir.Affine(torch.ones(4, 3).numpy(), torch.zeros(4).numpy())
    nodes = {"input": nir.Input(torch.tensor([3]).numpy()), "weights": weights, "neurons": values,
             "output": nir.Output(torch.tensor([4]).numpy())}  # fmt: skip
    names = list(nodes)
    nir.write("net.nir", nir.NIRGraph(nodes, list(pairwise(names))))
    with pytest.raises(IzhiError, match="only if you name it"):
        izhi.nir.read("net.nir")
    trust("strange:cubic")
    assert izhi.nir.read("net.nir").layers[0].neuron.spec.kind == "strange:cubic"


def test_parameters_of_another_neuron_are_refused(tmp_path):
    izhi.nir.write(network(quadratic), tmp_path / "net.nir")
    nodes = nir.read(tmp_path / "net.nir")
    nodes.nodes["neurons_1"].names = "leak"
    with pytest.raises(IzhiError, match="has 1 of the parameters leak, expected threshold"):
        izhi.nir.from_graph(nodes)


def test_channels(tmp_path):
    torch.manual_seed(0)
    neurons = zeroed(parameter_shape=(3, 1, 1), learn="threshold", spread=0.2)
    before = Network([torch.nn.Unflatten(1, (1, 8, 8)), Layer(Conv2d(1, 3, 3), neurons)])
    with torch.no_grad():
        before.layers[1].connection.weight.add_(0.2)
    images = (torch.rand(20, 4, 64) < 0.5).float()
    izhi.nir.write(before, tmp_path / "net.nir")
    assert before(images)[0].sum() > 10
    assert torch.equal(before(images)[0], izhi.nir.read(tmp_path / "net.nir")(images)[0])
