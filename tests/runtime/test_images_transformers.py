"""What an image's rows see and where they stand, beside transformers' own: gemma3's that see each other,
qwen35's positions by time, row and column, and what qwen3vl's first layers take up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.models.transformers_models import save_random, some_tokens
from tinsmith import _core, models
from tinsmith.compiler import build, build_image
from tinsmith.errors import RuntimeFault
from tinsmith.graph import GraphBuilder

np, torch = pytest.importorskip("numpy"), pytest.importorskip("torch")

CONTEXT = 160
LOGITS, PENDING, IDLE = _core.STEP_LOGITS, _core.STEP_PENDING, _core.STEP_IDLE
# Where images begin, and their rows and columns; of the 120 positions, one has more than gemma3's window of 40.
PLACES = ((3, 4, 5), (25, 5, 2), (37, 2, 3), (50, 6, 8))
ROWS = 120


def seeing(patch: pytest.MonkeyPatch, folder: Path) -> _core.Model:
    """The model of the folder as its family is where there are images."""
    patch.setattr(build, "GraphBuilder", lambda tensors, images: GraphBuilder(tensors, images=True))
    return _core.Model(build_image(models.load(folder)))


def prompt(core: _core.Model, given: Any) -> tuple[list[int], list[Any]]:
    ids = some_tokens(core.info()["vocab"], ROWS)
    images = []
    for first, high, wide in PLACES:
        count = high * wide
        ids[first : first + count] = [_core.EMBEDDED] * count
        rows = given[first : first + count].tobytes()
        images.append((first, count, wide, bytes([first]) * 32, rows))
    return ids, images


def logits(session: _core.Session, budget: int = 0) -> Any:
    data = b""
    while (event := session.step(budget)) in (LOGITS, PENDING):
        data += session.logits()[1] if event == LOGITS else b""
    assert event == IDLE
    return np.frombuffer(data, np.float32).reshape(ROWS, -1)


def embedded(theirs: Any, ids: list[int], given: Any) -> Any:
    """The input states: [1, ROWS, dim]."""
    known = torch.tensor([[max(token, 0) for token in ids]])
    states = theirs.get_input_embeddings()(known)
    image = torch.tensor([[token == _core.EMBEDDED for token in ids]])
    return torch.where(image[..., None], torch.from_numpy(given)[None], states)


def close(ours: Any, theirs: Any) -> None:
    worst, reach = float(np.abs(ours - theirs).max()), float(theirs.max() - theirs.min())
    assert worst <= 1e-3 * reach, f"worst {worst:.3g} of {reach:.3g}"


def same_bits(core: _core.Model, ids: list[int], images: list[Any], expected: Any, least: int) -> None:
    """However it is cut; least: the smallest chunk."""
    for options in ({"chunk": least, "logit_rows": least}, {"chunk": 64, "logit_rows": 64, "threads": 2}):
        session = _core.Session(core, context=CONTEXT, tiles=8, image_rows=CONTEXT, **options)
        session.want_logits(0)
        session.append(ids, images)
        assert logits(session, 1).tobytes() == expected.tobytes()
    batch = _core.Batch(core, rows=least, threads=2)
    several = [
        _core.Session(core, context=CONTEXT, tiles=8, image_rows=CONTEXT, batched=True) for _ in range(3)
    ]
    for session in several:
        session.append(ids, images)
        batch.add(session)
    ends: dict[int, bytes] = {}
    while len(ends) < 3:
        ends |= {k: several[k].logits()[1] for k, event in enumerate(batch.step()) if event == LOGITS}
    assert set(ends.values()) == {expected[-1].tobytes()}


def given_rows(dim: int) -> Any:
    return np.random.default_rng(5).normal(0, 1, (ROWS, dim)).astype(np.float32)


def test_rows_of_one_image_see_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gemma3 = pytest.importorskip("transformers.models.gemma3.modeling_gemma3")
    theirs = save_random("gemma3", tmp_path)
    core = seeing(monkeypatch, tmp_path)
    given = given_rows(core.info()["dim"])
    ids, images = prompt(core, given)
    with torch.no_grad():
        states = embedded(theirs, ids, given)
        kinds = torch.tensor([[int(token == _core.EMBEDDED) for token in ids]])
        seen = gemma3.create_masks_for_vision_model(
            config=theirs.config,
            inputs_embeds=states,
            attention_mask=None,
            cache=None,
            position_ids=torch.arange(ROWS)[None],
            block_sequence_ids=gemma3.get_block_sequence_ids_for_mask(kinds),
        )
        expected = theirs(inputs_embeds=states, attention_mask=seen).logits[0].numpy()
    session = _core.Session(core, context=CONTEXT, chunk=120, logit_rows=120, tiles=8, image_rows=CONTEXT)
    session.want_logits(0)
    session.append(ids, images)
    ours = logits(session)
    close(ours, expected)
    same_bits(core, ids, images, ours, 48)
    small = _core.Session(core, context=CONTEXT, chunk=47, tiles=8, image_rows=CONTEXT)
    with pytest.raises(RuntimeFault, match="larger chunk"):
        small.append(ids, images)


def test_positions_are_of_time_row_and_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = save_random("qwen35", tmp_path)
    core = seeing(monkeypatch, tmp_path)
    given = given_rows(core.info()["dim"])
    ids, images = prompt(core, given)
    places = graded_places(ids)
    with torch.no_grad():
        states = embedded(theirs, ids, given)
        expected = theirs(inputs_embeds=states, position_ids=places).logits[0].numpy()
    everywhere(core, ids, images, expected)


def graded_places(ids: list[int]) -> Any:
    transformers = pytest.importorskip("transformers")
    config = transformers.Qwen3_5Config(vision_config={"depth": 1})
    merge = config.vision_config.spatial_merge_size
    whole = transformers.models.qwen3_5.modeling_qwen3_5.Qwen3_5Model
    kinds = torch.tensor([[int(token == _core.EMBEDDED) for token in ids]])
    grids = torch.tensor([[1, high * merge, wide * merge] for _, high, wide in PLACES])
    with torch.no_grad(), torch.device("meta"):
        shell = whole(config)
    with torch.no_grad():
        places, _ = shell.get_rope_index(torch.tensor([ids]), kinds, image_grid_thw=grids)
    return places


def everywhere(core: _core.Model, ids: list[int], images: list[Any], expected: Any) -> None:
    session = _core.Session(core, context=CONTEXT, chunk=120, logit_rows=120, tiles=8, image_rows=CONTEXT)
    session.want_logits(0)
    session.append(ids, images)
    ours = logits(session)
    close(ours, expected)
    same_bits(core, ids, images, ours, 7)


def test_first_layers_take_up_further_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = save_random("qwen3vl", tmp_path)
    core = seeing(monkeypatch, tmp_path)
    dim = theirs.config.hidden_size
    assert core.info()["dim"] == 3 * dim
    given = given_rows(3 * dim)
    ids, images = prompt(core, given)
    trunk = transformers.Qwen3VLTextModel(transformers.Qwen3VLTextConfig(**theirs.config.to_dict()))
    trunk.load_state_dict(theirs.model.state_dict())
    seen = torch.tensor([[token == _core.EMBEDDED for token in ids]])
    with torch.no_grad():
        parts = torch.from_numpy(given)[seen[0]].view(-1, 3, dim)
        states = embedded(theirs, ids, given[:, :dim])
        out = trunk(
            inputs_embeds=states,
            position_ids=graded_places(ids),
            visual_pos_masks=seen,
            deepstack_visual_embeds=[parts[:, 1], parts[:, 2]],
        )
        expected = theirs.lm_head(out.last_hidden_state)[0].numpy()
    everywhere(core, ids, images, expected)
