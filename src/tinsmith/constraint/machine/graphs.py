"""Graphs over whole numbers."""

from __future__ import annotations

from collections.abc import Sequence


def components(graph: Sequence[Sequence[int]]) -> list[list[int]]:
    """The strongly connected components, each after all that it leads to (Tarjan's algorithm, unrolled)."""
    order = [-1] * len(graph)  # when a node was met
    lowest = [0] * len(graph)  # the earliest node on the trail that it leads back to
    on_trail = [False] * len(graph)
    trail: list[int] = []
    result: list[list[int]] = []
    met = 0
    for root in range(len(graph)):
        waiting = [(root, 0)] if order[root] < 0 else []
        while waiting:
            node, k = waiting.pop()
            targets = graph[node]
            if k:
                lowest[node] = min(lowest[node], lowest[targets[k - 1]])
            else:
                order[node] = lowest[node] = met
                met += 1
                trail.append(node)
                on_trail[node] = True
            while k < len(targets) and order[targets[k]] >= 0:
                if on_trail[targets[k]]:
                    lowest[node] = min(lowest[node], order[targets[k]])
                k += 1
            if k < len(targets):
                waiting += [(node, k + 1), (targets[k], 0)]
            elif lowest[node] == order[node]:
                member, members = -1, []
                while member != node:
                    member = trail.pop()
                    on_trail[member] = False
                    members.append(member)
                result.append(members)
    return result


def loops(graph: Sequence[Sequence[int]], component: Sequence[int]) -> bool:
    """Whether a component's nodes lead back to themselves."""
    return len(component) > 1 or component[0] in graph[component[0]]
