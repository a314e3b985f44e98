"""Networks from and to files of NIR, the exchange format of spiking networks: see docs/nir.md.

While this module is imported, ``nir.read`` makes ``Izhikevich`` and ``Custom`` nodes.
"""

from __future__ import annotations

try:
    import nir as format

    from izhi.exchange.custom import Custom
    from izhi.exchange.golden import check, golden
    from izhi.exchange.izhikevich import Izhikevich
    from izhi.exchange.reader import from_graph, read
    from izhi.exchange.writer import to_graph, write
except ModuleNotFoundError as error:
    from izhi.errors import install

    raise ImportError(f"{error.name} is not installed; {install('nir')}") from None

for node in (Custom, Izhikevich):
    if node.__name__ not in format.ir.__dict__["__all_ir"]:
        format.ir.__dict__["__all_ir"].append(node.__name__)
    format.ir.__dict__[node.__name__] = node
del node, format

__all__ = ["Custom", "Izhikevich", "check", "from_graph", "golden", "read", "to_graph", "write"]

__dir__ = __all__.copy
