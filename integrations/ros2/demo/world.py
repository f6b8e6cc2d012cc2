"""The rover in MuJoCo, and its path as a map."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import mujoco
from pilot import PLACES, Pose

FILE = Path(__file__).with_name("rover.xml")


class World:
    """rate: ticks a second, of a few steps of physics each."""

    def __init__(self, rate: int) -> None:
        self._model = mujoco.MjModel.from_xml_path(str(FILE))
        self._data = mujoco.MjData(self._model)
        self._steps = round(1 / rate / self._model.opt.timestep)
        self._hash = hashlib.sha256()
        self.path: list[tuple[float, float]] = []
        mujoco.mj_forward(self._model, self._data)

    @property
    def pose(self) -> Pose:
        x, y, _, w, i, j, k = self._data.qpos[:7]
        yaw = math.atan2(2 * (w * k + i * j), 1 - 2 * (j * j + k * k))
        return Pose(float(x), float(y), yaw)

    def step(self, left: float, right: float) -> None:
        """A tick, at these speeds of the wheels (rad/s)."""
        self._data.ctrl[:] = left, right
        for _ in range(self._steps):
            mujoco.mj_step(self._model, self._data)
        for state in (self._data.qpos, self._data.qvel, self._data.ctrl):
            self._hash.update(state.tobytes())
        self.path.append((float(self._data.qpos[0]), float(self._data.qpos[1])))

    @property
    def digest(self) -> str:
        """Of every state since the beginning."""
        return self._hash.hexdigest()

    def image(self, path: Path) -> None:
        """A PNG, seen from above. Needs a renderer: MUJOCO_GL=egl where there is no display."""
        import struct
        import zlib

        camera = mujoco.MjvCamera()
        camera.distance, camera.elevation, camera.azimuth = 5.5, -65, 90
        with mujoco.Renderer(self._model, 720, 960) as renderer:
            renderer.update_scene(self._data, camera)
            rows = renderer.render()

        def chunk(kind: bytes, data: bytes) -> bytes:
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

        height, width, _ = rows.shape
        raw = b"".join(b"\0" + row.tobytes() for row in rows)
        head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        parts = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(raw)), chunk(b"IEND", b"")]
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))

    def map(self) -> str:
        """Where it went, seen from above: 4 x 4 metres."""
        columns, rows = 61, 25
        cells = [[" "] * columns for _ in range(rows)]

        def put(x: float, y: float, text: str) -> None:
            column, row = round((x / 4 + 0.5) * (columns - 1)), round((0.5 - y / 4) * (rows - 1))
            for k, one in enumerate(text):
                if 0 <= row < rows and 0 <= column + k < columns:
                    cells[row][column + k] = one

        for x, y in self.path:
            put(x, y, "·")
        for name, (x, y) in PLACES.items():
            put(x, y, name)
        put(self.pose.x, self.pose.y, "▲>▼<"[[1, 0, 3, 2][round(self.pose.yaw / (math.pi / 2)) % 4]])
        edge = "+" + "-" * columns + "+"
        return "\n".join([edge, *("|" + "".join(row) + "|" for row in cells), edge])
