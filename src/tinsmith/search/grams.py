"""What a matrix's inputs are like on the calibration text: the mean of x x^T, by role.

From it follow the output error that a change of the matrix makes, the factor of error feedback, and the
importance of each input (its diagonal). Matrices that read the same values (q, k and v) share one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from threading import Lock
from typing import Any

import torch
from torch import Tensor as Floats
from torch import nn

from tinsmith.formats.imatrix import Sums
from tinsmith.search import text
from tinsmith.search.floats import FloatModel
from tinsmith.spec import Spec
from tinsmith.system.progress import Display

TOKENS = 16_384
_BATCH = 1024  # tokens at once
_DAMPING = 0.01  # of the mean of the diagonal, added to it: a text shows less than all that may come


class Grams:
    """site: by role, the role under which the Gram matrix of its inputs is kept; `count` tokens were seen."""

    def __init__(self, sites: dict[str, str], held: dict[str, Floats], count: int) -> None:
        self.sites, self.held, self.count = sites, held, count
        self._factor: tuple[str, bytes] = ("", b"")  # the latest: tensors that share one are neighbours
        self._lock = Lock()

    def __contains__(self, role: str) -> bool:
        return role in self.sites

    def error(self, role: str, change: Any) -> float:
        """The mean square of what a matrix's outputs change by, all together, where the matrix changes by
        `change`, float32 [outputs, inputs]."""
        rows = torch.from_numpy(change)
        return ((rows @ self.held[self.sites[role]]) * rows).double().sum().item()

    def feedback(self, role: str) -> Callable[[], bytes] | None:
        """As quant.encoder takes it. None for a tensor whose inputs were not seen."""
        return partial(self.factor, role) if role in self else None

    def factor(self, role: str) -> bytes:
        """float32 [inputs, inputs]: the upper U of U^T U = H^-1, as _core.quantize_feedback takes it."""
        site = self.sites[role]
        with self._lock:
            if site != self._factor[0]:
                self._factor = site, _factor(self.held[site].double())
            return self._factor[1]

    def importance(self) -> dict[str, bytes]:
        """By role, the mean square of each input, float32 [inputs]."""
        return {role: self.held[site].diagonal().numpy().tobytes() for role, site in self.sites.items()}

    def sums(self) -> dict[str, Sums]:
        """What an importance matrix holds, by role."""
        return {
            role: Sums((self.held[site].diagonal() * self.count).numpy().tobytes(), (self.count,))
            for role, site in self.sites.items()
        }


def _factor(gram: Floats) -> bytes:
    damping = _DAMPING * gram.diagonal().mean().clamp_min(1e-20)
    gram = gram + damping * torch.eye(len(gram), dtype=torch.float64)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram))
    return torch.linalg.cholesky(inverse, upper=True).float().contiguous().numpy().tobytes()  # type: ignore[no-any-return]


class Gatherer:
    """Adds up x x^T of what goes into modules, by role."""

    def __init__(self) -> None:
        self.sums: dict[str, Floats] = {}
        self.sites: dict[str, str] = {}
        self._latest: tuple[Any, str] = (None, "")

    def note(self, role: str, values: Floats) -> None:
        if values is not self._latest[0]:
            self._latest = values, role
            rows = values.flatten(0, -2)
            square = rows.T @ rows
            self.sums[role] = self.sums[role].add_(square) if role in self.sums else square
        self.sites[role] = self._latest[1]

    @contextmanager
    def watching(self, modules: Mapping[str, nn.Module]) -> Iterator[None]:
        def watch(role: str) -> Callable[..., None]:
            return lambda module, inputs: self.note(role, inputs[0])

        hooks = [module.register_forward_pre_hook(watch(role)) for role, module in modules.items()]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def grams(self, count: int) -> Grams:
        """Of so many tokens."""
        return Grams(self.sites, {role: total / count for role, total in self.sums.items()}, count)


def gather(model: FloatModel, windows: Sequence[Sequence[int]], advance: Callable[[int], None]) -> Grams:
    """One pass of the float model over the windows; advance: called with the tokens done so far."""
    gatherer, count = Gatherer(), 0
    step = max(1, _BATCH // len(windows[0]))
    with torch.inference_mode(), gatherer.watching(model.linears()):
        for begin in range(0, len(windows), step):
            batch = torch.tensor(windows[begin : begin + step])
            gatherer.note(model.head, model.states(batch))
            count += batch.numel()
            advance(count)
    return gatherer.grams(count)


def of_text(spec: Spec, ids: Sequence[int], display: Display, most: int = TOKENS) -> tuple[FloatModel, Grams]:
    """Of at most `most` tokens of a text."""
    windows, model = text.windows(spec, ids, most), FloatModel(spec)
    with display.bar("calibration", sum(map(len, windows))) as bar:
        return model, gather(model, windows, lambda count: bar.update(count, "tokens"))
