"""From float to integers: weights of a few bits and states in fixed-point formats, exact in evaluation."""

from izhi.deprecation import renamed_names as _renamed_names
from izhi.quantization.calibration import Calibration, calibrate, fitting, formats, ranges, usual_formats
from izhi.quantization.connections import QuantizedConnection, QuantizedMembrane, QuantizedReadout
from izhi.quantization.convert import in_integers, quantized
from izhi.quantization.neurons import (
    MULTIPLIER_BITS,
    QuantizedNeuron,
    StateFormats,
)
from izhi.quantization.ptq import correct_biases, shift_biases

__all__ = [
    "MULTIPLIER_BITS",
    "Calibration",
    "QuantizedConnection",
    "QuantizedMembrane",
    "QuantizedNeuron",
    "QuantizedReadout",
    "StateFormats",
    "calibrate",
    "correct_biases",
    "fitting",
    "formats",
    "in_integers",
    "quantized",
    "ranges",
    "shift_biases",
    "usual_formats",
]

__getattr__ = _renamed_names(__name__, dict.fromkeys(("QuantizedIzhikevich", "QuantizedLIF"), "QuantizedNeuron"))
__dir__ = __all__.copy
