"""Vision halves of folders that transformers wrote: read, written, refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.vision.vision_models import CASES, IMAGE
from tinsmith import models
from tinsmith.errors import FormatError, TinsmithError, UnsupportedError
from tinsmith.formats import safetensors
from tinsmith.vision.facts import from_facts, to_facts
from tinsmith.vision.parts import tensors_of

# A norm's weight that a folder stores minus one is a float32 plus one here: half a unit of it is lost.
ROUNDED = 2.0**-24


@pytest.mark.parametrize("case", CASES)
def test_a_folder_s_vision_half_is_read_whole_and_written_back(
    case: str, folder_of: Callable[[str], Path], tmp_path: Path
) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    theirs = folder_of(case)
    spec = models.load(theirs)
    assert spec.vision is not None
    assert spec.notes == ()
    assert spec.vision.tokens["image"] == IMAGE
    assert spec.vision.joint.dim == spec.hyper.dim
    assert spec.vision.tensors.keys() == {name.role for name in tensors_of(spec.vision)}
    models.save_hf(spec, tmp_path)
    assert models.load(tmp_path).vision == spec.vision
    kinds = {"dtype": torch.float32}
    before, after = (
        transformers.AutoModelForImageTextToText.from_pretrained(folder, **kinds).state_dict()
        for folder in (theirs, tmp_path)
    )
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert (tensor - after[name]).abs().max() <= ROUNDED, name


def test_facts_are_all_but_the_tensors(folder_of: Callable[[str], Path]) -> None:
    for case in CASES:
        vision = models.load(folder_of(case)).vision
        assert vision is not None
        facts = json.loads(json.dumps(to_facts(vision)))
        assert to_facts(from_facts(facts, "manifest.json")) == to_facts(vision)
        for key in facts:
            with pytest.raises(FormatError, match=r"manifest\.json"):
                from_facts({**facts, key: None}, "manifest.json")
        for key in facts["sizes"]:
            with pytest.raises(FormatError, match=f"manifest.json.*{key}"):
                from_facts({**facts, "sizes": {**facts["sizes"], key: -1}}, "manifest.json")


def test_a_folder_that_does_not_say_how_images_are_cut_is_text_only(
    folder_of: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = copied(folder_of("smolvlm"), tmp_path)
    (folder / "preprocessor_config.json").unlink()
    spec = models.load(folder)
    assert spec.vision is None
    assert any("preprocessor_config.json" in note and "text only" in note for note in spec.notes)


def test_the_newer_file_of_a_processor_is_read_too(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    folder = copied(folder_of("qwen35"), tmp_path)
    older = folder / "preprocessor_config.json"
    table = json.loads(older.read_text())
    table.pop("resample")
    older.unlink()
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": table}))
    assert models.load(folder).vision == models.load(folder_of("qwen35")).vision


def in_json(name: str, change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def changed(folder: Path) -> None:
        table = json.loads((folder / name).read_text())
        change(table)
        (folder / name).write_text(json.dumps(table))

    return changed


def config(**sizes: Any) -> Callable[[Path], None]:
    return in_json("config.json", lambda table: table["vision_config"].update(sizes))


def processor(**facts: Any) -> Callable[[Path], None]:
    return in_json("preprocessor_config.json", lambda table: table.update(facts))


def without_a_tensor(folder: Path) -> None:
    stored = safetensors.read_folder(folder)
    stored.pop("model.connector.modality_projection.proj.weight")
    safetensors.write(folder / safetensors.SINGLE, stored, {"format": "pt"})


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (without_a_tensor, FormatError, "modality_projection.*missing"),
        (config(hidden_act="relu"), UnsupportedError, "hidden_act is 'relu'.*supported: 'gelu_pytorch_tanh'"),
        (config(num_channels=1), UnsupportedError, "num_channels is 1"),
        (config(num_attention_heads=7), FormatError, "width 64 is no multiple of its 7 heads"),
        (config(num_hidden_layers=10**9), FormatError, "layers 1000000000.*1 to 1024"),
        (config(patch_size=10**6), FormatError, "patch 1000000.*1 to 256"),
        (config(image_size=4), FormatError, "side 0"),
        (config(intermediate_size=48), FormatError, "shape"),
        (in_json("config.json", lambda table: table.pop("vision_config")), FormatError, "no vision_config"),
        (in_json("config.json", lambda table: table.update(image_token_id=5000)), FormatError, "'<image>'"),
        (in_json("config.json", lambda table: table.update(scale_factor=0)), FormatError, "scale_factor is 0"),
        (processor(resample=7), UnsupportedError, "resample is 7.*lanczos"),
        (processor(image_std=[0.5]), FormatError, "image_std.*3 numbers"),
        (processor(do_rescale=False), UnsupportedError, "do_rescale is False"),
        (processor(rescale_factor=1.0), UnsupportedError, "rescale_factor is 1.0"),
        (processor(size=5), FormatError, "size is 5; it must be a table"),
    ],
)
def test_what_is_no_vision_half_is_one_clear_line(
    change: Callable[[Path], None],
    error: type[TinsmithError],
    says: str,
    folder_of: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    folder = copied(folder_of("smolvlm"), tmp_path)
    change(folder)
    with pytest.raises(error, match=says) as raised:
        models.load(folder)
    assert str(raised.value).startswith(str(folder))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([0, 9], r"layers \[0, 9\]; give some of 4, in order"),
        ([2, 0], r"layers \[2, 0\]"),
        ([0, -1], "deepstack_visual_indexes is .*a list of the encoder's layers"),
        (3, "vision_config.*a list deepstack_visual_indexes"),
        ([0, 1, 2, 3], "states of 4 encoder layers need as many; there are 3"),
    ],
)
def test_layers_that_nothing_takes_are_refused(
    given: Any, says: str, folder_of: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = copied(folder_of("qwen3vl"), tmp_path)
    config(deepstack_visual_indexes=given)(folder)
    with pytest.raises(TinsmithError, match=says):
        models.load(folder)


def copied(folder: Path, into: Path) -> Path:
    return Path(shutil.copytree(folder, into / "copy"))
