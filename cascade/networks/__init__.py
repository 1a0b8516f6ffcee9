"""From a checkpoint on disk to class probabilities on a grid."""

from typing import Final

#: What may run the networks: `cascade.networks.backends.choose_backend`. Here, so that --help need not import numpy.
BACKENDS: Final = ("auto", "torch", "onnx")
