"""The names of systems that are measured: a file, alone or in some way of asking it."""

from __future__ import annotations

TUNED = "tuned"  # the float model
NAMED, ROUTED, OWN, TOGETHER = "adapter", "routed", "own", "joint"  # of several tasks, a kind before a format


def shipped(weights: str) -> str:
    """The name of the system that is a shipped file."""
    return f"shipped_{weights.lower()}"


def named(kind: str, weights: str) -> str:
    return f"{kind}_{weights.lower()}"


def constrained(system: str) -> str:
    """The name of a system under the constraint that its file carries."""
    return f"{system}_constrained"


def file_systems(weights: str, kind: str = "shipped") -> dict[str, str]:
    """The systems that are one file: `unconstrained`, and where it carries a constraint `constrained`."""
    return {"unconstrained": named(kind, weights), "constrained": constrained(named(kind, weights))}
