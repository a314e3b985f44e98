"""Checkpoints that are damaged or crafted: what they hold, or one line; no crash, no hang, no memory for nothing."""

import copy
import io
import math
import random
import zipfile
from pathlib import Path

import pytest
import torch

from hostility import complaints, mutations
from izhi.data import Samples
from izhi.experiments import build, run_folder
from izhi.experiments.settings import experiment
from izhi.experiments.settings.description import describe
from izhi.experiments.trained import network_of
from izhi.network.encoders import ValueEncoder
from izhi.training import Classifier, checkpoint
from izhi.training.optimizer import restore
from tiers import slow_but

IRIS = Samples(torch.rand(6, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0, 1, 2]))
SETTINGS = (
    {"neuron": "RS", "learn": "a,c", "per_neuron": True, "delays": 3, "readout": "current"},
    {"neuron": "lif", "connection": "recurrent-exponential", "optimizer": "sgd", "delays": 2, "delay_type": "synaptic"},
    {"neuron": "RS", "mixture": "RS=.5,FS=.5", "connection": "conductance", "optimizer": "adamw"},
    {"neuron": "normalized", "weight_bits": 4, "state_bits": 12},
    {"neuron": "lif", "optimizer": "snes", "members": 4},
)


def content(settings):
    """What a run holds after a step, and one more after it was read."""
    e = experiment({"dataset": "iris", "hidden": "6,5", "kernel": "reference", **settings})
    network = build.network(e, 4, 3)
    state = go_on(e, network, None, 0)
    return {
        "format": checkpoint.FORMAT, "config": e.flat(plain=True), "inputs": 4, "classes": ["a", "b", "c"],
        "model": network.state_dict(), "network": describe(e, 4, 3).tables(),
        "optimizer": state, "epoch": 1, "warnings": ["no spikes"],
        "history": [{"epoch": 1, "train_loss": 1.0, "test_accuracy": 0.5}],
    }  # fmt: skip


def go_on(e, network, state, epochs):
    """A step of learning, from a learner's state as a checkpoint holds it; the state after it."""
    if e.training.evolves:
        trainer = build.trainer(e, build.fabric(e))
        classifier = Classifier(ValueEncoder("rate", 5, (4,)), network)
        learner, _ = trainer.method.begin(trainer, classifier, IRIS, state, epochs)
        learner.epoch(epochs + 1, lambda loss: None)
        return learner.state_dict()
    optimizer = build.optimizer(e)(network)
    if state is not None:
        restore(optimizer, state)
    network(torch.ones(5, 2, 4)).output.sum().backward()
    optimizer.step()
    return optimizer.state_dict()


def saved(what):
    file = io.BytesIO()
    torch.save(what, file)
    return file.getvalue()


@pytest.fixture(scope="module")
def contents():
    torch.manual_seed(0)
    return [content(settings) for settings in SETTINGS]


@pytest.fixture(scope="module")
def read(contents, tmp_path_factory):
    """Reads a checkpoint as resuming does, and goes on for a step, which writes where its tensors say."""
    path = tmp_path_factory.mktemp("read") / "checkpoint.pt"

    def read(data):
        path.write_bytes(data)
        found = run_folder.load(path)
        network = network_of(found, found.inputs, len(found.classes))
        if (found.inputs, len(found.classes)) == (4, 3):
            go_on(found.experiment, network, found.progress.learner, len(found.progress.history))
        return found

    for one in contents:
        read(saved(one))
    return read


HOSTILE = (
    None, True, -1, 0, 1, 2**31, 2**63, 10**300, math.nan, math.inf, -math.inf, 1e300, "", "x" * 1000, "nan", [], {},
    [[]], [None], (1,), {"a": {}}, {3: 4}, b"bytes", 1j, torch.zeros(0), torch.zeros(1), torch.tensor(math.nan),
    torch.zeros(3, dtype=torch.int64), torch.zeros(2, 2, dtype=torch.complex64), torch.ones(1).expand(10**6),
    torch.zeros(4, 4).to_sparse(), torch.zeros(6, 4, dtype=torch.bool), torch.empty(10**9, device="meta"),
)  # fmt: skip


def changed(value, draw):
    """A tensor of another kind, or with numbers that are none."""
    kind = draw.randrange(7)
    if kind == 0 and value.is_floating_point() and value.numel():
        value = value.clone()
        value.view(-1)[draw.randrange(value.numel())] = draw.choice((math.nan, math.inf, -math.inf, 3e38, -1e30, 1e9))
        return value
    if kind == 1:
        return value.to(draw.choice((torch.float64, torch.float16, torch.int64, torch.uint8, torch.bfloat16)))
    if kind == 2:
        return value.reshape(-1)[: draw.randint(0, 1)]
    if kind == 3:
        return value[None]
    if kind == 4:
        return torch.cat([value.reshape(-1), value.reshape(-1)])
    return value.new_zeros(()).expand(value.shape) if kind == 5 else -value.float() * 10.0**20


def crafted(contents, count, seed):
    """Checkpoints in which a value, somewhere, is another: with right checksums, as torch.save writes them."""
    draw = random.Random(seed)
    for _ in range(count):
        whole = copy.deepcopy(draw.choice(contents))
        for _ in range(draw.choice((1, 1, 2))):
            change(whole, draw)
        yield saved(whole)


def change(whole, draw):
    place = whole
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return
        key = draw.choice(keys)
        if isinstance(place[key], (dict, list)) and draw.random() < 0.85:
            place = place[key]
            continue
        break
    kind = draw.randrange(5)
    if kind == 0:
        del place[key]
    elif kind == 1 and isinstance(place, dict):
        place[draw.choice(("x", 7, "step", "_extra_state"))] = place[key]
    elif isinstance(place[key], torch.Tensor) and place[key].layout == torch.strided and kind > 2:
        place[key] = changed(place[key], draw)
    else:
        place[key] = draw.choice(HOSTILE)


def rezipped(contents, count, seed):
    """Checkpoints with damage inside a member, and the checksum of what it then holds."""
    draw = random.Random(seed)
    for number, whole in zip(range(count), (draw.choice(contents) for _ in iter(int, 1)), strict=False):
        with zipfile.ZipFile(io.BytesIO(saved(whole))) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        pickled = next(name for name in members if name.endswith("data.pkl"))
        name = pickled if draw.random() < 0.8 else draw.choice(list(members))
        members[name] = next(mutations([members[name]], 1, seed=1000 * seed + number))
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        yield file.getvalue()


def damaged(contents, count, seed):
    return mutations([saved(one) for one in contents], count, seed)


@pytest.mark.parametrize("kind", slow_but([damaged], [damaged, rezipped, crafted]))
def test_hostile_checkpoints(read, contents, kind):
    assert complaints(read, list(kind(contents, 100, seed=1))) == []


@pytest.mark.long
@pytest.mark.parametrize("kind", [damaged, rezipped, crafted])
def test_thousands_of_hostile_checkpoints(read, contents, kind):
    assert complaints(read, list(kind(contents, 2000, seed=2))) == []


@pytest.mark.slow
def test_a_flipped_bit_is_found_or_changes_nothing(read, contents, tmp_path):
    whole, draw = saved(contents[0]), random.Random(0)
    before = read(whole).progress.network

    def is_found(data):
        found = read(data).progress.network
        assert all(torch.equal(found[name], before[name]) for name in before)

    flipped = []
    for _ in range(150):
        data = bytearray(whole)
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        flipped.append(bytes(data))
    assert complaints(is_found, flipped) == []


def test_every_bit_of_a_tensor_is_covered(contents, tmp_path):
    whole = saved(contents[0])
    weights = next(x for x in contents[0]["model"].values() if x.numel() > 9)
    at = whole.index(bytes(weights.numpy().tobytes()))
    path: Path = tmp_path / "checkpoint.pt"
    for byte in range(at, at + weights.numel() * 4, 7):
        data = bytearray(whole)
        data[byte] ^= 1
        path.write_bytes(data)
        with pytest.raises(checkpoint.CheckpointError, match="is damaged: the checksum of .* differs"):
            checkpoint.read(path)


@pytest.mark.parametrize(
    ("craft", "message"),
    [
        (lambda c: c["optimizer"]["state"][0].update(exp_avg=torch.zeros(1)), "exp_avg is tensor.*expected torch"),
        (lambda c: c["optimizer"]["state"][0].update(step=torch.tensor(-1.0)), "step holds numbers that are not"),
        (lambda c: c["optimizer"]["state"][0].pop("exp_avg"), "it keeps .*expected"),
        (lambda c: c["optimizer"]["state"].update({99: {}}), "from another optimiser"),
        (lambda c: c["optimizer"]["param_groups"].pop(), "from another optimiser"),
        (lambda c: c["optimizer"]["param_groups"][0].update(amsgrad=True), "amsgrad is True, expected False"),
        (lambda c: c["optimizer"]["param_groups"][0].update(lr=math.nan), "lr is nan, expected"),
        (lambda c: c["optimizer"]["param_groups"][0].update(lr=10**300), "lr is 1000.*, expected"),
        (lambda c: c["optimizer"]["param_groups"][0].update(params=[torch.ones(2)]), "from another optimiser"),
        (lambda c: c.update(format=torch.ones(2)), "has format tensor.*, expected 1"),
        (lambda c: c["model"]["layers.0.delay.steps"].fill_(math.nan), "delay.steps with numbers that are not"),
        (lambda c: c["config"].update(hidden=[1000000, 5]), "it holds .* numbers, expected at least"),
        (lambda c: c["history"].append({"epoch": "two"}), "has history .*expected a list of rows of numbers"),
        (lambda c: c.update(inputs=True), "has inputs True, expected a whole number"),
        (lambda c: c.update(shape=5), "has shape 5, expected a list of sizes from 1"),
        (lambda c: c.update(shape=None), "has shape None, expected a list of sizes from 1"),
        (lambda c: c.update(shape=math.nan), "has shape nan, expected a list of sizes from 1"),
        (lambda c: c.update(shape="x"), "has shape 'x', expected a list of sizes from 1"),
        (lambda c: c.update(shape=[]), "has shape .., expected a list of sizes from 1"),
        (lambda c: c.update(shape=[2, 3]), "has shape .2, 3., expected 4 features in all"),
        (lambda c: c.update(classes=[]), "has classes .., expected a list of texts, at least one"),
    ],
)  # fmt: skip
def test_what_a_crafted_checkpoint_is_told(read, contents, craft, message):
    whole = copy.deepcopy(contents[0])
    craft(whole)
    with pytest.raises(checkpoint.CheckpointError, match=message):
        read(saved(whole))


def test_formats_beyond_the_hardwares_are_refused(read, contents):
    whole = copy.deepcopy(contents[3])
    whole["model"]["layers.0.neuron.format"][1] = 5000
    with pytest.raises(
        checkpoint.CheckpointError, match="its states have formats .*5000.*, expected widths of 2 to 32"
    ):
        read(saved(whole))


def test_a_storage_that_claims_more_than_it_has_reads_no_foreign_memory(contents, tmp_path):
    """The pickle says how many numbers a storage has; torch alone believes it."""
    path: Path = tmp_path / "x.pt"
    torch.save({"x": torch.zeros(77)}, path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = next(name for name in members if name.endswith("data.pkl"))
    assert members[name].count(b"K\x4d") == 2  # 77: of the storage, and of the tensor's shape
    members[name] = members[name].replace(b"K\x4d", b"J" + (10**6).to_bytes(4, "little"))
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(checkpoint.CheckpointError, match="no checkpoint|more than its own size"):
        checkpoint.read(path)
