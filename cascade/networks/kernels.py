"""The fastest ways through torch to the same numbers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode


def probabilities(network: torch.nn.Module, patch: NDArray[np.float32]) -> NDArray[np.float32]:
    """Class probabilities (classes, x, y, z) of a patch (x, y, z), where the network's weights are."""
    # Weights lie as the patches do, whoever built the network: in another layout the last bits differ.
    network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # not in torch's stubs
    device = next(network.parameters()).device
    with quick_inference(device):
        tensor = torch.from_numpy(patch)[None, None].to(device, memory_format=torch.channels_last_3d)
        found: NDArray[np.float32] = torch.softmax(network(tensor).float(), dim=1)[0].cpu().numpy()
    return found


def quick_inference(device: torch.device) -> AbstractContextManager[object]:
    """Inference mode with what makes it quick on `device`: on a CPU `OneImageKernels`, on CUDA half precision where it is safe."""
    stack = contextlib.ExitStack()
    stack.enter_context(torch.inference_mode())
    if device.type == "cuda":
        stack.enter_context(torch.autocast("cuda"))
    elif device.type == "cpu" and torch.backends.mkldnn.is_available():
        stack.enter_context(OneImageKernels())
    return stack


class OneImageKernels(TorchFunctionMode):
    """Better choices than torch's own for one float image on a CPU.

    - For a single image with few channels torch takes a convolution of its own, up to five times slower than oneDNN's.
    - Its instance normalisation copies the image to another memory layout and the result back; for one image batch
      normalisation is the same sum, without the copies.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Intercept what `torch.conv3d` and `torch.nn.functional.instance_norm` are asked for."""
        options = dict(kwargs or {})
        if func is torch.conv3d and not options and len(args) == 7 and _is_one_image(args[0]) and isinstance(args[4], tuple):
            x, weight, bias, stride, padding, dilation, groups = args
            return torch.mkldnn_convolution(x, weight, bias, padding, stride, dilation, groups)
        if func is functional.instance_norm and _is_one_image(args[0]) and options["running_mean"] is None:
            return functional.batch_norm(args[0], None, None, options["weight"], options["bias"], training=True, eps=options["eps"])
        return func(*args, **options)


def _is_one_image(x: Tensor) -> bool:
    return len(x) == 1 and x.dtype == torch.float32 and x.device.type == "cpu"
