"""Data of one's own: arrays, tensors, torch's data sets and loaders, recordings; and what is wrong with them."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from izhi import LIF, Izhikevich
from izhi.connections import Conv2d, Linear
from izhi.data import Dataset, EventSamples, Samples
from izhi.encoding import EventEncoder, RowEncoder, SeriesEncoder, ValueEncoder, default_encoder
from izhi.errors import CheckpointError, DataError, IzhiError, LabelWarning, SettingError
from izhi.network import Layer, Network
from izhi.training import Backprop, Data, Loss, Optimizer, Trainer

EVENT = np.dtype([("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", bool)])


def flowers(count=90):
    """Three classes that are told apart by which third of their features is large."""
    random = np.random.default_rng(0)
    y = np.arange(count) % 3
    x = random.random((count, 6)) * 0.3
    x[np.arange(count)[:, None], 2 * y[:, None] + np.arange(2)] += 0.7
    return x, y


def classifier(inputs=6, classes=3):
    torch.manual_seed(0)
    return Network([Layer(Linear(inputs, 30), LIF())], readout=Linear(30, classes))


def trainer(**options):
    return Trainer(**{"method": Backprop(Optimizer(learning_rate=0.02)), "epochs": 12, "batch_size": 16, **options})


class Recordings:
    """As tonic's data sets are: pairs of events and a label."""

    sensor_size = (4, 3, 2)

    def __init__(self, count=40):
        random = np.random.default_rng(1)
        self.items = []
        for k in range(count):
            events = np.zeros(30, EVENT)
            events["x"], events["y"] = random.integers(0, 2, 30) + 2 * (k % 2), random.integers(0, 3, 30)
            events["t"], events["p"] = np.sort(random.integers(5000, 90_000, 30)), random.integers(0, 2, 30)
            self.items.append((events, k % 2))

    def __len__(self):
        return len(self.items)

    def __getitem__(self, k):
        return self.items[k]


def test_arrays_in_a_few_lines():
    x, y = flowers()
    data = Dataset.of(x, y, classes=["iris", "rose", "lily"])
    progress = trainer().fit(classifier(), data)
    assert progress.history[-1]["test_accuracy"] > 0.9
    assert (len(data.train), len(data.test), data.classes) == (72, 18, ("iris", "rose", "lily"))


@pytest.mark.parametrize("kind", ["tensors", "dataset", "loader", "lists"])
def test_whatever_holds_the_samples_they_are_the_same(kind):
    x, y = flowers()
    wanted = Dataset.of(x, y)
    tensors = torch.tensor(x), torch.tensor(y)
    found = {
        "tensors": lambda: Dataset.of(*tensors),
        "dataset": lambda: Dataset.of(TensorDataset(*tensors)),
        "loader": lambda: Dataset.of(DataLoader(TensorDataset(*tensors), batch_size=7)),
        "lists": lambda: Dataset.of(x.tolist(), y.tolist()),
    }[kind]()
    assert torch.equal(found.train.inputs, wanted.train.inputs)
    assert torch.equal(found.test.labels, wanted.test.labels)


def test_values_are_scaled_by_their_range_in_the_training_samples():
    x = np.array([[0.0, 5], [10, 5], [5, 5]])
    data = Dataset.of(x, [0, 1, 0], test=(np.array([[20.0, 9]]), [1]))
    assert data.train.inputs.tolist() == [[0, 0], [1, 0], [0.5, 0]]
    assert data.test.inputs.tolist() == [[1, 1]]
    images = Dataset.of(np.full((6, 4, 4), 255, np.uint8), [0, 1] * 3, test=(np.zeros((2, 4, 4), np.uint8), [0, 1]))
    assert images.train.inputs.dtype == torch.uint8
    assert images.shape == (4, 4)


def test_images_reach_a_convolution():
    x = np.zeros((40, 1, 6, 6), np.uint8)
    y = np.arange(40) % 2
    x[y == 0, :, :, :3] = 255
    x[y == 1, :, :, 3:] = 255
    data = Dataset.of(x, y)
    torch.manual_seed(0)
    layers = [torch.nn.Unflatten(1, (1, 6, 6)), Layer(Conv2d(1, 4, 3), LIF()), torch.nn.Flatten()]
    progress = trainer(epochs=5).fit(Network(layers, readout=Linear(64, 2)), data)
    assert progress.history[-1]["test_accuracy"] == 1


def test_values_over_time_are_currents_of_their_own_steps():
    random = np.random.default_rng(0)
    y = np.arange(60) % 2
    x = random.random((60, 12, 3)) * 0.2
    x[y == 0, :6] += 0.8
    x[y == 1, 6:] += 0.8
    data = Dataset.of(x, y, over_time=True)
    encoder = default_encoder(data)
    assert isinstance(encoder, SeriesEncoder)
    series = data.train.batch(slice(0, 2))[0]
    np.testing.assert_allclose(encoder(series, 0)[:, 1], series.values[12:], rtol=1e-6)
    torch.manual_seed(0)
    network = Network([Layer(Linear(3, 40, recurrent=True), LIF())], readout=Linear(40, 2))
    assert trainer().fit(network, data).history[-1]["test_accuracy"] > 0.8


def test_frames_over_time_keep_their_shape():
    data = Dataset.of(np.random.default_rng(0).random((10, 5, 1, 4, 4)), [0, 1] * 5, over_time=True)
    encoder = default_encoder(data)
    assert isinstance(encoder, RowEncoder)
    assert (encoder.steps, encoder.grid) == (5, (1, 4, 4))


def test_recordings_as_tonic_has_them():
    data = Dataset.of(Recordings(), test=Recordings(10))
    assert isinstance(data.train, EventSamples)
    assert data.shape == (2, 3, 4)
    assert 0 < data.window <= 85
    events, _ = Recordings().items[3]
    found = data.train.batch(torch.tensor([3]))[0]
    units = (events["p"] * 3 + events["y"]) * 4 + events["x"]
    assert found.units.tolist() == units.tolist()
    assert found.times.tolist() == (events["t"] - events["t"][0]).tolist()
    assert isinstance(default_encoder(data), EventEncoder)
    assert trainer(epochs=6).fit(classifier(24, 2), data).history[-1]["test_accuracy"] == 1
    assert Dataset.of(Recordings(), sensor=(2, 5, 9)).shape == (2, 5, 9)


def test_a_loss_an_optimiser_and_a_schedule_of_ones_own():
    x, y = flowers()
    seen, rates = [], []

    def loss(output, labels):
        return torch.nn.functional.cross_entropy(output.mean(0), labels)

    def schedule(done):
        rates.append(done)
        return 1 - done

    own = Backprop(lambda network: torch.optim.RMSprop(network.parameters(), lr=0.01), schedule)
    trainer(method=own, epochs=3, loss=loss, callbacks=[seen.append]).fit(classifier(), Dataset.of(x, y))
    assert [row["epoch"] for row in seen] == [1, 2, 3]
    assert seen[-1]["train_loss"] < seen[0]["train_loss"]
    assert rates == sorted(rates)
    assert trainer(loss=Loss(loss)).measure.predict(torch.tensor([[[0.0, 1]]])) == 1


def test_a_checkpoint_goes_on_exactly(tmp_path):
    data, path = Dataset.of(*flowers()), tmp_path / "run.pt"
    whole = trainer(epochs=4).fit(classifier(), data)
    trainer(epochs=2, checkpoint=path).fit(classifier(), data)
    network = classifier()
    rest = trainer(epochs=4, checkpoint=path).fit(network, data)
    assert [{k: v for k, v in row.items() if "seconds" not in k} for row in rest.history] == [
        {k: v for k, v in row.items() if "seconds" not in k} for row in whole.history
    ]
    assert all(torch.equal(x, network.state_dict()[name]) for name, x in whole.network.items())
    with pytest.raises(CheckpointError, match=r"run.pt is from another network: .* has shape"):
        trainer(checkpoint=path).fit(classifier(classes=4), data)


X, Y = flowers(9)


def fit_labels(labels):
    samples = Samples(torch.from_numpy(X[: len(labels)]).float(), torch.from_numpy(labels))
    trainer().fit(classifier(), Data(samples, samples), ValueEncoder("rate", 5, (6,)))


def fit_loss(loss):
    trainer(loss=loss).fit(classifier(), Dataset.of(X, Y))


def fit_steps(steps):
    samples = Samples(torch.from_numpy(X).float(), torch.from_numpy(Y))
    network = Network([Layer(Linear(6, 3), Izhikevich("normalized", kernel="reference"))])
    trainer().fit(network, Data(samples, samples), ValueEncoder("rate", steps, (6,)))


def fit_weights(value):
    network = classifier()
    with torch.no_grad():
        next(network.parameters())[0, 0] = value
    trainer().fit(network, Dataset.of(X, Y))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Dataset.of(X), "there are samples without labels"),
        (lambda: Dataset.of(X, Y[:5]), r"labels have shape \(5,\), expected \(9,\)"),
        (lambda: Dataset.of(X, Y - 1), "sample 0 has the label -1, expected a whole number from 0"),
        (lambda: Dataset.of(X, Y + 0.5), "sample 0 has the label 0.5"),
        (lambda: Dataset.of(X, list("abcabcabc")), "has the label 'a', expected a whole number"),
        (lambda: Dataset.of(X, Y, classes=["a", "b"]), "sample 2 has the label 2, expected 0 to 1"),
        (lambda: Dataset.of(np.where(X > 0.9, np.nan, X), Y), "sample . holds numbers that are not finite"),
        (lambda: Dataset.of([X[0], X[1][:4]], [0, 1]), r"sample 1 has shape \(4,\), expected \(6,\)"),
        (lambda: Dataset.of([(X[0], 0), (X[1][:4], 1)]), r"sample 1 has shape \(4,\), expected \(6,\)"),
        (lambda: Dataset.of([X[0], X[1]]), r"sample 0 is .*, expected a pair of a sample and its label"),
        (lambda: Dataset.of(X[:, 0], Y), r"samples have shape \(9,\), expected \(samples, …\)"),
        (lambda: Dataset.of(X.astype(str), Y), "samples are <U.*, expected numbers"),
        (lambda: Dataset.of(X, Y, test=(X[:, :3], Y)), r"test samples have shape \(3,\), expected \(6,\)"),
        (lambda: Dataset.of(X, Y, over_time=True), "of values over time"),
        (lambda: Dataset.of(5), "the samples are 5, expected arrays"),
        (lambda: Dataset.of(Recordings(), sensor=(3, 4)), r"sensor is \(3, 4\), expected \(channels,\) or"),
        (lambda: Dataset.of(Recordings(), sensor=(2,)).train.batch(torch.arange(9)), "event .* is from unit"),
        (lambda: trainer(epochs=0).fit(classifier(), Dataset.of(X, Y)), "epochs is 0"),
        (lambda: trainer().fit(classifier(), Data.of(Dataset.of(X, Y))), "no encoder is given"),
        (lambda: trainer().fit(classifier(7), Dataset.of(X, Y)), "layer 1: spikes are 6 wide, expected 7"),
        (lambda: trainer().fit(classifier(classes=2), Dataset.of(X, Y)), "sample 2 has the label 2, .* 2 outputs"),
        (lambda: trainer().fit(torch.nn.Linear(6, 3), Dataset.of(X, Y)), "network is Linear.*, expected izhi.net"),
        (lambda: trainer(epochs=1.5).fit(classifier(), Dataset.of(X, Y)), "epochs is 1.5, expected at least 1"),
        (lambda: trainer(batch_size=True).fit(classifier(), Dataset.of(X, Y)), "batch_size is True, expected"),
        (lambda: fit_labels(Y - 1), "sample 0 has the label -1, expected a whole number from 0"),
        (lambda: fit_labels(Y.astype(np.float32)), "labels of samples are torch.float32 .*, expected whole numbers"),
        (lambda: fit_labels(Y > 1), "labels of samples are torch.bool .*, expected whole numbers"),
        (lambda: fit_labels(Y[:, None]), r"labels of samples are torch.int64 of shape \(9, 1\), expected"),
        (lambda: fit_labels(Y[:0]), "there are no training samples, expected at least one"),
        (lambda: fit_loss(lambda out, y: out.sum(0)), r"the loss is a tensor of shape \(., 3\), expected a tensor of"),
        (lambda: fit_loss(lambda out, y: 0.5), "the loss is 0.5, expected a tensor of one number"),
        (lambda: fit_loss(lambda out, y: out.detach().sum()), "the loss has no gradient: it does not depend on the"),
        (lambda: fit_steps(1), "the loss has no gradient: the output of the network does not depend on its weights"),
        (lambda: fit_weights(np.nan), "layers.0.connection.input.weight of the network is not finite"),
        (lambda: fit_weights(np.inf), "layers.0.connection.input.weight of the network is not finite"),
        (lambda: trainer(method=Backprop(schedule="sine")).fit(classifier(), Dataset.of(X, Y)), "unknown schedule"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line(make, message):
    with pytest.raises(IzhiError, match=message) as error:
        make()
    assert isinstance(error.value, (DataError, SettingError, IzhiError))
    assert "\n" not in str(error.value)


def test_the_usual_encoder_of_values():
    assert isinstance(default_encoder(Dataset.of(X, Y)), ValueEncoder)


def test_labels_from_one_on():
    with pytest.warns(LabelWarning, match="no sample has the label 0: labels are 1 to 3, and classes 0 to 3; number"):
        assert Dataset.of(X, Y + 1).classes == ("0", "1", "2", "3")
    assert Dataset.of(X, Y + 1, classes=["none", "a", "b", "c"]).classes[0] == "none"
