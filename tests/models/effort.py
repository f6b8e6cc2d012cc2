"""How long tests by chance go on: TINSMITH_EFFORT, 1 unless stated, is how many times the rounds, programs and
seconds of CI they take."""

from __future__ import annotations

import os

EFFORT = int(os.environ.get("TINSMITH_EFFORT", "1"))
