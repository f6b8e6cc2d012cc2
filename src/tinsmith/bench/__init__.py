"""How fast a model file is here, beside other runtimes on the same weights.

Every engine is a process of its own, and all but the one that is timed are stopped.
"""

from tinsmith.bench.run import Options, run

__all__ = ["Options", "run"]
