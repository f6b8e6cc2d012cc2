"""A home without Home Assistant: the state of devices and rooms, and the calls that change it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class House:
    """rooms: the lights of each area. on: by device."""

    devices: list[str]
    rooms: Mapping[str, list[str]] = field(default_factory=dict)
    on: dict[str, bool] = field(init=False)

    def __post_init__(self) -> None:
        self.on = dict.fromkeys(self.devices, False)

    def obey(self, name: str, arguments: Mapping[str, Any]) -> list[str]:
        """Executes a call. Returns the devices that it switched. Raises LookupError for missing ones."""
        if name not in ("HassTurnOn", "HassTurnOff"):
            return []
        if "name" in arguments:
            switched = [arguments["name"]]
        else:
            switched = list(self.rooms.get(arguments.get("area", ""), ()))
        missing = [one for one in switched if one not in self.on]
        if missing or not switched:
            raise LookupError(
                f"the house has no {', '.join(missing) or arguments}; it has {', '.join(self.on)}"
            )
        self.on |= dict.fromkeys(switched, name == "HassTurnOn")
        return switched
