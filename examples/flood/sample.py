"""Draws images of road cameras, by day, at dusk and at night, dry, wet or under water, with their content as
JSON.

    python sample.py --out data [--seed 1] [--scenes 6000]

writes train.jsonl, validation.jsonl (200), test.jsonl (800), schema.json and pictures/. A place is a camera and
the surroundings of its road: one for every 15 training scenes, and 20 others for validation. Half of the test
set shows 40 places that are not in the training data ("new"), half shows trained places in new weather
("known"). A road is flooded where water lies over its whole width; a wet road, puddles, and water beside it are
not that. The same seed gives the same bytes with the same numpy and Pillow.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIZE = 128, 96  # pixels of a picture
WIDE, TALL = 192, 144  # of the canvas, of which a camera that is askew cuts its picture
LIGHTS = {  # the sky's colour above and at the horizon, what falls on the ground, and how much of it
    "day": ((110, 150, 205), (205, 215, 225), (1.0, 1.0, 1.0), (0.75, 1.1)),
    "dusk": ((70, 70, 110), (225, 150, 110), (1.0, 0.82, 0.78), (0.38, 0.55)),
    "night": ((16, 18, 32), (48, 48, 62), (0.8, 0.88, 1.1), (0.2, 0.34)),
}
ROADS = ("flooded",) * 4 + ("dry", "wet", "puddles", "beside")
PAINTS = (190, 30, 30), (230, 230, 230), (40, 60, 140), (60, 60, 65), (190, 170, 60)
SCHEMA = {
    "type": "object",
    "properties": {
        "flooded": {"type": "boolean"},
        "cars": {"type": "integer", "minimum": 0, "maximum": 3},
        "light": {"enum": list(LIGHTS)},
    },
    "required": ["flooded", "cars", "light"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Thing:
    """An upright object at x, z: metres beside the road's middle, and from the camera."""

    kind: str
    x: float
    z: float
    wide: float
    tall: float
    colour: np.ndarray


@dataclass(frozen=True)
class Place:
    """A camera's height over the road and way from its middle, the road's bend and half its width, in metres;
    its horizon and focal length in pixels; how high the skyline is in each column."""

    height: float
    horizon: float
    focal: float
    aside: float
    bend: float
    half: float
    verge: np.ndarray
    asphalt: float
    skyline: np.ndarray
    things: tuple[Thing, ...]

    def seen(self, x: float, z: float, up: float = 0) -> tuple[float, float]:
        """The pixel of a point."""
        across = WIDE / 2 + self.focal * (x + self.aside + self.bend * z * z) / z
        return across, self.horizon + self.focal * (self.height - up) / z


def rough(chance: np.random.Generator, across: int, down: int) -> np.ndarray:
    """Noise [TALL, WIDE] of so many waves."""
    waves = Image.fromarray(chance.standard_normal((down, across)).astype(np.float32))
    return np.asarray(waves.resize((WIDE, TALL), Image.Resampling.BICUBIC))


def place(rng: random.Random) -> Place:
    half, chance = rng.uniform(2.8, 4.5), np.random.default_rng(rng.randrange(1 << 31))
    things = []
    for _ in range(rng.randint(4, 12)):
        kind = rng.choice(("house", "tree", "tree", "lamp", "bush"))
        side, z = rng.choice((-1, 1)), rng.uniform(8, 50)
        wide, tall = {"house": (7, 6), "tree": (4, 7), "lamp": (0.2, 6), "bush": (1.6, 1.2)}[kind]
        x = side * (half + wide / 2 + rng.uniform(0.8, 9))
        size = rng.uniform(0.7, 1.3)
        colour = np.array({"house": (150, 125, 110), "lamp": (90, 90, 95)}.get(kind, (55, 80, 45)), float)
        things.append(Thing(kind, x, z, wide * size, tall * size, colour * chance.uniform(0.7, 1.4, 3)))
    skyline = rough(chance, rng.randint(4, 30), 2)[0] * rng.uniform(1, 5) + rng.uniform(2, 14)
    return Place(
        height=rng.uniform(3.5, 5.5),
        horizon=rng.uniform(0.2, 0.42) * TALL,
        focal=rng.uniform(0.75, 1) * WIDE,
        aside=rng.uniform(-3, 3),
        bend=rng.uniform(-0.006, 0.006),
        half=half,
        verge=np.array(rng.choice(((85, 110, 60), (120, 115, 85), (130, 128, 122), (215, 218, 225))), float),
        asphalt=rng.uniform(70, 125),
        skyline=skyline,
        things=tuple(things),
    )


def traffic(here: Place, count: int, rng: random.Random) -> list[Thing]:
    """Cars in the image that do not hide each other, as many as fit."""
    cars: list[Thing] = []
    for _ in range(100):
        z, lane = rng.uniform(8, 30), rng.choice((-0.5, 0.5))
        across, down = here.seen(lane * here.half, z)
        free = all(abs(z - car.z) > 8 or (car.x * lane < 0 and abs(z - car.z) < 4) for car in cars)
        if len(cars) < count and free and 0.17 < across / WIDE < 0.83 and down < 0.85 * TALL:
            paint = np.array(rng.choice(PAINTS), float)
            cars.append(Thing("car", lane * here.half, z, rng.uniform(1.7, 2), rng.uniform(1.4, 1.8), paint))
    return cars


def water(
    here: Place, road: str, x: np.ndarray, z: np.ndarray, rng: random.Random, wave: np.ndarray
) -> np.ndarray:
    """Where it lies, on ground at x, z; wave: what its edges are uneven by."""
    if road == "flooded":
        first = rng.uniform(0, 13)
        last = first + rng.choice((rng.uniform(7, 20), 1000))
        shore = here.half + rng.uniform(1, 30)
        return (z + wave > first) & (z + wave < last) & (np.abs(x + wave / 2) < shore)
    if road == "beside":
        sides = rng.choice(((-1,), (1,), (-1, 1)))
        return np.any([side * x > here.half + 0.6 + np.abs(wave) / 3 for side in sides], axis=0)
    found = np.zeros(x.shape, bool)
    for _ in range(rng.randint(1, 5) if road == "puddles" else 0):
        at, far = rng.uniform(-here.half, here.half), rng.uniform(6, 22)
        found |= ((x - at) / rng.uniform(0.4, 1.2)) ** 2 + ((z - far) / rng.uniform(0.5, 2)) ** 2 < 1 + wave / 4
    return found


def upright(
    draw: ImageDraw.ImageDraw, here: Place, thing: Thing, colour: np.ndarray, lit: str, sunk: float, up: int
) -> None:
    """Draws a thing, or where `up` is -1 its image in the water; sunk: metres of it that are under water."""

    def box(left: float, bottom: float, right: float, top: float, fill: Sequence[float]) -> None:
        """Of shares of the thing's width and height."""
        bottom = max(bottom, sunk / thing.tall)
        if top > bottom:
            one = here.seen(thing.x + (left - 0.5) * thing.wide, thing.z, up * bottom * thing.tall)
            two = here.seen(thing.x + (right - 0.5) * thing.wide, thing.z, up * top * thing.tall)
            corners = [(one[0], min(one[1], two[1])), (two[0], max(one[1], two[1]))]
            (draw.ellipse if thing.kind in ("tree", "bush") and right - left > 0.3 else draw.rectangle)(
                corners, tuple(np.clip(fill, 0, 255).astype(int))
            )

    if thing.kind == "car":
        box(0.06, 0, 0.26, 0.3, colour * 0.2)
        box(0.74, 0, 0.94, 0.3, colour * 0.2)
        box(0, 0.15, 1, 0.6, colour)
        box(0.12, 0.6, 0.88, 1, colour * 0.9)
        box(0.18, 0.65, 0.82, 0.93, colour * 0.35)
        ahead = thing.x > 0  # who drives on the right shows the tail there
        lamps = ((200, 30, 20) if ahead else (255, 245, 200)) if lit != "day" else colour * 1.3
        for side in (0.04, 0.74):
            box(side, 0.4, side + 0.22, 0.54, np.array(lamps, float))
    elif thing.kind == "tree":
        box(0.45, 0, 0.55, 0.5, colour * 0.6)
        box(0, 0.3, 1, 1, colour)
    elif thing.kind == "house":
        box(0, 0, 1, 1, colour)
        for column in (0.1, 0.4, 0.7):
            box(column, 0.5, column + 0.2, 0.75, (230, 200, 120) if lit == "night" else colour * 0.5)
    else:
        box(0, 0, 1, 1, colour)
        if thing.kind == "lamp" and lit != "day":
            box(-3, 0.97, 3, 1, (255, 225, 160))


def scene(here: Place, rng: random.Random) -> tuple[Image.Image, dict[str, Any]]:
    """An image of the place, and its content."""
    chance = np.random.default_rng(rng.randrange(1 << 31))
    lit, road, cars = rng.choice(list(LIGHTS)), rng.choice(ROADS), traffic(here, rng.randint(0, 3), rng)
    top, low, tint, most = LIGHTS[lit]
    grey = rng.uniform(0, 1)  # of the clouds
    sky = [np.array(colour) * (1 - grey) + np.mean(colour) * grey * 0.9 for colour in (top, low)]
    shine = np.array(tint) * rng.uniform(*most)
    mist = rng.choice((rng.uniform(0, 0.004), rng.uniform(0.01, 0.03)))

    rows, columns = np.mgrid[0:TALL, 0:WIDE].astype(np.float32)
    fall = np.clip(rows / here.horizon, 0, 1)[..., None]
    canvas = sky[0] * (1 - fall) + sky[1] * fall + rough(chance, 6, 12)[..., None] * 6 * shine
    canvas[rows > here.horizon - here.skyline] = np.array((60, 75, 70)) * shine * 0.6 + sky[1] * 0.35
    mirror = canvas[
        np.clip(2 * here.horizon - rows - rough(chance, 12, 60) * 2, 0, TALL - 1).astype(int),
        columns.astype(int),
    ]

    z = here.focal * here.height / np.maximum(rows - here.horizon, 0.3)
    x = (columns - WIDE / 2) / here.focal * z - here.aside - here.bend * z * z
    grain = 1 + 0.06 * chance.standard_normal((TALL, WIDE)) + 0.08 * rough(chance, 16, 12)
    onroad = np.abs(x) < here.half
    line = (np.abs(x) < 0.1) & (z % 6 < 3) | (np.abs(np.abs(x) - here.half + 0.4) < 0.08)
    ground = np.where(onroad[..., None], here.asphalt * (0.65 if road != "dry" else 1), here.verge)
    ground = np.where((line & (z < 60))[..., None], 200, ground) * grain[..., None] * shine
    for lamp in (thing for thing in here.things if thing.kind == "lamp" and lit == "night"):
        ground *= 1 + 3 * np.exp(-((x - lamp.x) ** 2 + (z - lamp.z) ** 2) / 20)[..., None]
    wet = 0.28 * (road != "dry") * onroad * np.clip(1 + rough(chance, 10, 8) * 0.4, 0, 1.5)
    lies = water(here, road, x, z, rng, rough(chance, 10, 14) * 1.2)
    mud = np.array(rng.choice(((105, 90, 65), (80, 85, 85), (95, 100, 80)))) * shine
    ripple = 1 + rng.uniform(0.01, 0.1) * rough(chance, 12, 70)[..., None]
    deep = np.clip(0.25 + z / 40, 0.3, 0.85)[..., None]
    ground = ground * (1 - wet[..., None]) + mirror * wet[..., None]
    ground = np.where(lies[..., None], (mud * (1 - deep) + mirror * deep) * ripple, ground)
    far = np.exp(-mist * z)[..., None]
    canvas = np.where((rows > here.horizon)[..., None], ground * far + sky[1] * (1 - far), canvas)

    image = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for thing in sorted([*here.things, *cars], key=lambda one: -one.z):
        across, down = here.seen(thing.x, thing.z)
        near = np.exp(-mist * thing.z)
        colour = thing.colour * shine * near + sky[1] * (1 - near)
        under = 0 <= across < WIDE and 0 <= down < TALL and bool(lies[int(down), int(across)])
        if under:
            upright(draw, here, thing, colour * 0.5 + mud * 0.5, lit, 0.3, -1)
        upright(draw, here, thing, colour, lit, 0.3 * under, 1)
    return taken(image, rng, chance), {"flooded": road == "flooded", "cars": len(cars), "light": lit}


def taken(image: Image.Image, rng: random.Random, chance: np.random.Generator) -> Image.Image:
    """By a camera that hangs askew, in rain, behind drops, a pole or leaves, a little out of focus, grainy."""
    draw = ImageDraw.Draw(image)
    for _ in range(rng.choice((0, 0, 0, 80))):  # rain
        x, y, long = rng.uniform(0, WIDE), rng.uniform(0, TALL), rng.uniform(3, 9)
        level = round(sum(image.getpixel((int(x), int(y)))) / 3 * 0.8 + 45)
        draw.line((x, y, x + long / 4, y + long), (level,) * 3)
    if rng.random() < 0.15:  # a pole
        x, wide = rng.choice((rng.uniform(0.1, 0.25), rng.uniform(0.75, 0.9))) * WIDE, rng.uniform(2, 7)
        draw.rectangle((x, 0, x + wide, TALL), (30, 30, 32))
    for _ in range(rng.choice((0, 0, 25))):  # leaves
        x, y = rng.gauss(0, 22) % WIDE, abs(rng.gauss(0, 10))
        draw.ellipse((x, y, x + 7, y + 4), (25, 40, 20))
    for _ in range(rng.choice((0, 0, 0, 4))):  # drops on the glass
        x, y, r = rng.uniform(0, WIDE), rng.uniform(0, TALL), rng.uniform(3, 7)
        mask = Image.new("L", image.size, 0)
        ImageDraw.Draw(mask).ellipse((x - r, y - r, x + r, y + r), 255)
        image.paste(image.filter(ImageFilter.GaussianBlur(5)), mask=mask.filter(ImageFilter.GaussianBlur(1)))
    image = image.rotate(rng.uniform(-4, 4), Image.Resampling.BILINEAR)
    zoom, x, y = rng.uniform(0.88, 0.93), rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.7)
    left, upper = WIDE * (1 - zoom) * x, TALL * (1 - zoom) * y
    image = image.resize(
        SIZE, Image.Resampling.BILINEAR, (left, upper, left + WIDE * zoom, upper + TALL * zoom)
    )
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.7)))
    levels = np.asarray(image, np.float32) * rng.uniform(0.88, 1.1)
    levels = levels + chance.standard_normal(levels.shape) * rng.uniform(1, 8)
    return Image.fromarray(np.clip(np.rint(levels), 0, 255).astype(np.uint8))


def rows(scenes: int, rng: random.Random) -> Iterator[tuple[str, str | None, Place]]:
    """Of each scene its split, its part of the test set, and its place."""
    learned, checked, new = ([place(rng) for _ in range(count)] for count in (max(1, scenes // 15), 20, 40))
    yield from (("train", None, learned[n % len(learned)]) for n in range(scenes))
    yield from (("validation", None, checked[n % len(checked)]) for n in range(200))
    yield from (("test", "known", rng.choice(learned)) for _ in range(400))
    yield from (("test", "new", new[n % len(new)]) for n in range(400))


def write(folder: Path, seed: int, scenes: int) -> dict[str, int]:
    """The number of examples of each split."""
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    lines: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    for split, part, here in rows(scenes, random.Random(seed)):
        name = f"pictures/{split}{len(lines[split]):05}.jpg"
        rng = random.Random(f"{seed} {name}")
        image, said = scene(here, rng)
        image.save(folder / name, quality=rng.randint(60, 92))
        row = {"image": name, "output": json.dumps(said, separators=(",", ":"))}
        lines[split].append(json.dumps(row | ({"part": part} if part else {})) + "\n")
    for split, found in lines.items():
        (folder / f"{split}.jsonl").write_text("".join(found), encoding="utf-8")
    (folder / "schema.json").write_text(json.dumps(SCHEMA, indent=1) + "\n", encoding="utf-8")
    return {split: len(found) for split, found in lines.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("data"), help="the folder to write")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scenes", type=int, default=6000, help="to learn from")
    options = parser.parse_args(arguments)
    made = write(options.out, options.seed, options.scenes)
    print(f"{options.out}: {', '.join(f'{count:,} {split}' for split, count in made.items())}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
