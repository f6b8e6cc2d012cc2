"""Many concurrent goals, some of them cancelled: each ends."""

from __future__ import annotations

import os

import many
from robot import TINY


def test_no_goal_is_lost(tmp_path):
    actions = int(os.environ.get("TIN_ACTIONS", "60"))
    told = many.run(tmp_path, TINY, actions, actions // 10)
    assert told["lost"] == 0 and told["wrong"] == 0
    assert told["succeeded"] + told["cancelled"] == actions and told["cancelled"] > 0
