"""Images for Cortex-M on the boards that qemu plays: this machine's logits, and the memory that was planned."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

import tinsmith
from tests.models import random_adapters
from tests.models.tiny_models import tiny_spec
from tests.models.transformers_models import CHATML
from tinsmith import _core, compiler, models, plan, targets
from tinsmith.chat.chat_template import with_system
from tinsmith.compiler import selftest
from tinsmith.cross import firmware, verify
from tinsmith.errors import InputError, UnsupportedError
from tinsmith.formats.tin import CONSTRAINT
from tinsmith.plan.contents import MASKS, of_tin
from tinsmith.quant import files, model
from tinsmith.system.files import map_file
from tinsmith.system.progress import PlainDisplay
from tinsmith.train.adapters import tin as adapter_tin

BOARDS = ["cortex-m55", "cortex-m7"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not shutil.which(firmware.GCC),
        reason=f"{firmware.GCC} is not installed (Debian: {firmware.DEBIAN[firmware.GCC]})",
    ),
    pytest.mark.skipif(not shutil.which(firmware.QEMU), reason=f"{firmware.QEMU} is not installed"),
]


def digests(tin: Path) -> list[str]:
    """Those that the tin carries, which this machine gives too."""
    core = _core.Model(map_file(tin))
    prompts = list(selftest.read(core.entry("selftest.bin")))
    assert [selftest.logits_digest(core, tokens) for tokens, _ in prompts] == [digest for _, digest in prompts]
    return [digest for _, digest in prompts]


@dataclass
class Report:
    """An image's output of its self-test. digests: of every prompt, by adapter ("" for none) and set.
    constrained: the digest of a constrained answer's tokens, by adapter and set. sizes: bytes by use."""

    digests: dict[str, dict[str, list[str]]] = field(default_factory=lambda: defaultdict(dict))
    constrained: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    sizes: dict[str, int] = field(default_factory=dict)


def measured(built: firmware.Image, tin: Path, target: targets.Target) -> Report:
    report = Report()
    for line in firmware.run(built, tin, target).splitlines():
        match line.split():
            case ["digest", name, _, digest, _, *adapter]:
                report.digests["".join(adapter)].setdefault(name, []).append(digest)
            case ["constrained", name, _, digest, _, *adapter]:
                report.constrained["".join(adapter)][name] = digest
            case [name, value] if value.isdigit():
                report.sizes[name] = int(value)
    return report


@pytest.fixture(scope="module")
def tin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("firmware") / "tiny, with a comma.tin"
    shape = {"hidden_size": 96, "intermediate_size": 384, "num_attention_heads": 6}
    spec = tiny_spec("llama", max_position_embeddings=512, **shape)
    compiler.build_tin(model.apply(spec, "Q8_0"), path)
    return path


Builder = Callable[[str], firmware.Image]


@pytest.fixture(scope="module")
def built(tin: Path) -> Builder:
    made: dict[str, firmware.Image] = {}

    def build(board: str) -> firmware.Image:
        if board not in made:
            made[board] = firmware.image(tin, targets.load(board), tin.parent / board, PlainDisplay())
        return made[board]

    return build


@pytest.mark.parametrize("board", BOARDS)
def test_every_set_gives_the_digests_of_this_machine_in_the_memory_that_was_planned(
    tin: Path, built: Builder, board: str
) -> None:
    target, image = targets.load(board), built(board)
    report = measured(image, tin, target)
    assert report.digests == {"": {isa: digests(tin) for isa in target.cpu.isa}}
    used = report.sizes.pop("stack_used")
    assert report.sizes == image.sizes
    assert 0 < used < report.sizes["stack_bytes"] // 2
    core = _core.Model(map_file(tin))
    session = _core.Session(core, context=report.sizes["context"], chunk=report.sizes["chunk"])
    assert report.sizes["session_bytes"] == session.size()
    planned = plan.memory_of(of_tin(tin), target, plan.Options(context=report.sizes["context"]))
    assert report.sizes["session_bytes"] == planned.session.bytes
    assert report.sizes["model_bytes"] == planned.model
    assert report.sizes["static_bytes"] + report.sizes["stack_bytes"] == planned.firmware
    assert report.sizes["ram_bytes"] == planned.ram
    # Nothing of the file is copied: ram holds less than the weights alone.
    assert report.sizes["ram_bytes"] < core.info()["weight_bytes"]
    assert image.binary.stat().st_size == report.sizes["code_bytes"]


def test_an_image_is_the_same_bytes_wherever_it_is_built(tin: Path, built: Builder, tmp_path: Path) -> None:
    again = firmware.image(tin, targets.load("cortex-m7"), tmp_path / "elsewhere", PlainDisplay())
    files = sorted(path.name for path in built("cortex-m7").elf.parent.iterdir())
    assert files == sorted(path.name for path in again.elf.parent.iterdir())
    for name in files:
        assert (again.elf.parent / name).read_bytes() == (built("cortex-m7").elf.parent / name).read_bytes()


def test_an_image_answers_as_this_machine_does(tin: Path, built: Builder) -> None:
    prompt, image = "hello, you", built("cortex-m55")
    core = _core.Model(map_file(tin))
    session = _core.Session(core, context=image.sizes["context"], chunk=8)
    tokens = core.tokenize(prompt, 2)
    session.append(tokens)
    session.generate(image.sizes["context"] - len(tokens))
    text = b""
    while session.step() == _core.STEP_TOKEN:
        piece, control, _ = core.token(session.token())
        text += b"" if control else piece
    printed = firmware.run(image, tin, targets.load("cortex-m55"), [prompt])
    assert printed == text.replace(b"\0", b"").decode("utf-8", "replace") + "\n"


@pytest.mark.parametrize("board", BOARDS)
def test_an_adapter_in_flash_gives_the_bits_of_this_machine(tmp_path: Path, board: str) -> None:
    """Its factors are used where they lie, its self-test is the image's too, and it is asked as it was trained;
    what it brings, or the file, holds its answers."""
    target, path = targets.load(board), tmp_path / "held.tin"
    shape = {"hidden_size": 64, "intermediate_size": 96, "max_position_embeddings": 512}
    spec = replace(model.apply(tiny_spec("llama", **shape), "Q8_0"), chat_template=CHATML)
    compiler.build_tin(spec, path, entries={CONSTRAINT: tinsmith.regex("[ab]{9}[cd]{9}").data})
    own = {CONSTRAINT: tinsmith.choices(["left turn", "right turn", "no turn"]).data}
    for name, rank, template, brought in (
        ("lamps", 6, with_system(CHATML, "Name a lamp."), adapter_tin.Extra()),
        ("doors", 20, None, adapter_tin.Extra(entries=own)),
    ):
        folder = random_adapters.folder(spec, tmp_path / name, template, rank=rank)
        adapter_tin.add(path, name, folder, path, "Q8_0", brought)
    image = firmware.image(path, target, tmp_path / board, PlainDisplay(), context=96)
    core, held = _core.Model(map_file(path)), adapter_tin.listed(path)
    report = measured(image, path, target)
    expected = {"": digests(path), **{name: held[name]["selftest"] for name in held}}
    assert report.digests == {name: {isa: each for isa in target.cpu.isa} for name, each in expected.items()}
    assert len({tuple(each) for each in expected.values()}) == 3
    assert set(report.constrained) == {"", "lamps", "doors"}
    assert all(
        set(found) == set(target.cpu.isa) and len(set(found.values())) == 1
        for found in report.constrained.values()
    )
    assert len({*report.constrained[""].values(), *report.constrained["doors"].values()}) == 2
    used = report.sizes.pop("stack_used")
    assert report.sizes == image.sizes and 0 < used < report.sizes["stack_bytes"] // 2
    masked = _core.Constraint(core, core.entry(CONSTRAINT), masks=MASKS).size()
    assert report.sizes["constraint_bytes"] >= masked
    assert report.sizes["adapter_rank"] == 32
    session = _core.Session(core, context=96, chunk=report.sizes["chunk"], adapter_rank=32)
    planned = plan.memory_of(of_tin(path), target, plan.Options(context=96))
    assert report.sizes["session_bytes"] == session.size() == planned.session.bytes
    assert report.sizes["static_bytes"] + report.sizes["stack_bytes"] == planned.firmware
    assert report.sizes["ram_bytes"] == planned.ram
    loaded = tinsmith.load(path, threads=1)
    asked = [{"role": "user", "content": "which lamp"}]
    for name in ("lamps", "doors", None):
        prompt = loaded.render(asked, adapter=name)
        answer = loaded.generate(prompt, adapter=name, max_tokens=96 - len(prompt), lookup=0)
        words = ["/adapter", name, "which lamp"] if name else ["which lamp"]
        pieces = (loaded.core.token(token) for token in answer.token_ids)
        text = b"".join(data for data, control, _ in pieces if not control).replace(b"\0", b"")
        assert firmware.run(image, path, target, words) == text.decode("utf-8", "replace") + "\n"
    with pytest.raises(InputError, match="the file has no adapter of that name"):
        firmware.run(image, path, target, ["/adapter", "gates", "which lamp"])
    # Another adapter under the name, of the same length: what the image was built for is not found.
    other = tmp_path / "other.tin"
    data = bytearray(path.read_bytes())
    entry = bytes(core.entry("adapter/doors.bin"))
    at = data.index(entry) + len(entry) // 2
    data[at : at + 64] = bytes(one ^ 1 for one in data[at : at + 64])
    other.write_bytes(data)
    with pytest.raises(InputError, match="selftest failed"):
        firmware.run(image, other, target, ["/adapter", "doors"])


def test_an_image_without_adapters_says_so(tin: Path, built: Builder) -> None:
    with pytest.raises(InputError, match="the image was built for a file without adapters"):
        firmware.run(built("cortex-m7"), tin, targets.load("cortex-m7"), ["/adapter", "lamps", "on"])
    with pytest.raises(InputError, match="the image knows no adapter of that name"):
        firmware.run(built("cortex-m7"), tin, targets.load("cortex-m7"), ["/adapter", "lamps"])


def test_a_damaged_file_is_refused_in_the_runtimes_words(tin: Path, built: Builder, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.tin"
    damaged.write_bytes(tin.read_bytes()[:-100] + bytes(100))
    with pytest.raises(InputError, match=r"cortex-m7: the image ended with status 1: error: .*zip|tin"):
        firmware.run(built("cortex-m7"), damaged, targets.load("cortex-m7"))
    with pytest.raises(InputError, match="no instruction set of that name"):
        firmware.run(built("cortex-m7"), tin, targets.load("cortex-m7"), ["/selftest", "avx2"])


def test_what_does_not_fit_is_refused_before_anything_is_built(tin: Path, tmp_path: Path) -> None:
    board = targets.load("cortex-m7")
    assert board.firmware
    small = replace(board.firmware, ram=replace(board.firmware.ram, size=64 << 10))
    with pytest.raises(InputError, match=r"context of 256 takes [\d,]+ bytes of RAM, but there are 65,536"):
        firmware.image(tin, replace(board, firmware=small), tmp_path, PlainDisplay(), context=256)
    small = replace(board.firmware, flash=replace(board.firmware.flash, size=4096))
    with pytest.raises(InputError, match=r"has 4,096 of memory-mapped flash"):
        firmware.image(tin, replace(board, firmware=small), tmp_path, PlainDisplay())
    with pytest.raises(UnsupportedError, match=r"raspberrypi-4: has no \[firmware\] table"):
        firmware.image(tin, targets.load("raspberrypi-4"), tmp_path, PlainDisplay())
    assert not list(tmp_path.iterdir())


def test_a_context_is_as_long_as_ram_allows(tin: Path) -> None:
    board, contents = targets.load("cortex-m7"), of_tin(tin)
    assert board.firmware

    def ram(context: int) -> int:
        return plan.memory_of(contents, board, plan.Options(context=context)).ram

    for size in (90 << 10, 160 << 10):
        tight = replace(board, firmware=replace(board.firmware, ram=replace(board.firmware.ram, size=size)))
        context = firmware.longest_context(contents, tight)
        assert ram(context) <= size
        assert context == board.defaults.context or ram(context + 1) > size


def test_a_real_model_gives_its_digests_from_external_memory(base_gguf: Path, tmp_path: Path) -> None:
    """SmolLM2-135M: 103 MB in place, by every set of the Cortex-M55."""
    smaller, tin = tmp_path / "smaller.gguf", tmp_path / "smaller.tin"
    files.quantize(base_gguf, smaller, "Q4_0")
    compiler.build_tin(models.load(smaller), tin)
    check_verify(tin, "cortex-m55")


def test_a_small_model_gives_its_digests_on_a_cortex_m7(tmp_path: Path) -> None:
    tin = tmp_path / "small.tin"
    shape = {"hidden_size": 256, "intermediate_size": 768, "num_attention_heads": 8, "num_hidden_layers": 14}
    spec = tiny_spec("llama", max_position_embeddings=512, **shape)
    compiler.build_tin(model.apply(spec, "Q8_0"), tin)
    assert 8e6 < tin.stat().st_size < 16 << 20
    check_verify(tin, "cortex-m7")


def check_verify(tin: Path, board: str) -> None:
    target = targets.load(board)
    ran = verify.verify(tin, target, digests(tin), PlainDisplay())
    assert [one.isa for one in ran] == list(target.cpu.isa)
