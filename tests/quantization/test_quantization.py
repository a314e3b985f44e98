"""Quantised networks: exactly the integer model, gradients, formats, correction, and the commands."""

import json

import numpy as np
import pytest
import torch

from izhi import LIF, cli, quantization
from izhi.errors import SettingError
from izhi.experiments import build as builds, results, samples, sweep
from izhi.experiments.run import quantize
from izhi.experiments.settings import experiment
from izhi.experiments.settings.choices import QUANTIZATION_METHODS
from izhi.hardware import artifact as artifacts, fixed
from izhi.hardware.fixed import FixedPoint, fast
from izhi.network import Layer, Network, encoding
from izhi.network.connections import ConductanceSynapse, ExponentialSynapse, Linear, SynapticDelay
from izhi.quantization import MULTIPLIER_BITS, StateFormats
from izhi.quantization.neurons import multiplied
from izhi.quantization.ptq import correct_biases
from izhi.training import checkpoint
from tiers import slow_but

NETWORKS = [
    {"neuron": "normalized"},
    {"neuron": "normalized", "readout": "current", "connection": "recurrent"},
    {
        "neuron": "normalized",
        "learn": "a1,a2,a3,b1,b2,c,d,threshold",
        "per_neuron": True,
        "spread": 0.1,
    },
    {"neuron": "normalized", "mixture": "normalized=.5,normalized-IB=.5"},
    {"neuron": "lif"},
    {"neuron": "lif", "readout": "current"},
    {
        "neuron": "lif",
        "connection": "recurrent",
        "learn": "beta,threshold",
        "per_neuron": True,
        "spread": 0.1,
    },
    {"neuron": "normalized", "connection": "exponential", "tau": 4.0},
    {"neuron": "lif", "connection": "recurrent-exponential", "readout": "current"},
    {"neuron": "normalized", "delays": 5},
    {"neuron": "lif", "connection": "exponential", "delays": 5},
]


def digits(count=100, steps=20):
    from sklearn.datasets import load_digits

    values = torch.from_numpy(load_digits().data[:count]).float() / 16
    return encoding.rate(values, steps, seed=1)


def network_of(**settings):
    e = experiment({"dataset": "digits", "hidden": "40", **settings})
    network = builds.network(e, 64, 10)
    with torch.no_grad():
        for layer in network.layers:
            layer.connection.weight.mul_(2.5)
    return network


def network_with_hard_reset(reset, learn="beta,threshold", **v_reset):
    torch.manual_seed(0)
    layers = [Layer(Linear(64, 40, synapse=ExponentialSynapse(3.0, learn_tau=True)), LIF(0.8, reset=reset, **v_reset)),
              Layer(Linear(40, 10),
                    LIF(0.9, reset=reset, parameter_shape=10, learn=learn, spread=0.1, **v_reset))]  # fmt: skip
    with torch.no_grad():
        for layer in layers:
            layer.connection.weight.mul_(2.5)
    return Network(layers)


HARD = {
    "before the decay": {"reset": "soft"},
    "to zero": {"reset": "zero"},
    "to a value": {"reset": "value", "v_reset": -0.3, "learn": "beta,threshold,v_reset"},
}


@pytest.mark.parametrize("settings", slow_but([*NETWORKS[1:4], *NETWORKS[6:8], "to a value"], [*NETWORKS, *HARD]))
@pytest.mark.parametrize(
    ("bits", "width", "per_neuron"), slow_but([(4, 12, True)], [(8, 16, False), (4, 12, True), (2, 8, False)])
)
def test_in_evaluation_it_is_the_integer_model(settings, bits, width, per_neuron):
    network = network_with_hard_reset(**HARD[settings]) if isinstance(settings, str) else network_of(**settings)
    spikes = digits()
    formats = quantization.formats(network, spikes, width)
    rounded = quantization.quantized(network, bits, formats, per_neuron=per_neuron).eval()
    with torch.no_grad():
        out = rounded.record(spikes)
    whole = quantization.in_integers(rounded)
    found = fast.run(whole, spikes.numpy().astype(np.uint8))
    for a, b in zip(found.spikes, out.spikes, strict=True):
        assert np.array_equal(a, b.numpy())
        assert 0.01 < a.mean() < 0.6
    assert np.array_equal(found.classes, out.output.sum(0).argmax(-1))
    for layer in whole.layers:
        assert np.abs(layer.weight).max() <= 2 ** (bits - 1)
        assert layer.multiplier.max() <= 2**quantization.MULTIPLIER_BITS
    rounded.train()
    rounded(spikes).output.square().sum().backward()
    for name, p in rounded.named_parameters():
        if not p.requires_grad:
            continue
        assert torch.isfinite(p.grad).all(), name
        assert p.grad.abs().sum() > 0, name


def test_a_network_of_16_bits_does_nearly_what_the_float_network_does():
    network, spikes = network_of(neuron="normalized", readout="current"), digits(200)
    rounded = quantization.quantized(network, 8, quantization.formats(network, spikes, 16)).eval()
    with torch.no_grad():
        a, b = network.record(spikes), rounded.record(spikes)
    assert (a.spikes[0] != b.spikes[0]).float().mean() < 0.03
    assert (a.output.sum(0).argmax(-1) == b.output.sum(0).argmax(-1)).float().mean() > 0.85


@pytest.mark.filterwarnings("ignore::izhi.errors.SlowKernelWarning")
def test_a_network_in_double_precision_has_the_integers_of_its_weights():
    spikes, network = digits(20), network_of()
    found = quantization.quantized(network, 4, quantization.formats(network, spikes, 16)).eval()
    expected = quantization.in_integers(found)
    again = quantization.in_integers(found.double())
    for a, b in zip(expected.layers, again.layers, strict=True):
        assert np.array_equal(a.weight, b.weight)


def test_only_weights_or_only_states_can_be_rounded():
    network, spikes = network_of(neuron="normalized"), digits()
    formats = quantization.formats(network, spikes, 16)
    states = quantization.quantized(network, None, formats).record(spikes).spikes[0]
    weights = quantization.quantized(network, 8, None).record(spikes).spikes[0]
    float_spikes = network.record(spikes).spikes[0]
    for found in (states, weights):
        assert 0 < (found != float_spikes).float().mean() < 0.05


@pytest.mark.parametrize(
    ("magnitude", "expected"),
    [(0.9, (8, 7)), (1.0, (8, 7)), (1.1, (8, 6)), (3.9, (8, 5)), (200, (8, 0)), (0.2, (8, 9))],
)
def test_formats_hold_the_magnitude_with_the_most_bits(magnitude, expected):
    found = quantization.fitting(8, magnitude)
    assert (found.width, found.fraction) == expected


def test_formats_cover_states_and_threshold():
    network, spikes = network_of(neuron="lif"), digits()
    ((v,), _), *_ = quantization.ranges(network, spikes)
    assert v > 0
    found = quantization.formats(network, spikes, 16)[0]
    assert -found.v.lowest * found.v.unit >= v
    quiet = quantization.formats(network, torch.zeros(5, 2, 64), 8)[0]
    assert quiet.v.highest * quiet.v.unit >= 1


def test_formats_hold_what_a_spike_sets_v_to():
    deep = {"reset": "value", "v_reset": -50.0, "learn": "v_reset"}
    network, spikes = network_with_hard_reset(**deep), digits()
    found = quantization.formats(network, spikes, 12)
    assert all(number.v.lowest * number.v.unit <= -50 for number in found)
    # What is learned may go beyond them, and is held.
    network.spiking[1].neuron.learned["v_reset"].data.fill_(-1e6)
    whole = quantization.in_integers(quantization.quantized(network, 4, found))
    assert (whole.layers[1].neuron.reset == found[1].v.lowest).all()
    assert whole.layers[0].neuron.reset.tolist() == [round(-50 / found[0].v.unit)] * 40


def test_few_bits_go_where_spikes_are_decided():
    """A membrane far below 0 needs no bits: formats that saturate there keep more spikes."""
    torch.manual_seed(0)
    layer = Layer(Linear(20, 30), LIF(0.97))
    with torch.no_grad():
        layer.connection.input.bias[:15] = -2.0
    network, spikes = Network([layer]), (torch.rand(40, 8, 20) < 0.5).float()
    ((v, *_), _), *_ = quantization.ranges(network, spikes)
    chosen = quantization.formats(network, spikes, 8)
    wide = [StateFormats(quantization.fitting(8, v), chosen[0].u)]
    assert v > 20
    assert -chosen[0].v.lowest * chosen[0].v.unit < v / 2

    def wrong(formats):
        with torch.no_grad():
            rounded = quantization.quantized(network, None, formats)(spikes).output
            return int((rounded != network(spikes).output).sum())

    assert wrong(chosen) < 0.5 * wrong(wide)


def test_correction_takes_out_what_rounding_changes_in_the_mean():
    torch.manual_seed(0)
    network = Network([Layer(Linear(64, 30), LIF(0.8))], Linear(30, 10))
    spikes = digits(200)
    formats = quantization.formats(network, spikes, 16)
    rounded = quantization.quantized(network, 2, formats).eval()

    def shift():
        drive = rounded.layers[0].connection(spikes)
        mean = (drive.current * drive.gain + drive.bias).mean((0, 1))
        return (
            (mean - network.layers[0].drive(spikes)[0].current.mean((0, 1)) - network.layers[0].connection.input.bias)
            .abs()
            .max()
        )

    before = shift()
    correct_biases(network, rounded, spikes)
    assert shift() < 1e-5 < before


def test_delays_that_an_optimiser_carried_too_far_are_those_that_act():
    network, spikes = network_of(neuron="lif", delays=5), digits()
    rounded = quantization.quantized(network, 4, quantization.formats(network, spikes, 12)).eval()
    with torch.no_grad():
        rounded.layers[0].delay.steps[:2] = torch.tensor([-0.7, 6.2])
        out = rounded.record(spikes)
    whole = quantization.in_integers(rounded)
    assert whole.layers[0].delay[:2].tolist() == [0, 5]
    found = fast.run(whole, spikes.numpy().astype(np.uint8))
    assert found.spikes[0].any()
    assert np.array_equal(found.spikes[0], out.spikes[0].numpy())


@pytest.mark.parametrize(
    ("trace", "scale", "expected"),
    [
        ((16, 10), 1.0, (16, 10)), ((16, 10), 0.25, (16, 8)), ((16, 2), 2.0**-5, (19, 0)), ((16, 2), 2.0**-20, (24, 0)),
        ((32, 20), 1.0, (24, 12)), ((16, 40), 1.0, (16, 30)),
    ],
)  # fmt: skip
def test_sums_of_a_synapse_keep_their_range(trace, scale, expected):
    """Of 6 bits before the point for real numbers, two more where they are counted in quarters."""
    formats = StateFormats(FixedPoint(16, 12), FixedPoint(16, 12), trace=FixedPoint(*trace)).of_sums(scale)
    assert formats.trace == FixedPoint(*expected)


def test_what_hardware_does_not_have():
    fine = StateFormats(FixedPoint(16, 12), FixedPoint(16, 12))
    one = [
        (
            Layer(Linear(4, 3, synapse=ConductanceSynapse()), LIF()),
            "connection is Linear with ConductanceSynapse, which hardware does not have; choose Linear or Conv2d",
        ),
        (
            Layer(Linear(4, 3), LIF(), SynapticDelay(4, 3, 2)),
            "each synapse has a delay of its own, which hardware does not have; choose axonal delays",
        ),
    ]
    for layer, message in one:
        with pytest.raises(SettingError, match=message):
            quantization.quantized(Network([layer]), 4, [fine])
    readout = Network([Layer(Linear(4, 3), LIF())], Linear(3, 2, recurrent=True))
    with pytest.raises(SettingError, match="the readout is recurrent Linear, expected Linear"):
        quantization.quantized(readout, 4, [fine])
    with pytest.raises(SettingError, match="weight bits are 9, expected 2 to 8"):
        quantization.quantized(Network([Layer(Linear(4, 3), LIF())]), 9, [fine])


TRAIN = ["--dataset", "digits", "--hidden", "32", "--epochs", "4", "--batch-size", "64", "--learning-rate", "5e-3",
         "--encoding", "rate", "--readout", "spikes", "--quiet"]  # fmt: skip


@pytest.fixture(scope="module")
def float_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("float") / "run"
    assert cli.main(["train", *TRAIN, "--out", str(folder)]) == 0
    return folder


@pytest.mark.slow
def test_training_with_rounding_goes_on_exactly(tmp_path):
    bits = ["--weight-bits", "3", "--state-bits", "10"]
    for out, epochs in (("whole", "4"), ("parts", "2"), ("parts", "4")):
        options = [*TRAIN, *bits, "--epochs", epochs, "--out", str(tmp_path / out), "--resume"]
        assert cli.main(["train", *options]) == 0
    a, b = (checkpoint.load(tmp_path / out / checkpoint.NAME) for out in ("whole", "parts"))
    assert all(torch.equal(a["model"][name], b["model"][name]) for name in a["model"])
    assert a["history"][-1]["test_accuracy"] == b["history"][-1]["test_accuracy"] > 0.8


@pytest.mark.slow
def test_dynamics_of_quantised_neurons(tmp_path):
    options = [
        *TRAIN,
        "--epochs",
        "2",
        "--learn",
        "a2,threshold",
        "--weight-bits",
        "4",
        "--state-bits",
        "12",
    ]
    assert cli.main(["train", *options, "--out", str(tmp_path / "run")]) == 0
    report = (tmp_path / "run" / "report.md").read_text()
    assert "| 1 | a2 | -0.2" in report
    assert cli.main(["dynamics", str(tmp_path / "run"), "--json", str(tmp_path / "d.json")]) == 0
    layer = json.loads((tmp_path / "d.json").read_text())[0]
    assert layer["before"]["threshold"] != layer["after"]["threshold"]


@pytest.mark.parametrize("method", slow_but(["ptq"], QUANTIZATION_METHODS))
def test_quantize_export_and_evaluate_agree(float_run, tmp_path, capsys, method):
    out, found = tmp_path / "run", tmp_path / "found.json"
    assert cli.main(["quantize", str(float_run), "--weights", "4", "--states", "12", "--method", method,
                     "--out", str(out), "--quiet", "--json", str(found)]) == 0  # fmt: skip
    accuracy = json.loads(found.read_text())["test_accuracy"]
    assert accuracy > 0.75
    assert cli.main(["export", str(out), "--json", str(found)]) == 0
    path = json.loads(found.read_text())["artifact"]
    results = []
    for what in (str(out), path):
        assert cli.main(["evaluate", what, "--json", str(found)]) == 0
        results.append(json.loads(found.read_text()))
    assert results[0]["test_accuracy"] == pytest.approx(accuracy)
    assert results[1]["test_accuracy"] == pytest.approx(accuracy)
    assert results[1]["rates"] == pytest.approx(results[0]["rates"])
    assert results[1]["provenance"]["config"]["weight_bits"] == 4
    assert "in integers" in capsys.readouterr().out
    assert cli.main(["evaluate", path, "--against", str(out), "--json", str(found)]) == 0
    result = json.loads(found.read_text())
    assert result["is_exact"]
    assert result["samples"] == 360
    assert result["different"] == [0, 0]
    assert min(result["spikes"]) > 100


@pytest.mark.slow
def test_a_run_in_bfloat16_is_evaluated_as_its_artifact(tmp_path):
    """Features of wine are no round numbers: in bfloat16 they would fire other inputs."""
    run, results = tmp_path / "run", []
    options = [
        *TRAIN,
        "--dataset",
        "wine",
        "--weight-bits",
        "4",
        "--state-bits",
        "12",
        "--precision",
        "bf16-mixed",
    ]
    assert cli.main(["train", *options, "--out", str(run)]) == 0
    assert cli.main(["export", str(run)]) == 0
    for what in (run, run / "network.izhi"):
        assert cli.main(["evaluate", str(what), "--json", str(tmp_path / "found.json")]) == 0
        results.append(json.loads((tmp_path / "found.json").read_text()))
    assert results[0]["rates"] == pytest.approx(results[1]["rates"], rel=1e-9)
    assert results[0]["test_accuracy"] == pytest.approx(results[1]["test_accuracy"])
    assert min(results[0]["rates"]) > 0


def quantized(float_run, out, *options):
    """An artifact of the float run."""
    options = ["--method", "ptq", "--quiet", "--out", str(out), *options]
    assert cli.main(["quantize", str(float_run), *options]) == 0
    assert cli.main(["export", str(out)]) == 0
    return out / "network.izhi"


@pytest.mark.slow
def test_an_artifact_against_another_run(float_run, tmp_path, capsys):
    path = quantized(float_run, tmp_path / "a")
    quantized(float_run, tmp_path / "b", "--weights", "2")
    assert cli.main(["evaluate", str(path), "--against", str(tmp_path / "b")]) == 2
    assert "differ, expected the run of the artifact" in capsys.readouterr().err
    assert cli.main(["evaluate", str(tmp_path / "a"), "--against", str(tmp_path / "a")]) == 2
    assert "is no .izhi file" in capsys.readouterr().err


@pytest.mark.slow
def test_trace(float_run, tmp_path, capsys):
    path = quantized(float_run, tmp_path / "a")
    options = ["trace", str(path), "--sample", "301", "--neurons", "3,9"]
    assert cli.main([*options, "--out", str(tmp_path / "t.csv")]) == 0
    rows = np.genfromtxt(tmp_path / "t.csv", delimiter=",", names=True, dtype=np.int64)
    found = artifacts.load(path)
    assert rows["step"].tolist() == 2 * list(range(found.steps))
    assert set(rows["neuron"]) == {3, 9}
    # v and u go from each step to the next as the specification says.
    layer = found.network.layers[0]
    v, u = layer.neuron.start(1)[:, :, 9]
    p, spikes = layer.neuron, 0
    for row in rows[rows["neuron"] == 9]:
        fired = v[0] >= p.threshold[9]
        assert row["spikes"] == fired
        spikes += row["spikes"]
        if fired:
            assert (row["v"], row["u"]) == (p.c[9], u[0] + p.d[9])
        v, u = [row["v"]], [row["u"]]
    assert spikes > 0
    assert (tmp_path / "t-9.png").read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    for wrong, message in (
        ("--sample=360", "sample is 360, expected 0 to 359"),
        ("--layer=3", "layer is 3, expected 1 to 2"),
        ("--neurons=99", "neuron is 99, expected 0 to"),
    ):
        out = tmp_path / "wrong.csv"
        assert cli.main([*options, "--out", str(out), wrong]) == 2
        assert message in capsys.readouterr().err
        assert not out.exists()


def test_the_artifact_is_the_network_on_every_spike(float_run, tmp_path):
    run = sweep.FloatRun.load(float_run)
    e = run.rounded(2, 8, "ptq", {})
    from izhi import data
    from izhi.experiments import export
    from izhi.experiments.run_folder import RunFolder

    d, folder = data.load("digits"), RunFolder(tmp_path / "run")
    folder.open(e, resume=False)
    quantize(builds.fabric(e), e, d, folder, run.weights)
    found = export.artifact(folder.path)
    artifacts.save(found, tmp_path / "x.izhi")
    loaded = artifacts.load(tmp_path / "x.izhi")
    network = builds.network(e, 64, 10)
    checkpoint.load_weights(folder.checkpoint, network, checkpoint.load(folder.checkpoint)["model"])
    values, _ = d.test.batch(slice(None))
    spikes = builds.encoder(e, d)(values, 9)
    spikes = spikes if isinstance(spikes, torch.Tensor) else spikes.dense()
    with torch.no_grad():
        out = network.eval().record(spikes.float())
    whole = fixed.run(loaded.network, spikes.numpy().astype(np.uint8))
    for a, b in zip(whole.spikes, out.spikes, strict=True):
        assert a.any()
        assert np.array_equal(a, b.numpy())
    assert samples.settings_of(loaded).data.dataset == "digits"


@pytest.mark.slow
def test_sweep(float_run, tmp_path, capsys):
    other, found = tmp_path / "other", tmp_path / "sweep.json"
    assert cli.main(["train", *TRAIN, "--epochs", "1", "--seed", "1", "--out", str(other)]) == 0
    options = ["quantize", str(float_run), str(other), "--weights", "8,2", "--states", "16", "--method", "ptq",
               "--out", str(tmp_path / "s"), "--quiet", "--json", str(found)]  # fmt: skip
    assert cli.main([*options, "--sweep"]) == 2
    assert "has epochs = 1, expected" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()
    epochs = str(checkpoint.load(float_run / checkpoint.NAME)["config"]["epochs"])
    assert cli.main(["train", *TRAIN, "--epochs", epochs, "--seed", "1", "--out", str(other), "--resume"]) == 0
    assert cli.main([*options, "--weights", "8"]) == 2
    assert "2 runs are named, expected one" in capsys.readouterr().err
    assert cli.main([*options, "--sweep"]) == 0
    result = json.loads(found.read_text())
    assert result["seeds"] == [0, 1]
    kept = results.of(tmp_path / "s")
    assert kept.model_dump(mode="json") == result
    assert [p.accuracies for p in kept.points] == [tuple(p["accuracies"]) for p in result["points"]]
    points = result["points"]
    assert [(p["method"], p["weight_bits"], p["state_bits"]) for p in points] == [
        ("ptq", 8, 16),
        ("ptq", 2, 16),
    ]
    weights, states = 64 * 32 + 32 * 10, (32 + 10) * 2
    assert [p["bits"] for p in points] == [weights * 8 + states * 16, weights * 2 + states * 16]
    alone = checkpoint.load(tmp_path / "s" / "ptq-w8-s16" / "seed-1" / checkpoint.NAME)
    assert points[0]["accuracies"][1] == alone["history"][-1]["test_accuracy"]
    assert points[0]["accuracies"] == pytest.approx(result["float_accuracies"], abs=0.03)
    assert (tmp_path / "s" / "pareto.png").read_bytes().startswith(b"\x89PNG")
    assert "| ptq | 2 | 16 |" in (tmp_path / "s" / "sweep.md").read_text()
    assert cli.main([*options, "--sweep"]) == 2
    assert cli.main([*options, "--sweep", "--resume"]) == 0
    # 32 bits leave weights as they are.
    some = [*options, "--weights", "32", "--states", "12", "--sweep"]
    capsys.readouterr()
    assert cli.main([*some, "--resume"]) == 2
    assert "holds runs with weights = [8, 2], not [32]" in capsys.readouterr().err
    assert cli.main([*some, "--out", str(tmp_path / "float")]) == 0
    [point] = json.loads(found.read_text())["points"]
    assert point["bits"] == weights * 32 + states * 12
    saved = checkpoint.load(tmp_path / "float" / "ptq-w32-s12" / "seed-0" / checkpoint.NAME)
    whole = checkpoint.load(float_run / checkpoint.NAME)
    name = "layers.0.connection.input.weight"
    assert saved["model"][name].equal(whole["model"][name])
    twice = ["quantize", str(other), str(other), "--sweep", "--out", str(tmp_path / "t")]
    assert cli.main(twice) == 2
    assert "seeds [1, 1], expected a different one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "options", "message"),
    [
        ("quantize", ["--method", "round"], "unknown method 'round'"),
        ("quantize", ["--weights", "9"], "weight_bits is 9, expected less than or equal to 8"),
        ("quantize", ["--states", "2"], "state_bits is 2, expected greater than or equal to 4"),
        ("quantize", ["--weights", "4,8"], "weights and states name 2 formats; add --sweep"),
        ("quantize", ["--weights", "32", "--states", "32"], "weights and states are both 32"),
        ("quantize", ["--weights", "four"], "weights is 'four', expected whole numbers"),
        ("export", [], "has float weights or states"),
    ],
)
def test_bad_input(float_run, tmp_path, capsys, command, options, message):
    assert cli.main([command, str(float_run), *options, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_network_that_hardware_does_not_have_makes_no_folder(tmp_path, capsys):
    run = tmp_path / "float"
    assert cli.main(["train", *TRAIN, "--epochs", "1", "--connection", "conductance", "--out", str(run)]) == 0
    for more in ([], ["--sweep"]):
        assert cli.main(["quantize", str(run), *more, "--out", str(tmp_path / "out")]) == 2
        assert "connection is Linear with ConductanceSynapse, which hardware does not have" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("levels", [3, 15])
def test_recurrent_spikes_count_as_much_beside_currents_of_some_levels(levels):
    """The current of recurrent spikes is that of the float network, not smaller by the unit of the levels."""
    torch.manual_seed(0)
    layer = Layer(Linear(6, 20, recurrent=True), LIF(0.9))
    x = torch.randint(0, levels + 1, (1, 8, 6)).float().expand(10, -1, -1).contiguous() / levels
    network = Network([layer]).eval()
    rounded = quantization.quantized(network, 8, quantization.formats(network, x, 16), levels=levels).eval().spiking[0]
    drive = rounded.drive(x * levels)[0]
    assert torch.allclose(drive.gain * drive.current, x @ layer.connection.weight.T, atol=0.1)
    step = layer.connection.feedback.weight.abs().max().item() / 127
    assert torch.allclose(drive.gain * drive.feedback, layer.connection.feedback.weight, atol=step)


@pytest.mark.slow
def test_a_recurrent_layer_takes_no_current_of_many_levels(tmp_path, capsys):
    run = str(tmp_path / "run")
    options = [*TRAIN, "--epochs", "1", "--connection", "recurrent", "--encoding", "constant"]
    assert cli.main(["train", *options, "--out", run]) == 0
    assert cli.main(["quantize", run, "--out", str(tmp_path / "q")]) == 2
    assert "levels is 255, and the first layer is recurrent" in capsys.readouterr().err
    assert cli.main(["quantize", run, "--levels", "15", "--out", str(tmp_path / "q")]) == 0


@pytest.mark.parametrize("largest", [1e-3, 0.7, 1.0, 3.9, 200.0])
def test_the_largest_multiplier_has_all_its_bits(largest):
    factors = torch.tensor([largest, -largest / 3, largest / 500])
    value, shift = multiplied(factors, 2**-6)
    integers = value.detach() / 2**-6 * 2**shift
    assert torch.equal(integers, integers.round())
    assert 2 ** (MULTIPLIER_BITS - 1) <= integers.abs().max() <= 2**MULTIPLIER_BITS
    torch.testing.assert_close(value.detach(), factors.double(), rtol=0, atol=2**-6 / 2**shift / 2 * 1.0001)


def test_multipliers_of_what_is_very_large_or_small():
    assert multiplied(torch.tensor([1e9]), 1.0)[1] == 0
    assert multiplied(torch.tensor([1e-12]), 1.0)[1] == 40
    assert multiplied(torch.zeros(2), 1.0)[1] == 0
