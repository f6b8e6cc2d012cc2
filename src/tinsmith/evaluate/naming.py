"""The names of measured systems: a model, or a file with a way of prompting it."""

from __future__ import annotations

TUNED = "tuned"  # the float model
NAMED, ROUTED, OWN, TOGETHER = "adapter", "routed", "own", "joint"  # of several tasks, a kind before a format
TITLES = {
    "zero_shot": "Base: functions listed",
    "few_shot": "Base: fixed examples",
    "retrieval": "Base: nearest examples",
    "nearest": "Nearest example copied",
    "tfidf": "TF-IDF, logistic regression",
    TUNED: "Fine-tuned, float32",
}
# What a system's name may begin with, before its format.
KINDS = {
    "shipped_": "Shipped",
    f"{NAMED}_": "Adapter beside",
    f"{ROUTED}_": "Routed,",
    f"{OWN}_": "A tin of its own,",
    f"{TOGETHER}_": "One adapter for all,",
}


def named(kind: str, weights: str) -> str:
    return f"{kind}_{weights.lower()}"


def shipped(weights: str) -> str:
    """A shipped file's name as a system."""
    return named("shipped", weights)


def constrained(system: str) -> str:
    """A system's name under the constraint that its file carries."""
    return f"{system}_constrained"


def file_systems(weights: str, kind: str = "shipped") -> dict[str, str]:
    """The systems of one file: `unconstrained`, and `constrained` if it carries a constraint."""
    return {"unconstrained": named(kind, weights), "constrained": constrained(named(kind, weights))}


def title(system: str) -> str:
    """A system's name in words."""
    name, under, _ = system.partition(constrained(""))
    kind = next((kind for kind in KINDS if name.startswith(kind)), "shipped_")
    words = TITLES.get(name) or f"{KINDS[kind]} {name.removeprefix(kind).upper()}"
    return f"{words}, constrained" if under else words
