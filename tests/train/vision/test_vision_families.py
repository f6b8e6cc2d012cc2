"""Every family's encoder and projector in training, beside transformers' own models: prompts, losses, gradients
of what an adapter changes, and what is left when it is merged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train.tiny_training import killed_and_resumed
from tests.vision.chat_models import given, photo, split, with_words
from tests.vision.vision_models import IMAGE, save_random
from tinsmith import _core, models
from tinsmith.compiler import build_image
from tinsmith.compiler.vision import graph_of
from tinsmith.data.images import ImageSource
from tinsmith.data.readers import Example
from tinsmith.errors import FormatError, InputError
from tinsmith.models import family
from tinsmith.quant import vision as quant_vision
from tinsmith.runtime import Model
from tinsmith.spec import Spec
from tinsmith.tasks import by_name
from tinsmith.train import methods, run
from tinsmith.train.adapters.peft_folder import VISION_WEIGHTS
from tinsmith.train.batches.sequences import TokenSequence
from tinsmith.train.job import Job
from tinsmith.train.merge import merge
from tinsmith.train.model import network
from tinsmith.train.options import TrainOptions
from tinsmith.train.tensors import from_folder, to_float32
from tinsmith.vision.parts import tensors_of

CASES = ("smolvlm", "lfm2_vl", "gemma3", "qwen35", "qwen3vl")
# Weights moved by 6e-8 of themselves move transformers' own gradients of this model by up to 7e-4.
NEAR = {"qwen35": 5e-3}
ALL = ("language", "projector", "vision_encoder")
OPTIONS = TrainOptions(
    task="chat",
    epochs=2,
    learning_rate=3e-3,
    rank=4,
    qat=None,
    renew=2,
    batch_tokens=120,
    parts=ALL,
    threads=1,
)


@dataclass(frozen=True)
class Seeing:
    """theirs: transformers' model; spec, model: ours; examples: with images of several shapes."""

    case: str
    theirs: Any
    spec: Spec
    model: Model
    examples: list[Example]

    def job(self, folder: Path, **options: Any) -> Job:
        encode = lambda text: self.model.tokenize(text, special=True)  # noqa: E731
        given = replace(OPTIONS, **options)
        return Job(self.spec, self.examples, self.examples[:2], given, folder, encode=encode)

    def logits(self, model: Any, sequence: TokenSequence) -> Any:
        """transformers', of what predicts the answer."""
        import numpy as np
        from PIL import Image

        shown = [np.asarray(Image.open(str(one.path))) for one in sequence.images]
        tiles = [tile for one in shown for tile in split(self.model, one)[1]]
        ids = torch.tensor([[*sequence.prompt, *sequence.answer[:-1]]])
        more = given(self.case, tiles, ids) if tiles else {}
        return model(input_ids=ids, **more).logits[0, -len(sequence.answer) :]


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Seeing]:
    from PIL import Image

    @cache
    def of(case: str) -> Seeing:
        folder = tmp_path_factory.mktemp(case)
        theirs = save_random(case, folder)
        spec = with_words(case, models.load(folder))
        paths = []
        for number, (width, height) in enumerate(((50, 40), (90, 40), (33, 61))):
            paths.append(ImageSource(str(folder / f"{number}.png")))
            Image.fromarray(photo(width, height, number)).save(str(paths[-1].path))
        examples = [
            Example("what?", "the", images=(paths[0],)),
            Example("and what?", "thing", images=(paths[1], paths[2])),
            Example("nothing", "is here"),
            Example("what?", "a thing", images=(paths[2],)),
        ]
        image = build_image(spec)
        return Seeing(case, theirs, spec, Model(_core.Model(image), image, threads=1), examples)

    return of


def worst(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float(((ours - theirs).abs().max() / theirs.abs().max()).detach())


@pytest.mark.parametrize("case", CASES)
def test_losses_and_gradients_are_those_of_transformers(
    seeing: Callable[[str], Seeing], case: str, tmp_path: Path
) -> None:
    one = seeing(case)
    sequences = one.job(tmp_path).tokenization()(one.examples)
    for example, sequence in zip(one.examples, sequences, strict=True):
        prompt = one.model.render(by_name("chat").messages(example))
        seen = [token if token >= 0 else IMAGE for token in getattr(prompt, "ids", prompt)]
        assert seen == list(sequence.prompt)
    theirs = one.theirs.requires_grad_(True)
    theirs.zero_grad()
    losses = [
        torch.nn.functional.cross_entropy(one.logits(theirs, each), torch.tensor(each.answer), reduction="none")
        for each in sequences
    ]
    torch.cat(losses).sum().backward()
    trainee = methods.by_name("lora").trainee(one.job(tmp_path))
    ours = trainee.network
    for packed in (ours, replace(ours, packs=False)):
        ours.model.zero_grad()
        got = packed.answer_losses(packed.pack(sequences, 0))[0]
        assert torch.allclose(got, torch.cat(losses), atol=2e-4)
        got.sum().backward()
        # B is 0 as yet, and so its gradient says what a matrix's own is: scale * that * A's transpose.
        for wanted, module in adapted(one, ours, {name: p.grad for name, p in theirs.named_parameters()}):
            a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
            assert worst(b.grad, module.scaling["default"] * wanted @ a.T) < NEAR.get(case, 1e-5)


def adapted(one: Seeing, ours: network.Network, found: dict[str, Any]) -> list[tuple[torch.Tensor, Any]]:
    """transformers' gradient of each matrix that has factors, and the module that has them."""
    assert one.spec.vision

    def theirs(name: Any) -> Any:
        end = name.hf.split("vision_model.", 1)[-1].removeprefix("model.")
        return found[min((key for key in found if key.endswith(end)), key=len)]

    names = tensors_of(one.spec.vision)
    own = {name.role: from_folder(name, theirs(name).numpy()) for name in names}
    graph = graph_of(replace(one.spec.vision, tensors=own))[0]
    pairs = [
        (torch.from_numpy(to_float32(graph.tensors[role])), ours.vision.get_submodule(role))
        for role in ours.vision.matrices
    ]
    language = {name.role: name for name in family.by_name(one.spec.family).tensors(one.spec.hyper)}
    return pairs + [(theirs(language[role]), module) for role, module in ours.linears.items()]


@pytest.mark.parametrize("case", CASES)
def test_a_merged_adapter_is_what_transformers_and_the_core_compute(
    seeing: Callable[[str], Seeing], case: str, tmp_path: Path
) -> None:
    one = seeing(case)
    given = one.job(tmp_path)
    result = run.train("lora", given)
    merged = merge(one.spec, result.folder)
    assert one.spec.vision and merged.vision
    old, new = one.spec.vision.tensors, merged.vision.tensors
    changed = {role for role in old if bytes(old[role].data) != bytes(new[role].data)}
    assert {
        role for role in old if "norm" in role or "bias" in role or role in ("patch", "positions")
    }.isdisjoint(changed)
    assert any(role.startswith("projector.") for role in changed) and "layers.0.down" in changed
    models.save_hf(merged, tmp_path / "merged")
    theirs = loaded(one.theirs, tmp_path / "merged")
    trainee = methods.by_name("lora").trainee(given)
    trainee.take_mean([result.folder])
    sequences = given.tokenization()(one.examples)
    image = build_image(merged)
    model = Model(_core.Model(image), image, threads=1)
    with torch.no_grad():
        trainee.network.model.eval()
        adapted = trainee.network
        ours = adapted.logits(adapted.answer_states(adapted.pack(sequences, 0)))
        wanted = torch.cat([one.logits(theirs, each) for each in sequences])
    assert worst(ours, wanted) < 2e-3
    for example, row in zip(one.examples, wanted[starts(sequences)], strict=True):
        session = model.open_session(model.render(by_name("chat").messages(example)), 8)
        assert session.step() == _core.STEP_LOGITS
        assert worst(torch.frombuffer(bytearray(session.logits()[1]), dtype=torch.float32), row) < 2e-3


def starts(sequences: Sequence[TokenSequence]) -> list[int]:
    """Where among all answers' tokens each answer begins."""
    return [sum(len(one.answer) for one in sequences[:k]) for k in range(len(sequences))]


def loaded(like: Any, folder: Path) -> Any:
    with network.quiet():
        model, said = type(like).from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    assert not said["missing_keys"] and not said["unexpected_keys"]
    return model.eval()


def test_a_killed_run_ends_as_another(seeing: Callable[[str], Seeing], tmp_path: Path) -> None:
    one = seeing("qwen35")
    job = one.job(tmp_path)
    whole = killed_and_resumed(
        "lora", one.spec, job.examples, job.validation, replace(OPTIONS, epochs=4), tmp_path, encode=job.encode
    )
    assert (whole.folder / VISION_WEIGHTS).exists()


def test_an_adapter_leaves_what_it_is_not_of_and_another_base_s_is_refused(
    seeing: Callable[[str], Seeing], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    one = seeing("qwen35")
    # A batch an example: of a text alone the projector learns nothing.
    result = run.train("lora", one.job(tmp_path, parts=("projector",), epochs=1, batch_tokens=1))
    assert one.spec.vision
    half = quant_vision.apply(one.spec.vision, "Q8_0")
    merged = merge(replace(one.spec, vision=half), result.folder).vision
    assert merged
    changed = {role for role, tensor in half.tensors.items() if merged.tensors[role] != tensor}
    assert changed == {"projector.up", "projector.down"}
    assert {merged.tensors[role].format for role in changed} == {"F32"}
    held = load_file(result.folder / VISION_WEIGHTS)
    assert len(held) == 4 and all(name.startswith("projector.") for name in held)
    for change in (
        {"projector.none.lora_A.weight": torch.ones(1, 1)},
        {"projector.up.lora_A.weight": torch.ones(4, 3)},
    ):
        save_file(held | change, result.folder / VISION_WEIGHTS)
        with pytest.raises(FormatError, match="give the adapter's own base"):
            merge(one.spec, result.folder)


@pytest.mark.parametrize("method", ["prefix", "distill", "grpo"])
def test_methods_that_learn_of_no_images_say_so(
    method: str, seeing: Callable[[str], Seeing], tmp_path: Path
) -> None:
    job = seeing("lfm2_vl").job(tmp_path)
    blind = [replace(example, images=()) for example in job.examples]
    for shown in (replace(job, examples=blind), replace(job, validation=blind)):
        with pytest.raises(InputError, match=f'method = "{method}" trains on no images; use "lora"'):
            run.train(method, shown)
