"""Spiking networks for scikit-learn: in pipelines, grid searches and cross-validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn

from izhi.data import Samples
from izhi.errors import SettingError
from izhi.network import Layer, Network
from izhi.network.builder import build_neurons
from izhi.network.connections import Linear
from izhi.network.encoders import CODES, ValueEncoder
from izhi.neurons import Neuron
from izhi.neurons.neuron import names_in
from izhi.spec import neuron_spec
from izhi.training import Backprop, Classifier, Data, Optimizer, Trainer, ignore_progress, start_fabric

#: Samples of one prediction; smaller batches are padded, so that no sum depends on the batch size.
_BATCH = 256
#: Standard deviations from the mean at which an input is 1.
_FARTHEST = 3.0


class SpikingClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A network of spiking neurons that classifies vectors.

    Each feature z, standardised by the training samples, gives two inputs: max(z, 0)/3 and max(−z, 0)/3, at most 1, so
    that low values drive neurons as high ones do. The network's output is a current for each class, summed over time;
    probabilities are its softmax.

    Args:
        hidden: neurons of each hidden layer.
        neuron: a name of ``izhi.PRESETS``, or of the registry of ``izhi.spec``.
        learn: names of learned coefficients, one value for each neuron.
        encoding: ``"constant"`` (currents), ``"latency"``, or ``"rate"``, whose predictions depend on what else is
            predicted with a sample.
        steps: time steps of a sample.
        epochs: passes over the training samples.
        batch_size: samples of a step of training.
        learning_rate: of Adam, which decays to 0 over the epochs.
        network: makes another network of (inputs, classes), with twice as many inputs as features; None for the one
            above.
        accelerator: Lightning Fabric's, such as ``"cpu"`` or ``"cuda"``.
        random_state: seed of weights, order and coding.

    Attributes:
        classes_: labels, in the order of probabilities.
        network_: the trained network.
        n_features_in_: features of a sample.
        history_: metrics of each epoch.
    """

    def __init__(
        self, hidden: Sequence[int] = (64,), neuron: str = "normalized", *, learn: Sequence[str] = (),
        encoding: Literal["constant", "latency", "rate"] = "constant", steps: int = 20, epochs: int = 30,
        batch_size: int = 32, learning_rate: float = 1e-2, network: Callable[[int, int], Network] | None = None,
        accelerator: str = "cpu", random_state: int | np.random.RandomState | None = None,
    ) -> None:  # fmt: skip
        self.hidden = hidden
        self.neuron = neuron
        self.learn = learn
        self.encoding = encoding
        self.steps = steps
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.network = network
        self.accelerator = accelerator
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> SpikingClassifier:
        """Train a network anew.

        Args:
            X: (samples, features), finite numbers.
            y: a label for each sample.
        """
        x: NDArray[np.float64]
        x, y = validate_data(self, X, y)
        check_classification_targets(y)
        if self.encoding not in CODES:
            raise SettingError(f"encoding is {self.encoding!r}, expected one of {', '.join(CODES)}")
        self.classes_, labels = np.unique(y, return_inverse=True)
        self.mean_, self.scale_ = x.mean(0), np.where(np.ptp(x, axis=0) > 0, x.std(0), 1.0)
        self.seed_ = int(check_random_state(self.random_state).randint(2**31 - 1))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed_)
            make = self.network or self._network
            self.network_ = make(2 * x.shape[1], len(self.classes_))
        samples = Samples(self._inputs(x), torch.from_numpy(labels.astype(np.int64)))
        trainer = Trainer(
            Backprop(Optimizer(learning_rate=self.learning_rate), "cosine"), self._fabric(), self.epochs,
            self.batch_size, seed=self.seed_,
        )  # fmt: skip
        nothing = samples.subset(torch.zeros(len(samples), dtype=torch.bool))
        self.history_ = trainer.fit(
            self.network_, Data(samples, nothing), self._encoder(), listener=ignore_progress
        ).history
        return self

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """The output of each class, summed over time, (samples, classes); of two classes that of the second, less the
        first's, (samples,)."""
        scores = self._scores(X)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Probabilities (samples, classes)."""
        scores = self._scores(X)
        share = np.exp(scores - scores.max(1, keepdims=True))
        probabilities: NDArray[np.float64] = share / share.sum(1, keepdims=True)
        return probabilities

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The likeliest label of each sample, (samples,)."""
        best = self._scores(X).argmax(1)
        labels: NDArray[Any] = self.classes_[best]
        return labels

    def _scores(self, X: ArrayLike) -> NDArray[np.float64]:
        check_is_fitted(self)
        x: NDArray[np.float64] = validate_data(self, X, reset=False)
        model: nn.Module = self._fabric().setup(Classifier(self._encoder(), self.network_))
        model.eval()
        scores = []
        with torch.no_grad():
            for part in torch.split(nn.functional.pad(self._inputs(x), (0, 0, 0, -len(x) % _BATCH)), _BATCH):
                output, spikes = model(part, self.seed_)
                scores.append(self._summed(output, spikes).cpu().numpy())
        return np.concatenate(scores)[: len(x)]

    def _summed(self, output: torch.Tensor, spikes: list[torch.Tensor]) -> torch.Tensor:
        """The output summed over time in double precision, (B, classes).

        That of a plain readout is computed from counts of spikes, whole numbers, so that the last bits of products do
        not depend on the number of samples.
        """
        readout, last = self.network_.readout, self.network_.layers[-1]
        if not isinstance(readout, Linear) or not readout.is_plain or not isinstance(last, Layer):
            return output.double().sum(0)
        scores = spikes[-1].double().sum(0) @ readout.weight.double().T
        return scores if readout.input.bias is None else scores + len(output) * readout.input.bias.double()

    def _inputs(self, x: NDArray[np.float64]) -> torch.Tensor:
        z = (x - self.mean_) / (_FARTHEST * self.scale_)
        return torch.from_numpy(np.concatenate([z, -z], axis=1).clip(0, 1).astype(np.float32))

    def _encoder(self) -> ValueEncoder:
        return ValueEncoder(self.encoding, self.steps, (2 * self.n_features_in_,))

    def _fabric(self) -> Fabric:
        return start_fabric(self.accelerator, precision="32-true")

    def _network(self, inputs: int, classes: int) -> Network:
        layers, before = [], inputs
        for width in self.hidden:
            layers.append(Layer(Linear(before, width), self._neurons(width)))
            before = width
        return Network(layers, readout=Linear(before, classes))

    def _neurons(self, width: int) -> Neuron:
        size = (width,) if self.learn else None
        return build_neurons(neuron_spec(self.neuron).replace(size=size, learn=names_in(self.learn)))


__all__ = ["SpikingClassifier"]

__dir__ = __all__.copy
