"""Networks trained on MNIST in other libraries, taken over: do their spikes, and their accuracy, stay what they were?

    python benchmarks/other_libraries.py snntorch --out networks        # networks/snntorch.nir, and what to do with it
    python benchmarks/other_libraries.py spikingjelly --out networks    # in an environment that has spikingjelly

Both networks are 784-512-10 LIF, 25 steps in which pixels are constant currents, batches of 128, Adam at 5e-4.

- snntorch: the code of its tutorial 5: ``snn.Leaky`` of beta 0.95, which subtracts the threshold, and the
  cross-entropy of the membrane in every step. Taken over by ``izhi.snntorch.convert``.
- spikingjelly: ``LIFNode`` of tau 2 with hard reset, the cross-entropy of rates. Taken over by its own export.

It prints the accuracy in the library, and writes spikes of the first test samples beside the network.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

HIDDEN, STEPS, BATCH, RATE = 512, 25, 128, 5e-4


class TutorialNet(nn.Module):
    """The network of snnTorch's tutorial 5."""

    def __init__(self, beta: float = 0.95) -> None:
        import snntorch as snn

        super().__init__()
        self.fc1, self.lif1 = nn.Linear(784, HIDDEN), snn.Leaky(beta=beta)
        self.fc2, self.lif2 = nn.Linear(HIDDEN, 10), snn.Leaky(beta=beta)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        spikes, membranes = [], []
        for _ in range(STEPS):
            spk1, mem1 = self.lif1(self.fc1(x), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spikes.append(spk2)
            membranes.append(mem2)
        return torch.stack(spikes), torch.stack(membranes)


class JellyNet(nn.Module):
    """Two layers of spikingjelly's LIFNode."""

    def __init__(self) -> None:
        from spikingjelly.activation_based import layer, neuron, surrogate

        super().__init__()
        self.row = nn.Sequential(
            layer.Linear(784, HIDDEN), neuron.LIFNode(tau=2.0, surrogate_function=surrogate.ATan()),
            layer.Linear(HIDDEN, 10), neuron.LIFNode(tau=2.0, surrogate_function=surrogate.ATan()),
        )  # fmt: skip

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        from spikingjelly.activation_based import functional

        functional.reset_net(self)
        spikes = torch.stack([self.row(x) for _ in range(STEPS)])
        return spikes, spikes


def loss_of(name: str, spikes: Tensor, membranes: Tensor, labels: Tensor) -> Tensor:
    if name == "snntorch":
        return torch.stack([nn.functional.cross_entropy(step, labels) for step in membranes]).sum()
    return nn.functional.cross_entropy(4 * spikes.mean(0), labels)


def mnist(folder: Path) -> dict[str, Tensor]:
    """MNIST as tensors; written by this program where Izhi is, read where it is not."""
    file = folder / "mnist.npz"
    if not file.exists():
        from izhi.data import load

        found = load("mnist")
        folder.mkdir(parents=True, exist_ok=True)
        made: dict[str, Any] = {}
        for name, part in (("train", found.train), ("test", found.test)):
            made[name], made[f"{name}_labels"] = part.batch(torch.arange(len(part)))
        np.savez(file, **made)
    with np.load(file) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def train(name: str, network: nn.Module, data: dict[str, Tensor], epochs: int, seed: int) -> None:
    """Train for some epochs over all training samples."""
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE, betas=(0.9, 0.999))
    generator = torch.Generator().manual_seed(seed)
    for epoch in range(epochs):
        order = torch.randperm(len(data["train"]), generator=generator)
        for batch in order[: len(order) // BATCH * BATCH].view(-1, BATCH):
            spikes, membranes = network(data["train"][batch])
            loss = loss_of(name, spikes, membranes, data["train_labels"][batch])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        print(f"epoch {epoch + 1}: loss {loss.item():.3f}", flush=True)


def accuracy(network: nn.Module, data: dict[str, Tensor]) -> float:
    """By spike counts, on all test samples."""
    network.eval()
    with torch.no_grad():
        found = [network(x)[0].sum(0).argmax(1) for x in torch.split(data["test"], 1000)]
    return float((torch.cat(found) == data["test_labels"]).float().mean())


def write(name: str, network: Any, data: dict[str, Tensor], path: Path, samples: int) -> None:
    """The network as NIR, and beside it the library's own output for the first test samples."""
    x = data["test"][:samples]
    with torch.no_grad():
        spikes = network(x)[0]
    if name == "snntorch":
        import izhi.nir
        import izhi.snntorch

        found = izhi.snntorch.convert(network)
        izhi.nir.write(found, path)
        with torch.no_grad():
            ours = found.eval()(x.expand(STEPS, -1, -1)).output
        print(f"{int(spikes.sum()):,} spikes, {int((ours != spikes).sum()):,} different here")
    else:
        from spikingjelly.activation_based.nir_exchange import export_to_nir

        export_to_nir(network.row, x[:1], save_path=path)
    np.savez(path.with_suffix(".npz"), input=x.numpy(), spikes=spikes.numpy().astype(bool))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", choices=("snntorch", "spikingjelly"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=int, default=1000)
    a = parser.parse_args()
    torch.manual_seed(a.seed)
    data = mnist(a.out)
    network = TutorialNet() if a.library == "snntorch" else JellyNet()
    train(a.library, network, data, a.epochs, a.seed)
    print(f"{a.library}: {100 * accuracy(network, data):.2f} % of {len(data['test']):,} test samples")
    path = a.out / f"{a.library}.nir"
    write(a.library, network, data, path, a.samples)
    how = "" if a.library == "snntorch" else f" --from {a.library}"
    print(f"izhi nir import {path}{how} --dataset mnist --encoding constant --steps {STEPS} --out {a.out / a.library}")


if __name__ == "__main__":
    main()
