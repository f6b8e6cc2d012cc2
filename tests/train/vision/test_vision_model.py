"""A new model that sees: what it learns of images, and that transformers sees the same with its folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageDraw

import tinsmith
from tinsmith import _core, models
from tinsmith.compiler import build_image
from tinsmith.data.images import ImageSource
from tinsmith.data.readers import Example
from tinsmith.errors import DataError, FormatError, InputError, UnsupportedError
from tinsmith.runtime import Model
from tinsmith.runtime.vision import control_of
from tinsmith.spec import Spec
from tinsmith.tasks import by_name
from tinsmith.train import methods, run
from tinsmith.train.adapters import peft_folder
from tinsmith.train.adapters.peft_folder import VISION_WEIGHTS
from tinsmith.train.batches.sequences import shared_prefix
from tinsmith.train.beginning import scratch
from tinsmith.train.beginning import start as start_check
from tinsmith.train.job import Job
from tinsmith.train.merge import merge
from tinsmith.train.model import network, vision_adapter
from tinsmith.train.options import ScratchOptions, TrainOptions
from tinsmith.train.quantized import qat_adapter
from tinsmith.train.quantized.qat_adapter import Preparation
from tinsmith.train.tensors import to_float32
from tinsmith.train.vision import model
from tinsmith.train.vision.model import ImagePrompts, Preprocessor, VisionModel

TINY = ScratchOptions(
    vocabulary=288, context=64, layers=2, hidden=64,
    image_size=32, patch_size=8, patch_merge=2, vision_layers=1, vision_hidden=32,
)  # fmt: skip
OPTIONS = TrainOptions(
    task="chat", epochs=9, learning_rate=5e-3, batch_tokens=300, qat=None, renew=20, threads=1
)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> list[Example]:
    """A dark square, in one of four corners, which the answer names."""
    folder, found = tmp_path_factory.mktemp("shown"), []
    for n in range(24):
        corner, level = n % 4, 150 + 4 * n
        image = Image.new("RGB", (40, 30), (level, level, 255))
        x, y = 24 * (corner % 2), 18 * (corner // 2)
        ImageDraw.Draw(image).rectangle((x, y, x + 14, y + 10), fill=(n, 0, 0))
        image.save(folder / f"{n}.png")
        found.append(Example("where?", "abcd"[corner], images=(ImageSource(str(folder / f"{n}.png")),)))
    return found


@pytest.fixture(scope="module")
def start(shown: list[Example]) -> Spec:
    return scratch.start(TINY, shown, [], "", 0, "tiny")


@pytest.fixture(scope="module")
def encode(start: Spec, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[int]]:
    folder = tmp_path_factory.mktemp("start")
    models.save_hf(replace(start, vision=None), folder)
    model = tinsmith.load(folder, threads=1)
    return lambda text: model.tokenize(text, special=True)


def job(start: Spec, encode: Any, rows: Sequence[Example], held: Sequence[Example], folder: Path) -> Job:
    return Job(start, rows, held, OPTIONS, folder, encode=encode, is_new=True)


def theirs(folder: Path, prompt: Sequence[int], image: ImageSource) -> torch.Tensor:
    """The logits after each token of a prompt, by transformers' own model and processor."""
    from transformers import Idefics3ForConditionalGeneration
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

    with network.quiet():
        model, said = Idefics3ForConditionalGeneration.from_pretrained(
            folder, dtype=torch.float32, output_loading_info=True
        )
    assert not said["missing_keys"] and not said["unexpected_keys"]
    processor = Idefics3ImageProcessorPil.from_pretrained(folder)
    pixels = processor(image.pixels(), return_tensors="pt")
    with torch.no_grad():
        logits: torch.Tensor = model(input_ids=torch.tensor([list(prompt)]), **pixels).logits
    return logits[0]


def test_patches_are_cached_up_to_a_limit(
    shown: list[Example], start: Spec, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert start.vision
    preprocessor = Preprocessor(start.vision)
    first = [preprocessor.patches(one.images[0]) for one in shown]
    assert all(preprocessor.patches(one.images[0]) is made for one, made in zip(shown, first, strict=True))
    monkeypatch.setattr(model, "KEPT", 2 * first[0].nbytes)
    preprocessor = Preprocessor(start.vision)
    for one, made in zip(shown, first, strict=True):
        assert torch.equal(preprocessor.patches(one.images[0]), made)
    assert len(preprocessor._kept) == 2


def test_it_learns_from_images_and_transformers_sees_the_same(
    start: Spec, encode: Any, shown: list[Example], tmp_path: Path
) -> None:
    learned = job(start, encode, shown[:16], shown[16:], tmp_path)
    learned = replace(learned, options=replace(OPTIONS, epochs=40))
    result = run.train("full", learned)
    assert max(one.exact for one in result.validations) == 1
    trained = models.load(result.folder)
    assert trained.vision and trained.vision.tensors["patch"].data != start.vision.tensors["patch"].data  # type: ignore[union-attr]
    sequences = replace(learned, spec=trained).tokenization()(shown[20:22])
    whole = network.whole(trained)
    packing = whole.pack(sequences, 0)
    with torch.no_grad():
        ours = whole.logits(whole.answer_states(packing))
    wanted = torch.cat(
        [
            theirs(result.folder, (*one.prompt, *one.answer[:-1]), one.images[0])[-len(one.answer) :]
            for one in sequences
        ]
    )
    assert (ours - wanted).abs().max() < 1e-3 * wanted.abs().max()


@pytest.mark.parametrize("parts", [("projector",), ("language", "vision_encoder")])
def test_an_adapter_changes_the_parts_that_are_chosen_and_is_merged(
    parts: tuple[str, ...], start: Spec, encode: Any, shown: list[Example], tmp_path: Path
) -> None:
    options = TrainOptions(task="chat", epochs=1, learning_rate=1e-2, rank=4, qat=None, parts=parts, threads=1)
    given = replace(job(start, encode, shown[:8], shown[8:10], tmp_path), options=options, is_new=False)
    result = run.train("lora", given)
    merged = merge(start, result.folder)
    assert start.vision and merged.vision
    changed = {
        part: any(old[role].data != new[role].data for role in old if role.startswith("projector.") == is_joint)
        for part, old, new, is_joint in (
            ("language", start.tensors, merged.tensors, False),
            ("projector", start.vision.tensors, merged.vision.tensors, True),
            ("vision_encoder", start.vision.tensors, merged.vision.tensors, False),
        )
    }
    assert {part for part, is_changed in changed.items() if is_changed} == set(parts)
    trainee = methods.by_name("lora").trainee(given)
    trainee.take_mean([result.folder])
    sequences = given.tokenization()(shown[:2])
    whole = network.whole(merged)
    with torch.no_grad():
        adapted = trainee.network.answer_losses(trainee.network.pack(sequences, 0))[0]
        assert torch.allclose(adapted, whole.answer_losses(whole.pack(sequences, 0))[0], atol=2e-2)
    with pytest.raises(UnsupportedError, match="changes the vision model too, which only a merge does"):
        peft_folder.read(result.folder, start)
    blind = replace(given, spec=replace(start, vision=None), examples=[Example("a", "b")], validation=[])
    with pytest.raises(InputError, match="the base has no vision model; leave it out, or use"):
        methods.by_name("lora").trainee(blind)


def test_an_adapter_for_low_precision_files_begins_as_the_first_in_the_vision_half_too(
    start: Spec, encode: Any, shown: list[Example], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    options = replace(OPTIONS, epochs=1, rank=4, parts=("language", "projector"))
    given = replace(job(start, encode, shown[:8], shown[8:10], tmp_path), options=options, is_new=False)
    first = run.train("lora", given)
    further = qat_adapter.job_of(given, first, Preparation("Q4_0"))
    held = load_file(first.folder / VISION_WEIGHTS)
    assert any(value.any() for name, value in held.items() if ".lora_B." in name)
    begun = vision_adapter.weights(methods.by_name("lora").trainee(further).network)
    assert begun.keys() == held.keys()
    assert all(torch.equal(begun[name], held[name]) for name in held)
    start_check.check(first.folder, start)
    second = run.train("lora", further)
    assert merge(start, second.folder).vision != merge(start, first.folder).vision
    # Of another vision model training is another, and the mean of two copies of one is this one.
    before = peft_folder.digest_of(first.folder)
    mean = replace(further, options=replace(further.options, mean_of=2))
    trainee: Any = methods.by_name("lora").trainee(mean)
    trainee.result = tmp_path / "mean"
    trainee.keep()
    ours, theirs = merge(start, trainee.result).vision, merge(start, first.folder).vision
    assert ours and theirs
    for role, tensor in ours.tensors.items():
        assert to_float32(tensor) == pytest.approx(to_float32(theirs.tensors[role]), abs=1e-6)
    for parts, rank, said in (
        (("language", "vision_encoder"), 4, r"changes projector of .* would be vision_encoder; state parts"),
        (("language",), 4, r"changes projector of the vision model, .* would be nothing; state parts"),
        (("language", "projector"), 8, "has rank 4, but the recipe's"),
    ):
        other = replace(further, options=replace(further.options, parts=parts, rank=rank, alpha=8.0 * rank))
        with pytest.raises(InputError, match=said):
            methods.by_name("lora").trainee(other)
    held["projector.project.lora_A.weight"][0, 0] = torch.inf
    save_file(held, first.folder / VISION_WEIGHTS)
    for broken in (lambda: merge(start, first.folder), lambda: methods.by_name("lora").trainee(further)):
        with pytest.raises(FormatError, match="projector.project.lora_A.weight has values that are infinite"):
            broken()
    (first.folder / VISION_WEIGHTS).write_bytes(b"{")
    assert peft_folder.digest_of(first.folder) != before
    with pytest.raises(FormatError, match="are no safetensors file"):
        methods.by_name("lora").trainee(further)


def test_a_prompt_has_the_tokens_that_idefics3_has(start: Spec, shown: list[Example]) -> None:
    pytest.importorskip("transformers")
    vision = start.vision
    assert vision
    image = shown[0].images[0]

    def written(spec: Spec, *images: ImageSource) -> str:
        asked = by_name("chat").messages(Example("b", "", images=images))
        prompt, whole = ImagePrompts(spec, control_of(())).written(asked, images, "c")
        assert whole.startswith(prompt + "c")
        return prompt

    tail = "b" + written(start).partition("b")[2]
    alone = "<fake_token_around_image><global-img><image><image><image><image><fake_token_around_image>"
    assert written(start, image, image).endswith(alone + alone + tail)
    cut = replace(vision, image_rules=replace(vision.image_rules, longest=64, split=True))  # type: ignore[call-arg]
    tiled = replace(start, vision=cut)
    tile = "<fake_token_around_image><row_{}_col_{}>" + 4 * "<image>"
    rows = ["".join(tile.format(r, c) for c in (1, 2)) for r in (1, 2)]
    whole = "<fake_token_around_image><global-img>" + 4 * "<image>" + "<fake_token_around_image>"
    assert written(tiled, image).endswith(f"{rows[0]}\n{rows[1]}\n\n{whole}{tail}")
    with torch.no_grad():
        assert VisionModel(tiled).rows([image]).shape == (5 * 4, TINY.hidden)


def test_a_prompt_in_training_is_that_of_a_run_and_so_are_its_answers(
    start: Spec, encode: Any, shown: list[Example], tmp_path: Path
) -> None:
    image = build_image(start)
    model = Model(_core.Model(image), image, threads=1)
    examples = [shown[0], replace(shown[1], input=""), replace(shown[2], images=shown[2].images * 2)]
    sequences = job(start, encode, [], [], tmp_path).tokenization()(examples)
    whole = network.whole(start)
    for example, sequence in zip(examples, sequences, strict=True):
        asked = by_name("chat").messages(example)
        prompt = model.render(asked)
        assert len(prompt) == len(sequence.prompt)
        same = [ours == theirs for ours, theirs in zip(prompt, sequence.prompt, strict=True)]
        assert [place for place, is_same in enumerate(same) if not is_same] == [
            place for tile in sequence.tiles for place in range(tile.first, tile.end)
        ]
        with torch.no_grad():
            likeliest = int(whole.answer_losses(whole.pack([sequence], 0))[1][0])
        assert model.chat(asked, max_tokens=1, temperature=0).token_ids[:1] == [likeliest]


def test_packed_or_padded_images_stay_with_their_sequences(
    start: Spec, encode: Any, shown: list[Example], tmp_path: Path
) -> None:
    two = replace(shown[2], images=(shown[2].images[0], shown[1].images[0]))
    plain = Example("what?", "d")
    sequences = job(start, encode, [], [], tmp_path).tokenization()([shown[0], two, plain])
    assert [sum(tile.down * tile.across for tile in one.tiles) for one in sequences] == [4, 8, 0]
    shared = len(shared_prefix(sequences[:2]))
    assert shared <= sequences[0].tiles[0].first
    whole = network.whole(start)
    with torch.no_grad():
        alone = torch.cat([whole.answer_losses(whole.pack([one], 0))[0] for one in sequences])
        packed = whole.answer_losses(whole.pack(sequences, 0))[0]
        padded = whole.answer_losses(replace(whole, packs=False).pack(sequences, 0))[0]
        pair = whole.answer_losses(whole.pack(sequences[:2], shared))[0]
    assert torch.allclose(packed, alone, atol=1e-4) and torch.allclose(padded, alone, atol=1e-4)
    assert torch.allclose(pair, alone[: len(pair)], atol=1e-4)
    other = replace(sequences[0], images=shown[1].images)
    with torch.no_grad():
        assert not torch.allclose(whole.answer_losses(whole.pack([other], 0))[0], alone[:2], atol=1e-4)


def test_what_cannot_be_shown_is_said(start: Spec, encode: Any, shown: list[Example], tmp_path: Path) -> None:
    blind = replace(start, vision=None)
    with pytest.raises(DataError, match="example 1 has an image, and the base takes none"):
        job(blind, encode, [], [], tmp_path).tokenization()(shown[:1])
    odd = replace(shown[0], input="an <image> of what?")
    with pytest.raises(DataError, match="example 1: message 1: its content holds '<image>'"):
        job(start, encode, [], [], tmp_path).tokenization()([odd])
    with pytest.raises(
        InputError, match=r"image_size = 40 is no multiple of patch_size \* patch_merge, which is 16; give one"
    ):
        scratch.start(replace(TINY, image_size=40), shown, [], "", 0, "tiny")


def test_levels_are_those_of_the_images(start: Spec, shown: list[Example]) -> None:
    levels = torch.stack(
        [torch.tensor(list(one.images[0].pixels().tobytes())).view(-1, 3) / 255 for one in shown]
    ).flatten(0, 1)
    assert start.vision
    images = start.vision.image_rules
    assert images.mean == pytest.approx(levels.mean(0).tolist(), abs=1e-4)
    assert images.std == pytest.approx(levels.std(0, correction=0).tolist(), abs=1e-4)


def test_where_a_patch_lies_is_as_large_as_what_it_shows(start: Spec, shown: list[Example]) -> None:
    assert start.vision
    model, side = VisionModel(start), start.vision.sizes.side
    pixels = torch.stack([model.preprocessor.patches(one.images[0]) for one in shown])
    states = model.get_submodule("patch")(pixels)
    rows = model.get_parameter("positions")
    assert rows.square().mean(1).numpy() == pytest.approx(1, abs=1e-5)
    assert 0.3 < states.square().mean() < 3
    # How alike two of them are follows from how far apart they lie, and is most where they are one.
    alike = (rows @ rows.T / rows.shape[1]).view(side, side, side, side)
    assert torch.allclose(alike[1:, 1:, 1:, 1:], alike[:-1, :-1, :-1, :-1], atol=1e-5)
    assert (rows @ rows.T / rows.shape[1] - torch.eye(side**2)).max() < 0.95


def test_the_folder_says_how_images_are_cut(start: Spec, tmp_path: Path) -> None:
    models.save_hf(start, tmp_path)
    again = models.load(tmp_path)
    assert again.vision and start.vision
    assert (again.vision.sizes, again.vision.image_rules) == (start.vision.sizes, start.vision.image_rules)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["architectures"] == ["Idefics3ForConditionalGeneration"]
