"""The process of onnxruntime-genai's model builder: SOURCE OUT CACHE PRECISION [KEY=VALUE …]."""

from __future__ import annotations

import sys
from typing import Any


class Config:
    """transformers' AutoConfig, adapted to the builder."""

    @staticmethod
    def from_pretrained(*given: Any, **named: Any) -> Any:
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(*given, **named)
        rope = getattr(config, "rope_parameters", None)
        if isinstance(rope, dict) and "full_attention" in rope:
            # transformers 5 has them by kind of layer; the builder reads the earlier names.
            config.rope_local_base_freq = rope["sliding_attention"]["rope_theta"]
            config.rope_parameters = dict(rope["full_attention"])
        return config


def main(source: str, out: str, cache: str, precision: str, *options: str) -> None:
    from onnxruntime_genai.models import builder

    builder.AutoConfig = Config
    prepared = builder.parse_extra_options("", source, out, precision, "cpu", cache, list(options))
    builder.create_model("", source, out, precision, "cpu", cache, **prepared)


if __name__ == "__main__":
    main(*sys.argv[1:])
