"""Data sets by name. The data root is ``$IZHI_DATA``, else a cache folder of the user."""

import lazy_loader

from izhi.deprecation import renamed_names

# Names of data sets are known without torch.
_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__getattr__ = renamed_names(__name__, {"found": "recorded_names"}, _load)
