"""Encodings of samples as spikes: what ``encoding`` and ``encoders`` of ``izhi.network`` hold."""

from izhi.deprecation import renamed_names as _renamed_names
from izhi.network import encoders as _encoders, encoding as _encoding
from izhi.network.encoders import *  # noqa: F403
from izhi.network.encoding import *  # noqa: F403

__all__ = _encoders.__all__ + _encoding.__all__

__getattr__ = _renamed_names(__name__, {"usual": "default_encoder"})
__dir__ = __all__.copy
