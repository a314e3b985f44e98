"""Networks from and to files of NIR, the exchange format of spiking networks: see docs/nir.md.

While this module is imported, ``nir.read`` makes ``Izhikevich`` nodes.
"""

from __future__ import annotations

try:
    from izhi.exchange.golden import check, golden
    from izhi.exchange.izhikevich import Izhikevich, register
    from izhi.exchange.reader import from_graph, read
    from izhi.exchange.writer import to_graph, write
except ModuleNotFoundError as error:
    from izhi.errors import install

    raise ImportError(f"{error.name} is not installed; {install('nir')}") from None

register()

__all__ = ["Izhikevich", "check", "from_graph", "golden", "read", "to_graph", "write"]

__dir__ = __all__.copy
