"""Modules of neurons."""

import lazy_loader

# Names of presets and orders are known without torch.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
