"""Names of an entry's data and options, and their defaults."""

from __future__ import annotations

import logging
from typing import Final

from homeassistant.const import Platform

DOMAIN: Final = "tinsmith"
LOGGER: Final = logging.getLogger(__package__)
PLATFORMS: Final = (Platform.AI_TASK, Platform.CONVERSATION)

# What an entry is of: a file that this process runs, or a `tinsmith serve`.
CONF_FILE: Final = "file"
CONF_SIGNED_BY: Final = "signed_by"
CONF_MODEL: Final = "model"

CONF_ADAPTER: Final = "adapter"
CONF_TRAINED: Final = "trained"
CONF_CONTEXT: Final = "context"
CONF_THREADS: Final = "threads"
CONF_MOST_MEMORY: Final = "most_memory"  # MiB
CONF_MAX_TOKENS: Final = "max_tokens"
CONF_TEMPERATURE: Final = "temperature"
CONF_TOP_P: Final = "top_p"
CONF_REPETITION: Final = "repetition_penalty"
CONF_SEED: Final = "seed"
CONF_UNCONSTRAINED: Final = "unconstrained"
CONF_TIMEOUT: Final = "timeout"  # seconds

DEFAULTS: Final = {
    CONF_CONTEXT: 2048,
    CONF_THREADS: 0,
    CONF_MOST_MEMORY: 0,
    CONF_MAX_TOKENS: 256,
    CONF_TEMPERATURE: 0.0,
    CONF_TOP_P: 1.0,
    CONF_REPETITION: 1.0,
    CONF_SEED: 0,
    CONF_UNCONSTRAINED: False,
    CONF_TIMEOUT: 60,
}
