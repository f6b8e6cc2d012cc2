"""Training on CUDA, held against training on the CPU: losses and gradients of every family, and a run's result.

Prints a line for each check. Exits with 1 where one fails, with 2 where there is no CUDA to check.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

# Float32 sums in another order; a delta rule's gradients differ by 1e-3 on one device, too.
LOSS, GRADIENT = 1e-3, 5e-3


def compared(case: str, folder: Path, shared: int) -> tuple[float, float]:
    """How far a family's losses (absolute) and gradients (of the largest) are from the CPU's."""
    from tests.train.hybrids import sequences_of, spec_of

    from tinsmith.train.model import network

    spec, results = spec_of(case, folder), []
    for device in ("cpu", "cuda"):
        torch.manual_seed(1)
        built = network.build(spec, torch.float32, 4, 6.0)
        for parameter in built.parameters().values():
            torch.nn.init.normal_(parameter, std=0.15)
        built = replace(built, model=built.model.to(device), head=built.head.to(device))
        losses, _ = built.answer_losses(built.pack(sequences_of(shared), shared))
        losses.mean().backward()
        results.append((losses.detach().cpu(), [value.grad.cpu() for value in built.parameters().values()]))
    (wanted, expected), (losses, gradients) = results
    off = [float((a - b).abs().max() / b.abs().max()) for a, b in zip(gradients, expected, strict=True)]
    return float((losses - wanted).abs().max()), max(off)


def trained(folder: Path, name: str) -> tuple[float, float]:
    """The first and the last loss of a run on CUDA in its own type of matrices."""
    from tests.train.tiny_training import PAIRS, encode, make_spec

    from tinsmith.data.readers import Example
    from tinsmith.train.job import Job
    from tinsmith.train.options import TrainOptions
    from tinsmith.train.run import train

    examples = [Example(first + second, second) for first, second in PAIRS * 4]
    options = TrainOptions(
        epochs=4, learning_rate=2e-2 if name == "lora" else 2e-3, batch_tokens=120, device="cuda"
    )
    if name == "full":
        options = replace(options, qat=None)
    result = train(name, Job(make_spec(), examples, examples[:6], options, folder, encode))
    return result.curve[0].loss, result.curve[-1].loss


def checks() -> Iterator[tuple[str, bool]]:
    from tests.models.tiny_models import cases

    for case in cases():
        for shared in (0, 12):
            with tempfile.TemporaryDirectory() as folder:
                loss, gradient = compared(case, Path(folder), shared)
            says = f"{case}, {shared} tokens shared: losses {loss:.1e}, gradients {gradient:.1e} from the CPU's"
            yield says, loss < LOSS and gradient < GRADIENT
    for name in ("lora", "full"):
        with tempfile.TemporaryDirectory() as folder:
            first, last = trained(Path(folder), name)
        yield f"{name}: trained from a loss of {first:.3f} to {last:.3f}", last < 0.6 * first


def main() -> int:
    if not torch.cuda.is_available():
        print(
            f"error: torch {torch.__version__} finds no CUDA here; these checks need a GPU, its driver "
            "and a torch built for it",
            file=sys.stderr,
        )
        return 2
    torch.backends.cuda.matmul.allow_tf32 = False
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    failed = 0
    for says, is_right in checks():
        print(f"{'ok  ' if is_right else 'FAIL'} {says}", flush=True)
        failed += not is_right
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
