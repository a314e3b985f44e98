"""Data sets by name. The data root is ``$IZHI_DATA``, else a cache folder of the user."""

import lazy_loader

# Names of data sets are known without torch.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
