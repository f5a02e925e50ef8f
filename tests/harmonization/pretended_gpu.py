"""A GPU that is not there: tensors on it are computed by the CPU, but only together with others on it, as by CUDA."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

GPU = torch.device("meta")  # the only other device that every build of PyTorch knows
TENSOR = torch.tensor
BETWEEN_DEVICES = ("_to_copy", "copy_", "_has_compatible_shallow_copy_type")  # operations with tensors of both devices
CHOOSING = ("index", "index_put", "index_put_", "_index_put_impl_")  # whose indices may be on the CPU


class OnGpu(torch.Tensor):
    """A tensor whose device is the GPU and whose values are those of ``inner``."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> OnGpu:
        made: OnGpu = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=GPU,
            requires_grad=False,
        )
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(
        cls, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return computed(function, args, dict(kwargs or {}))


class PretendedGpu(TorchDispatchMode):
    """Within it, tensors can be made on the GPU and moved to it."""

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return computed(function, args, dict(kwargs or {}))


def computed(function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """The result on the device of the arguments or the one that is asked for."""
    name = function.overloadpacket.__name__
    tensors = [one for one in tree_flatten((args, kwargs))[0] if isinstance(one, torch.Tensor)]
    here = [isinstance(one, OnGpu) for one in tensors]
    checked = tensors[:1] if name in CHOOSING else [one for one in tensors if one.dim()]
    if any(here) and name not in BETWEEN_DEVICES and not all(isinstance(one, OnGpu) for one in checked):
        raise RuntimeError(f"{name}: expected all tensors to be on the same device")
    wanted = kwargs.get("device")
    gpu = any(here) if wanted is None else torch.device(wanted).type == GPU.type
    if gpu and wanted is not None:
        kwargs["device"] = torch.device("cpu")
    inner_args, inner_kwargs = tree_map(lambda one: one.inner if isinstance(one, OnGpu) else one, (tuple(args), kwargs))
    out = function(*inner_args, **inner_kwargs)
    if name.endswith("_") and isinstance(args[0], torch.Tensor):  # in place
        return args[0]
    return tree_map(lambda one: OnGpu(one) if gpu and isinstance(one, torch.Tensor) else one, out)


def autocast(device_type: str, **more: Any) -> torch.amp.autocast:
    """That of the CPU for the GPU."""
    return torch.amp.autocast("cpu" if device_type == GPU.type else device_type, **more)


def tensor(values: Any, *, device: torch.device | str | None = None, **more: Any) -> torch.Tensor:
    """``torch.tensor``, which no dispatch mode sees."""
    made = TENSOR(values, **more)
    return made if device is None else made.to(device)


@contextmanager
def pretended_gpu() -> Iterator[torch.device]:
    """The device, within a block in which it exists."""
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)  # else Module.to puts them into CPU parameters
    try:
        with pytest.MonkeyPatch.context() as patch, PretendedGpu():
            patch.setattr(torch, "autocast", autocast)
            patch.setattr(torch, "tensor", tensor)
            yield GPU
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(before)
