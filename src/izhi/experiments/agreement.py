"""Comparison of an artifact with its network: every spike of every test sample."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from izhi.data import has_step_labels
from izhi.errors import ArtifactError
from izhi.experiments import samples
from izhi.experiments.trained import Trained
from izhi.hardware import devices
from izhi.hardware.artifact import Artifact
from izhi.hardware.devices.evaluation import DeviceEvaluation, Reference, evaluate
from izhi.hardware.fixed import Outcome
from izhi.hardware.networks import HardwareNetwork, Inputs
from izhi.training import LOSSES, keep_freed_memory

#: Samples that the network runs at once: their tensors are small beside the spikes of a batch, which are compared.
_AT_ONCE = 100


def reference(trained: Trained) -> Reference:
    """A trained network as the reference of a device, in steps if each has a label."""
    network, coding = trained.network.eval(), trained.experiment.coding
    loss, of_steps = LOSSES[trained.experiment.training.loss], has_step_labels(trained.dataset.test)

    def run(inputs: Inputs) -> Outcome:
        x = torch.from_numpy(inputs).float()
        if x.dim() == 2:  # currents, constant over time
            x = x.expand(coding.steps, *x.shape)
        elif coding.is_graded:
            x = x / coding.levels
        outputs, layers = [], []
        with torch.no_grad():
            for part in torch.split(x, _AT_ONCE, 1):
                out = network.record(part)
                outputs.append(out.output.double())  # in which sums are exact
                layers.append([(layer > 0).flatten(2).numpy().view(np.uint8) for layer in out.spikes])
        output = torch.cat(outputs, 1)
        spikes = [np.concatenate(parts, 1) for parts in zip(*layers, strict=True)]
        return Outcome((output.transpose(0, 1) if of_steps else loss.scores(output)).numpy(), spikes)

    return Reference(run, f"the network of {trained.path}")


def agreement(
    artifact: Artifact[HardwareNetwork], trained: Trained, progress: Callable[[int], None] = lambda done: None
) -> DeviceEvaluation:
    """Compare an artifact with its network on the test samples; ArtifactError if the networks have different layers."""
    widths = [layer.outputs for layer in artifact.network.layers]
    neurons = trained.network.neurons(trained.encoder.features)
    if widths != neurons:
        raise ArtifactError(
            f"the artifact has layers of {widths} neurons, but {trained.path} has {neurons}; choose its own run"
        )
    keep_freed_memory()
    with devices.open(artifact.device, artifact) as device:
        return evaluate(
            device, samples.batches(artifact, trained.dataset), reference=reference(trained), progress=progress
        )
