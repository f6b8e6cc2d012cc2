"""Images to states: a model's tower and connector, at work on one image at a time."""

from __future__ import annotations

from tinsmith import _core
from tinsmith.spec import Buffer


class Vision:
    """core: of a model with eyes, else RuntimeFault (TIN_ERR_UNSUPPORTED). patches: most of an image, which its
    memory is for; 0 for as many as the model takes. One thread at a time.

    patch: floats of a patch, [row][column][red, green, blue]; side: of the square of patches that makes a
    state; width: floats of a state; memory: bytes that were planned and are all that it takes."""

    def __init__(self, core: _core.Model, *, patches: int = 0, threads: int = 1, pace: int = 100) -> None:
        self._core = _core.Vision(core, patches, threads, pace)
        info = self._core.info()
        self.patch, self.side, self.width = info["patch"], info["side"], info["width"]
        self.patches = patches or info["patches"]
        self.memory = info["memory_bytes"]

    def begin(self, patches: Buffer, height: int, width: int) -> None:
        """patches: float32 [height * width][patch], in rows from the top left; the image before is given up."""
        self._core.begin(patches, height, width)

    def step(self, budget_ns: int = 0) -> bool:
        """Goes on for so long, or to the end; whether the states are made."""
        return self._core.step(budget_ns) == _core.STEP_DONE

    @property
    def states(self) -> bytes:
        """float32 [height * width / side^2][width] of the image; b"" before they are made."""
        return self._core.states() or b""

    def see(self, patches: Buffer, height: int, width: int) -> bytes:
        """The states of an image."""
        self.begin(patches, height, width)
        self.step()
        return self.states
