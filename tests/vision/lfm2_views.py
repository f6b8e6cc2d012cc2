"""Writes lfm2_views.json: how the LFM2-VL processor of transformers cuts images of some sizes, by its usual
settings. It needs torchvision, which the tests do not.

    python tests/vision/lfm2_views.py
"""

from __future__ import annotations

import json
import random
from pathlib import Path

OUT = Path(__file__).with_suffix(".json")


def sizes() -> list[tuple[int, int]]:
    rng = random.Random(18)
    fixed = [
        (1, 1),
        (512, 512),
        (513, 512),
        (1024, 1024),
        (300, 1500),
        (1500, 300),
        (724, 724),
        (725, 725),
        (4000, 3000),
    ]
    return fixed + [(rng.randint(16, 2500), rng.randint(16, 2500)) for _ in range(60)]


def main() -> None:
    from transformers.models.lfm2_vl.image_processing_lfm2_vl import Lfm2VlImageProcessor

    own = Lfm2VlImageProcessor()
    smart = {key: getattr(own, key) for key in ("downsample_factor", "max_image_tokens", "encoder_patch_size")}
    made = []
    for width, height in sizes():
        w, h = own.smart_resize(height, width, min_image_tokens=own.min_image_tokens, **smart)
        large = own._is_image_too_large(height, width, max_pixels_tolerance=own.max_pixels_tolerance, **smart)
        views = [[w, h, 1, 1]]
        if large:
            across, down, *_ = own._get_grid_layout(height, width, own.min_tiles, own.max_tiles, own.tile_size)
            views = [[across * own.tile_size, down * own.tile_size, across, down], *views]
        made.append(f"  {json.dumps({'image': [width, height], 'views': views})}")
    OUT.write_text("[\n" + ",\n".join(made) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
