"""The importance of a matrix's input columns: the mean square of their values in the answers' conversations.

Quantization that weighs errors by it costs a small model far less than one that minimizes plain error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith.errors import InputError
from tinsmith.formats import safetensors
from tinsmith.train import tensors

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tinsmith.train.batches.packing import Packing
    from tinsmith.train.model.network import Network

NAME = "importance.safetensors"  # in the adapter's folder


@contextmanager
def recorded(network: Network) -> Iterator[dict[str, Tensor]]:
    """Records within the block; after it the dictionary has mean squares by role, float32 [inputs]."""
    squares: dict[str, Tensor] = {}
    packings: list[Packing] = []

    def begin(module: nn.Module, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        packings[:] = [options["packing"]]

    counts: dict[str, int] = {}

    def watch(role: str) -> Any:
        def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            rows = packings[0].without_padding(inputs[0].detach()).float()
            squares[role] = squares.get(role, rows.new_zeros(rows.shape[1])) + rows.square().sum(0)
            counts[role] = counts.get(role, 0) + len(rows)

        return note

    hooks = [module.register_forward_pre_hook(watch(role)) for role, module in network.linears.items()]
    hooks.append(network.trunk.register_forward_pre_hook(begin, with_kwargs=True))
    means: dict[str, Tensor] = {}
    try:
        yield means
    finally:
        for hook in hooks:
            hook.remove()
    means.update({role: squares[role] / counts[role] for role in squares})


def seen(network: Network, packings: Iterable[Packing]) -> dict[str, Tensor]:
    """Mean squares by role in one pass over some batches, with the network as it is now."""
    import torch

    network.model.eval()
    with torch.no_grad(), recorded(network) as means:
        for packing in packings:
            network.answer_states(packing)
    return means


def weights(means: dict[str, Tensor]) -> dict[str, bytes]:
    """The float32 weight of each input column by role, as for quant.encoder."""
    return {role: mean.float().cpu().numpy().tobytes() for role, mean in means.items()}


def save(folder: Path, means: dict[str, Tensor]) -> None:
    tensors.save(folder / NAME, means)


def load(adapter_dir: Path) -> dict[str, bytes]:
    """The saved values, as from `weights`. Raises InputError for an adapter's folder without them, FormatError
    for a damaged file."""
    path = Path(adapter_dir) / NAME
    if not path.exists():
        raise InputError(f"{adapter_dir}: holds no {NAME}; train the adapter again")
    return {role: bytes(one.data) for role, one in safetensors.read(path).items()}  # type: ignore[arg-type]
