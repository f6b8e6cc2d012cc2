"""The core's vision encoder, for tests."""

from __future__ import annotations

from tinsmith import _core
from tinsmith.spec import Buffer


class VisionEncoder:
    """core: a model with vision; else raises RuntimeFault (TIN_ERR_UNSUPPORTED). patches: most of an image, for
    which it plans memory; 0: the model's maximum. Not thread-safe.

    patch: floats of a patch, [row][column][red, green, blue]; side: of the square of patches per state; width:
    floats of a state; memory: planned bytes, all that it takes."""

    def __init__(self, core: _core.Model, *, patches: int = 0, threads: int = 1, duty_cycle: int = 100) -> None:
        self._core = _core.Encoder(core, patches, threads, duty_cycle)
        info = self._core.info()
        self.patch, self.side, self.width = info["patch"], info["side"], info["width"]
        self.patches = patches or info["patches"]
        self.memory = info["memory_bytes"]

    def begin(self, patches: Buffer, height: int, width: int) -> None:
        """patches: float32 [height * width][patch], in rows from the top left; drops the previous image."""
        self._core.begin(patches, height, width)

    def step(self, budget_ns: int = 0) -> bool:
        """Computes for this long (0: to the end); returns whether the states are complete."""
        return self._core.step(budget_ns) == _core.STEP_DONE

    @property
    def states(self) -> bytes:
        """float32 [height * width / side^2][width] of the image; b"" before they are complete."""
        return self._core.states() or b""

    def encode(self, patches: Buffer, height: int, width: int) -> bytes:
        """The states of an image."""
        self.begin(patches, height, width)
        self.step()
        return self.states
