"""The training device, and the fastest type for matrix products on it."""

from __future__ import annotations

import torch

from tinsmith.errors import InputError
from tinsmith.train.options import AUTO_DEVICE, TORCH_DEVICES

CPU = torch.device("cpu")


def present() -> list[str]:
    """The kinds of device that torch finds here, fastest first."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    return [name for name in TORCH_DEVICES if available.get(name)]


def choose(wanted: str) -> torch.device:
    """wanted: one of TORCH_DEVICES. Raises InputError for a missing one."""
    there = present()
    if wanted == AUTO_DEVICE:
        return torch.device(there[0])
    if wanted not in there:
        raise InputError(
            f'[train] device = "{wanted}": torch {torch.__version__} finds none here; it finds '
            f'{", ".join(there)}; state one of these, or "{AUTO_DEVICE}"'
        )
    return torch.device(wanted)


def has_fast_bfloat16(device: torch.device = CPU) -> bool:
    """Whether the device multiplies bfloat16 matrices in hardware, as far as this torch can tell."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    able = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(able.get(name) for name in ("avx512_bf16", "amx_bf16", "arm_bf16"))


def matrices(device: torch.device) -> torch.dtype:
    """The type in which frozen matrices are stored and multiplied."""
    return torch.bfloat16 if has_fast_bfloat16(device) else torch.float32


def random_tensors(device: torch.device) -> dict[str, torch.Tensor]:
    """The states of the random generators of training on the device, by name."""
    states = {"random": torch.get_rng_state()}
    if device.type != "cpu":
        states[f"random:{device.type}"] = torch.get_device_module(device).get_rng_state()
    return states


def restore_random(device: torch.device, tensors: dict[str, torch.Tensor]) -> None:
    """Restores random_tensors' states; another device's is ignored."""
    torch.set_rng_state(tensors["random"])
    own = tensors.get(f"random:{device.type}")
    if own is not None:
        torch.get_device_module(device).set_rng_state(own)
