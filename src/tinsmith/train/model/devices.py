"""The training device, and the fastest type for matrix products on it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from functools import cache, partial

import torch
from torch import Tensor

from tinsmith.errors import InputError
from tinsmith.spec import Spec
from tinsmith.train.options import AUTO_DEVICE, TORCH_DEVICES

CPU = torch.device("cpu")
ROWS = 512  # of a timed product: about what a pass has
SIZES = 512, 8192  # inputs and outputs of a timed product: smaller ones measure the calls
ROUNDS, SECONDS = 8, 1.0  # of timing, at most
GAIN = 1.1  # bfloat16 rounds more: it is taken only where it is this much faster


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


def matrices(spec: Spec, device: torch.device) -> tuple[torch.dtype, str]:
    """The faster type for the products of the spec's matrices, and the measurement in words.

    Measured on a CPU that has bfloat16 instructions: without a matrix unit they can be slower than float32's.
    """
    if not has_fast_bfloat16(device):
        return torch.float32, ""
    if device.type != "cpu":
        return torch.bfloat16, ""
    sizes = (
        (_timed(tensor.rows), _timed(tensor.inputs))
        for tensor in spec.tensors.values()
        if 1 < tensor.rows != spec.hyper.vocab  # no vector; the head multiplies few rows
    )
    speeds = _speeds(frozenset(Counter(sizes).items()), torch.get_num_threads())
    narrow, wide = speeds[torch.bfloat16], speeds[torch.float32]
    measured = f"measured, float32 {wide:.0f} GFLOP/s, bfloat16 {narrow:.0f}"
    chosen = torch.bfloat16 if narrow >= GAIN * wide else torch.float32
    return chosen, f"products in {named(chosen)} ({measured})"


def named(type: torch.dtype) -> str:
    return str(type).removeprefix("torch.")


def _timed(size: int) -> int:
    return min(max(size, SIZES[0]), SIZES[1])


@cache
def _speeds(sizes: frozenset[tuple[tuple[int, int], int]], threads: int) -> dict[torch.dtype, float]:
    """GFLOP/s by type of [ROWS, inputs] times a matrix [outputs, inputs], over all sizes, each with its count.
    Once a process, so that all of its runs take the same type."""
    products: dict[tuple[torch.dtype, tuple[int, int]], Callable[[], Tensor]] = {}
    for (outputs, inputs), _ in sizes:
        rows, matrix = torch.ones(ROWS, inputs), torch.ones(outputs, inputs)
        for type in (torch.float32, torch.bfloat16):
            products[type, (outputs, inputs)] = partial(torch.mm, rows.to(type), matrix.to(type).T)
    least = dict.fromkeys(products, float("inf"))
    for product in products.values():
        product()  # the first call prepares a kernel
    end = time.perf_counter() + SECONDS
    for turn in range(ROUNDS):
        if turn and time.perf_counter() > end:
            break
        for name, product in products.items():
            begun = time.perf_counter()
            product()
            least[name] = min(least[name], time.perf_counter() - begun)
    work = sum(2 * ROWS * outputs * inputs * count for (outputs, inputs), count in sizes)
    return {
        type: work / 1e9 / sum(least[type, size] * count for size, count in sizes)
        for type in (torch.float32, torch.bfloat16)
    }


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
