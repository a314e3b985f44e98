"""Spiking networks for scikit-learn: in pipelines, grid searches and cross-validation."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array, check_random_state
from sklearn.utils.multiclass import _check_partial_fit_first_call, check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn
from torch.nn import functional

from izhi.errors import SettingError, shown
from izhi.network import Layer, Network
from izhi.network.builder import build_neurons
from izhi.network.connections import Linear
from izhi.network.encoders import CODES, ValueEncoder
from izhi.neurons import Neuron
from izhi.neurons.neuron import names_in
from izhi.seeds import Purpose, derive_seed
from izhi.spec import neuron_spec
from izhi.spec.connection import at_least_one
from izhi.training import SCHEDULES, Classifier, Loss, Optimizer, Step, start_fabric

#: Samples of one prediction; smaller batches are padded, so that no sum depends on the batch size.
_BATCH = 256
#: Standard deviations from the mean at which an input is 1.
_FARTHEST = 3.0

_Estimator = TypeVar("_Estimator", bound="_SpikingEstimator")


@dataclass(frozen=True)
class _WeightedLoss:
    """The mean over a batch of each sample's loss times its weight.

    Weights have the mean 1 over all samples, not over the batch: so the expected gradient of a batch is that of the
    samples repeated by their weights.
    """

    each: Callable[[Tensor, Tensor], Tensor]  #: (output (T, B, outputs), targets (B, …)) → (B,)
    targets: Tensor  #: of all samples
    weights: Tensor  #: of all samples, (S,)

    def __call__(self, output: Tensor, index: Tensor) -> Tensor:
        """The loss of the samples of an index (B,)."""
        return (self.weights[index] * self.each(output, self.targets[index])).mean()


class _SpikingEstimator(BaseEstimator):  # type: ignore[misc]
    """What the classifier and the regressor share: inputs, network, training."""

    def __init__(
        self, hidden: Sequence[int] = (128,), neuron: str = "normalized", *, learn: Sequence[str] = (),
        encoding: Literal["constant", "latency", "rate"] = "constant", steps: int = 12, epochs: int = 20,
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

    @abstractmethod
    def _targets(self, y: NDArray[Any], weights: NDArray[np.float64]) -> Tensor:
        """Targets of training of samples that all count, (S, …); their scale is that of all samples so far."""

    @abstractmethod
    def _losses(self, output: Tensor, targets: Tensor) -> Tensor:
        """The loss of each sample, (B,), of the output (T, B, outputs)."""

    @abstractmethod
    def _outputs(self) -> int:
        """Outputs of the network."""

    def _metrics(self, scores: Tensor, targets: Tensor) -> dict[str, float]:
        """Metrics of an epoch besides its loss."""
        return {}

    def _start(self, features: int) -> None:
        """Make a new network, which has seen nothing."""
        if self.encoding not in CODES:
            raise SettingError(f"encoding is {self.encoding!r}, expected one of {', '.join(CODES)}")
        self.scaler_ = StandardScaler()
        self.seed_ = int(check_random_state(self.random_state).randint(2**31 - 1))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed_)
            make = self.network or self._network
            self.network_ = make(2 * features, self._outputs())
        self.optimizer_ = Optimizer(learning_rate=self.learning_rate)(self.network_)
        self.history_: list[dict[str, float]] = []

    def _counted(
        self, x: NDArray[np.float64], y: NDArray[Any], sample_weight: ArrayLike | None
    ) -> tuple[NDArray[np.float64], NDArray[Any], NDArray[np.float64]]:
        """The samples that count, and their weights."""
        given = np.ones(len(x)) if sample_weight is None else sample_weight
        weights: NDArray[np.float64] = check_array(given, ensure_2d=False, dtype=np.float64, input_name="sample_weight")
        if weights.shape != (len(x),):
            raise SettingError(
                f"sample_weight has shape {weights.shape}, expected ({len(x)},), a number for each sample"
            )
        if (weights < 0).any():
            raise SettingError(f"a sample weight is {weights.min():g}, expected numbers from 0")
        counts = weights > 0
        if not counts.any():
            raise SettingError("every sample weight is zero, expected one above 0 at least")
        return x[counts], y[counts], weights[counts]

    def _train(
        self: _Estimator, x: NDArray[np.float64], y: NDArray[Any], weights: NDArray[np.float64], epochs: int,
        schedule: str,
    ) -> _Estimator:  # fmt: skip
        """Train the network for some more epochs, on samples that all count."""
        at_least_one(epochs=epochs, batch_size=self.batch_size)
        self.scaler_.partial_fit(x, sample_weight=weights)
        fabric = self._fabric()
        inputs, targets = (part.to(fabric.device) for part in (self._inputs(x), self._targets(y, weights)))
        shares = torch.from_numpy((weights / weights.mean()).astype(np.float32)).to(fabric.device)
        model, optimizer = fabric.setup(Classifier(self._encoder(), self.network_), self.optimizer_)
        model.train()
        step = Step(fabric, model, optimizer, Loss(_WeightedLoss(self._losses, targets, shares)))
        steps = epochs * -(-len(x) // self.batch_size)
        factors = (SCHEDULES[schedule](number / steps) for number in range(steps))
        for _ in range(epochs):
            self._run_epoch(step, inputs, targets, factors)
        return self

    def _run_epoch(self, step: Step, inputs: Tensor, targets: Tensor, factors: Iterator[float]) -> None:
        """One pass over the samples in an order of its own, with a factor on the learning rate for each step."""
        epoch = len(self.history_) + 1
        generator = torch.Generator().manual_seed(derive_seed(self.seed_, Purpose.ORDER, epoch))
        order = torch.randperm(len(inputs), generator=generator).to(inputs.device)
        losses, scores = [], []
        for number, index in enumerate(torch.split(order, self.batch_size)):
            factor = next(factors)
            for group in self.optimizer_.param_groups:
                group["lr"] = factor * group["initial_lr"]
            seed = derive_seed(self.seed_, Purpose.BATCH, epoch, number, 0)
            loss, output = step(inputs[index], index, seed, f"epoch {epoch}, step {number + 1}")
            losses.append(loss * len(index))
            scores.append(output.sum(0))
        total = float(torch.stack(losses).sum()) / len(inputs)
        self.history_.append({"epoch": epoch, "train_loss": total, **self._metrics(torch.cat(scores), targets[order])})

    def _scores(self, X: ArrayLike) -> NDArray[np.float64]:
        """The output summed over time, (samples, outputs)."""
        check_is_fitted(self)
        x: NDArray[np.float64] = validate_data(self, X, reset=False)
        model: nn.Module = self._fabric().setup(Classifier(self._encoder(), self.network_))
        model.eval()
        scores = []
        with torch.no_grad():
            for part in torch.split(functional.pad(self._inputs(x), (0, 0, 0, -len(x) % _BATCH)), _BATCH):
                output, spikes = model(part, self.seed_)
                scores.append(self._summed(output, spikes).cpu().numpy())
        return np.concatenate(scores)[: len(x)]

    def _summed(self, output: Tensor, spikes: list[Tensor]) -> Tensor:
        """The output summed over time in double precision, (B, outputs).

        That of a plain readout is computed from counts of spikes, whole numbers, so that the last bits of products do
        not depend on the number of samples.
        """
        readout, last = self.network_.readout, self.network_.layers[-1]
        if not isinstance(readout, Linear) or not readout.is_plain or not isinstance(last, Layer):
            return output.double().sum(0)
        scores = spikes[-1].double().sum(0) @ readout.weight.double().T
        return scores if readout.input.bias is None else scores + len(output) * readout.input.bias.double()

    def _inputs(self, x: NDArray[np.float64]) -> Tensor:
        z = self.scaler_.transform(x) / _FARTHEST
        return torch.from_numpy(np.concatenate([z, -z], axis=1).clip(0, 1).astype(np.float32))

    def _encoder(self) -> ValueEncoder:
        return ValueEncoder(self.encoding, self.steps, (2 * self.n_features_in_,))

    def _fabric(self) -> Fabric:
        return start_fabric(self.accelerator, precision="32-true")

    def _network(self, inputs: int, outputs: int) -> Network:
        layers, before = [], inputs
        for width in self.hidden:
            layers.append(Layer(Linear(before, width), self._neurons(width)))
            before = width
        return Network(layers, readout=Linear(before, outputs))

    def _neurons(self, width: int) -> Neuron:
        size = (width,) if self.learn else None
        return build_neurons(neuron_spec(self.neuron).replace(size=size, learn=names_in(self.learn)))


class SpikingClassifier(ClassifierMixin, _SpikingEstimator):  # type: ignore[misc]
    """A network of spiking neurons that classifies vectors.

    Each feature z, standardised by the training samples, gives two inputs: max(z, 0)/3 and max(−z, 0)/3, at most 1, so
    that low values drive neurons as high ones do. The network's output is a current for each class, summed over time;
    probabilities are its softmax. Training minimises the cross-entropy.

    Args:
        hidden: neurons of each hidden layer.
        neuron: a name of ``izhi.PRESETS``, or of the registry of ``izhi.spec``.
        learn: names of learned coefficients, one value for each neuron.
        encoding: ``"constant"`` (currents), ``"latency"``, or ``"rate"``, whose predictions depend on what else is
            predicted with a sample.
        steps: time steps of a sample.
        epochs: passes of ``fit`` over the training samples; ``partial_fit`` makes one.
        batch_size: samples of a step of training.
        learning_rate: of Adam; it decays to 0 over the epochs of ``fit``, and is constant in ``partial_fit``.
        network: makes another network of (inputs, outputs), with twice as many inputs as features; None for the one
            above.
        accelerator: Lightning Fabric's, such as ``"cpu"`` or ``"cuda"``.
        random_state: seed of weights, order and coding.

    Attributes:
        classes_: labels, in the order of probabilities.
        network_: the trained network.
        optimizer_: the optimiser that trained it, with which ``partial_fit`` goes on.
        scaler_: mean and standard deviation of each feature, over all samples of ``fit`` and ``partial_fit``.
        n_features_in_: features of a sample.
        history_: metrics of each epoch.
    """

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> SpikingClassifier:
        """Train a network anew.

        Args:
            X: (samples, features), finite numbers.
            y: a label for each sample.
            sample_weight: how many times each sample counts, (samples,), from 0; None for once.

        Raises:
            SettingError: for arguments or weights out of range.
        """
        x, labels, weights = self._checked(X, y, sample_weight, reset=True)
        self.classes_ = np.unique(labels)
        self._start(x.shape[1])
        return self._train(x, labels, weights, self.epochs, "cosine")

    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> SpikingClassifier:
        """Train the network with one pass over the samples, after earlier calls and after ``fit``.

        Features are standardised by all samples so far.

        Args:
            X: (samples, features), finite numbers.
            y: a label for each sample.
            classes: every label that will come, (classes,); needed in the first call only.
            sample_weight: how many times each sample counts, (samples,), from 0; None for once.

        Raises:
            SettingError: for arguments or weights out of range, and for a label that is none of ``classes``.
        """
        is_first = not hasattr(self, "network_")
        x, labels, weights = self._checked(X, y, sample_weight, reset=is_first)
        _check_partial_fit_first_call(self, classes)
        if unknown := set(np.unique(labels).tolist()) - set(self.classes_.tolist()):
            raise SettingError(
                f"a label is {shown(min(unknown))}, expected one of {shown(self.classes_.tolist())};"
                " give every label as classes= in the first call"
            )
        if is_first:
            self._start(x.shape[1])
        return self._train(x, labels, weights, 1, "constant")

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

    def _checked(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None, reset: bool
    ) -> tuple[NDArray[np.float64], NDArray[Any], NDArray[np.float64]]:
        x, labels = validate_data(self, X, y, reset=reset)
        check_classification_targets(labels)
        return self._counted(x, labels, sample_weight)

    def _targets(self, y: NDArray[Any], weights: NDArray[np.float64]) -> Tensor:
        return torch.from_numpy(np.searchsorted(self.classes_, y).astype(np.int64))

    def _losses(self, output: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(output.sum(0), targets, reduction="none")

    def _outputs(self) -> int:
        return len(self.classes_)

    def _metrics(self, scores: Tensor, targets: Tensor) -> dict[str, float]:
        return {"train_accuracy": float((scores.argmax(1) == targets).float().mean())}


class SpikingRegressor(MultiOutputMixin, RegressorMixin, _SpikingEstimator):  # type: ignore[misc]
    """A network of spiking neurons that predicts numbers from vectors.

    Inputs are those of ``SpikingClassifier``. The network's output is a current for each target, whose mean over time
    is the target, standardised by the training samples. Training minimises the squared error.

    Arguments are those of ``SpikingClassifier``.

    Attributes:
        network_: the trained network.
        optimizer_: the optimiser that trained it, with which ``partial_fit`` goes on.
        scaler_: mean and standard deviation of each feature, over all samples of ``fit`` and ``partial_fit``.
        target_scaler_: those of each target.
        n_features_in_: features of a sample.
        history_: metrics of each epoch.
    """

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> SpikingRegressor:
        """Train a network anew.

        Args:
            X: (samples, features), finite numbers.
            y: a number for each sample, (samples,), or several, (samples, targets).
            sample_weight: how many times each sample counts, (samples,), from 0; None for once.

        Raises:
            SettingError: for arguments or weights out of range.
        """
        x, y, weights = self._checked(X, y, sample_weight, reset=True)
        self._begin(x, y)
        return self._train(x, y, weights, self.epochs, "cosine")

    def partial_fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> SpikingRegressor:
        """Train the network with one pass over the samples, after earlier calls and after ``fit``.

        Features and targets are standardised by all samples so far.

        Args:
            X: (samples, features), finite numbers.
            y: a number for each sample, (samples,), or several, (samples, targets).
            sample_weight: how many times each sample counts, (samples,), from 0; None for once.

        Raises:
            SettingError: for arguments or weights out of range, and for another number of targets than before.
        """
        is_first = not hasattr(self, "network_")
        x, y, weights = self._checked(X, y, sample_weight, reset=is_first)
        if is_first:
            self._begin(x, y)
        if y.shape[1:] != self.target_shape_:
            raise SettingError(f"y has shape {y.shape}, expected {(len(y), *self.target_shape_)} as in the first call")
        return self._train(x, y, weights, 1, "constant")

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Numbers for each sample, in the form of the training targets: (samples,) or (samples, targets)."""
        means = self._scores(X) / self.steps
        values: NDArray[np.float64] = self.target_scaler_.inverse_transform(means)
        return values.reshape(len(values), *self.target_shape_)

    def _begin(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
        self.target_shape_ = y.shape[1:]
        self.target_scaler_ = StandardScaler()
        self._start(x.shape[1])

    def _checked(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None, reset: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        x, y = validate_data(self, X, y, reset=reset, multi_output=True, y_numeric=True)
        return self._counted(x, np.asarray(y, np.float64), sample_weight)

    def _targets(self, y: NDArray[Any], weights: NDArray[np.float64]) -> Tensor:
        columns = y.reshape(len(y), -1)
        z = self.target_scaler_.partial_fit(columns, sample_weight=weights).transform(columns)
        return torch.from_numpy(z.astype(np.float32))

    def _losses(self, output: Tensor, targets: Tensor) -> Tensor:
        return (output.mean(0) - targets).square().mean(1)

    def _outputs(self) -> int:
        return int(np.prod(self.target_shape_, dtype=int))


__all__ = ["SpikingClassifier", "SpikingRegressor"]

__dir__ = __all__.copy
