"""Evolution: whole populations in one pass, searches that learn, and exact continuation."""

import pytest
import torch

from izhi.cli import main
from izhi.errors import CheckpointError, SettingError
from izhi.experiments import build
from izhi.experiments.run import train
from izhi.experiments.run_folder import RunFolder
from izhi.experiments.settings import experiment
from izhi.training import checkpoint
from izhi.training.evolution import SEARCHES, Genome, Population, Search
from tiers import long_but, slow_but

IRIS = {
    "dataset": "iris", "encoding": "constant", "steps": 30, "readout": "spikes", "hidden": "8",
    "optimizer": "snes", "members": 24, "epochs": 12, "batch_size": 1000, "validation": 0,
}  # fmt: skip


def run(folder, **changes):
    e = experiment({**IRIS, **changes})
    run_folder = RunFolder(folder)
    run_folder.open(e, resume=True)
    return train(build.fabric(e), e, build.dataset(e.data), run_folder)


def test_a_population_is_measured_in_float32_whoever_asks_for_the_machine(monkeypatch):
    monkeypatch.setattr("izhi.training.fast_precision", lambda accelerator, convolutions: "bf16-mixed")
    for optimizer, precision in (("snes", "32-true"), ("adam", "bf16-mixed")):
        e = experiment({"dataset": "iris", "optimizer": optimizer, "accelerator": "cpu"})
        assert build.fabric(e)._precision.precision == precision


def numbers(history):
    return [{k: v for k, v in row.items() if "seconds" not in k} for row in history]


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_finds_a_minimum_and_its_losses_bring_another_one_there(name):
    def distance(x, generation):
        return ((x - 1) ** 2).sum(1)

    def must_not_measure(x, generation):
        raise AssertionError("measured again")

    options = {"members": 40, "spread": 0.3, "seed": 3}
    search = Search(name, 8, measure=distance, **options)
    for _ in range(80):
        search.step()
    assert distance(search.best[None], 0) < 0.05
    other = Search(name, 8, measure=must_not_measure, **options)
    other.replay(search.losses, 80)
    assert torch.equal(other.best, search.best)
    with pytest.raises(CheckpointError, match="expected those of 81 generations"):
        Search(name, 8, measure=must_not_measure, **options).replay(search.losses, 81)


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize(
    "losses",
    [[None], [3.0], [torch.zeros(())], [torch.zeros(6, 1)], [torch.zeros(5)], [torch.zeros(7)], [torch.zeros(0)],
     [torch.zeros(6, dtype=torch.int64)], [torch.full((6,), torch.nan)], torch.zeros(2, 6), {0: torch.zeros(6)}],
)  # fmt: skip
def test_losses_that_no_population_had_are_one_error(name, losses):
    search = Search(name, 3, members=6, spread=0.3, seed=0, measure=lambda x, generation: x.sum(1))
    with pytest.raises(CheckpointError):
        search.replay(losses, 1)


@pytest.mark.parametrize(
    "start", [None, {}, {"x": 1}, "shape", "nan", "kind"]
)  # fmt: skip
def test_first_values_of_another_network_are_one_error(tmp_path, start):
    run(tmp_path, epochs=1)
    content = checkpoint.load(tmp_path / "checkpoint.pt")
    there = content["optimizer"]["start"]
    odd = {"shape": lambda x: x.reshape(-1), "nan": lambda x: x * torch.nan, "kind": lambda x: x.tolist()}
    content["optimizer"]["start"] = {k: odd[start](x) for k, x in there.items()} if isinstance(start, str) else start
    checkpoint.save(tmp_path / "checkpoint.pt", {k: v for k, v in content.items() if k != "format"})
    with pytest.raises(CheckpointError, match="of another search .* start anew"):
        run(tmp_path, epochs=2)


def test_losses_that_are_not_finite_are_the_worst():
    def losses(x, generation):
        found = (x**2).sum(1)
        found[::2] = torch.tensor(float("nan"))
        return found

    search = Search("snes", 4, members=20, spread=1.0, seed=0, measure=losses)
    for _ in range(60):
        search.step()
    assert (search.best**2).sum() < 0.3


@pytest.mark.parametrize(
    "settings",
    [
        {"dataset": "iris", "encoding": "constant", "readout": "spikes", "hidden": "9"},
        {"dataset": "digits", "learn": "c,d,gain", "hidden": "12,7", "readout": "current"},
        {"dataset": "digits", "neuron": "biological", "learn": "a,b", "per_neuron": True,
         "readout": "spikes", "hidden": "9"},
        {"dataset": "digits", "neuron": "lif", "learn": "beta,threshold", "hidden": "9"},
        {"dataset": "digits", "hidden": "", "readout": "current", "encoding": "latency"},
    ],
)  # fmt: skip
def test_every_member_of_a_population_does_what_its_network_does(settings, monkeypatch):
    e = experiment({"precision": "32-true", "steps": 20, **settings})
    dataset = build.dataset(e.data)
    encoder = build.encoder(e, dataset)
    network = build.network(e, encoder.features, len(dataset.classes))
    genome = Genome(network)
    values, _ = dataset.train.batch(slice(0, 40))
    spikes = encoder(values, 1)
    x = torch.randn(6, genome.size, generator=torch.Generator().manual_seed(0))
    # Two members at once: also populations that run in parts.
    monkeypatch.setattr("izhi.training.evolution.population._ROOM", 2 * 20 * 40 * 12)
    population = Population(network, genome, is_constant=encoder.is_constant)
    found = list(population.outputs(spikes, x))
    assert len(found) == 6
    fired = 0.0
    for one, output in zip(x, found, strict=True):
        genome.write(network, one)
        with torch.no_grad():
            expected = network(spikes).output
        assert torch.allclose(output, expected, atol=1e-5)
        fired += float(output.abs().sum())
    assert fired > 0


def test_weights_neurons_or_both_are_searched():
    e = experiment({**IRIS, "learn": "c,d"})
    network = build.network(e, 4, 3)
    both, weights, neurons = (Genome(network, what) for what in ("all", "weights", "neurons"))
    assert weights.size == 8 * 4 + 8 + 3 * 8 + 3
    assert neurons.size == 4
    assert both.size == weights.size + neurons.size
    before = {n: p.detach().clone() for n, p in network.named_parameters()}
    neurons.write(network, torch.ones(4))
    changed = {n for n, p in network.named_parameters() if not torch.equal(p, before[n])}
    assert changed == {f"layers.{k}.neuron.learned.{n}" for k in (0, 1) for n in "cd"}
    with pytest.raises(SettingError, match="has none to change; add learn"):
        Genome(build.network(experiment(IRIS), 4, 3), "neurons")


@pytest.mark.slow
@pytest.mark.parametrize("name", long_but(["snes"], SEARCHES))
def test_evolution_learns_iris(tmp_path, name):
    step = 1.0 if name == "ga" else 0.3
    found = run(tmp_path, optimizer=name, members=32, epochs=150, population=3, step_size=step)
    assert found.test_accuracy > 0.85
    assert found.history[-1]["train_loss"] < 0.5


@pytest.mark.parametrize("name", slow_but(["snes"], SEARCHES))
def test_an_evolution_that_was_broken_off_goes_on_exactly(tmp_path, name):
    whole = run(tmp_path / "whole", optimizer=name, epochs=9)
    run(tmp_path / "parts", optimizer=name, epochs=4)
    rest = run(tmp_path / "parts", optimizer=name, epochs=9)
    assert numbers(rest.history) == numbers(whole.history)


@pytest.mark.slow
def test_batches_and_neuron_parameters_evolve_and_go_on_exactly(tmp_path):
    changes = {
        "batch_size": 40,
        "learn": "c,d",
        "per_neuron": True,
        "encoding": "rate",
        "optimizer": "ga",
    }
    whole = run(tmp_path / "whole", **changes)
    run(tmp_path / "parts", **{**changes, "epochs": 5})
    assert numbers(run(tmp_path / "parts", **changes).history) == numbers(whole.history)
    assert numbers(run(tmp_path / "other", **changes, seed=1).history) != numbers(whole.history)


def test_a_checkpoint_whose_losses_lead_elsewhere_is_one_error(tmp_path):
    run(tmp_path, epochs=5)
    content = checkpoint.load(tmp_path / "checkpoint.pt")
    content["optimizer"]["losses"][1] += torch.linspace(0, 9, 24)
    checkpoint.save(tmp_path / "checkpoint.pt", {k: v for k, v in content.items() if k != "format"})
    with pytest.raises(CheckpointError, match="of another search .* start anew"):
        run(tmp_path, epochs=6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--connection", "recurrent"], "evolution searches linear connections"),
        (["--delays", "3"], "delays are set, which evolution does not search"),
        (["--weight-bits", "4"], "weights or states are rounded; evolve the exported artifact"),
        (["--optimizer", "adam"], "unknown optimizer 'adam'; expected one of: snes, cma-es, ga, "),
        (["--devices", "2"], "devices is 2, but evolution runs on one"),
        (["--mixture", "normalized-RS=1"], "mixture is set, which evolution cannot run"),
        (["--measured-on", "hls-ip"], "neuron is 'normalized', expected 'hls-ip'"),
    ],
)
def test_what_evolution_cannot_do_is_one_line(options, message, tmp_path, capsys):
    command = [
        "evolve",
        "--dataset",
        "iris",
        "--encoding",
        "constant",
        "--out",
        str(tmp_path / "x"),
    ]
    assert main([*command, *options]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_processes_share_a_population_and_know_its_generation():
    """A Ray cluster of two processes on this machine."""
    import ray

    def number(x, generation):
        return x[:, 0] * 0 + generation

    search = Search("snes", 3, members=6, spread=1.0, seed=0, measure=number, actors=2)
    try:
        assert [set(search.step().tolist()) for _ in range(2)] == [{1.0}, {2.0}]
    finally:
        ray.shutdown()


def test_gradients_have_no_members():
    with pytest.raises(SettingError, match="members is 9, but the optimiser adam does not evolve"):
        experiment({"dataset": "iris", "members": 9})
