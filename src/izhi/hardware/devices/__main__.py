"""``python -m izhi.board network.izhi samples.npz --device pynq``, which needs numpy alone and no data sets."""

from __future__ import annotations

import argparse
import sys

from izhi.errors import IzhiError
from izhi.hardware import artifact, devices as board
from izhi.hardware.devices.evaluation import evaluate, load_samples


def main(arguments: list[str] | None = None) -> int:
    """Run the samples and print the evaluation; returns the exit status."""
    parser = argparse.ArgumentParser("python -m izhi.board", description=__doc__)
    parser.add_argument("artifact", help="network.izhi")
    parser.add_argument("samples", help="samples.npz of izhi export --samples")
    parser.add_argument("--device", default="pynq", help=", ".join(board.DEVICES) + " [pynq]")
    parser.add_argument(
        "--folder", help="folder of core.json, izhi.bit and izhi.hwh [.]; for hls-ip of its .bit and .hwh [emulated]"
    )
    parser.add_argument("--compare", action="store_true", help="compare every spike with the model's")
    a = parser.parse_args(arguments)
    try:
        network = artifact.load(a.artifact)
        options = {"folder": a.folder} if a.folder else {}
        with board.open(a.device, network, **options) as device:
            evaluation = evaluate(device, [load_samples(a.samples)], compares=a.compare)
        print("\n".join(evaluation.lines()))
        evaluation.require_exact(device)
    except IzhiError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
