from __future__ import annotations

import pytest
import rclpy
from robot import PLAIN, Robot


@pytest.fixture(scope="session", autouse=True)
def ros():
    rclpy.init()
    yield
    rclpy.try_shutdown()


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A running node with plain.tin, of which nobody changes the state."""
    with Robot(tmp_path_factory.mktemp("plain"), file=PLAIN, context=512) as robot:
        yield robot.started()
        assert robot.stop() == 0, robot.log
