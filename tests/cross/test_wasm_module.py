"""tin.wasm and tin.mjs in node: the bits and the words of this machine."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

import tinsmith
from tests.cross.test_cross_verify import sealed
from tests.models import random_adapters
from tests.models.random_adapters import random_adapter, random_prefix
from tests.models.tiny_models import png_of, tiny_spec, with_vision
from tests.models.transformers_models import CHATML
from tinsmith import cli, models, targets
from tinsmith.chat.chat_template import with_system
from tinsmith.compiler import build_tin
from tinsmith.cross import runtime
from tinsmith.formats import minisign, tin
from tinsmith.formats.router import ENTRY, Router
from tinsmith.models import family
from tinsmith.quant.shipping import Extra
from tinsmith.runtime.images import Image
from tinsmith.system import progress
from tinsmith.train.adapters import tin as adapter_tin

SCRIPT = """
import { readFile } from "node:fs/promises";
import { load } from "./tin.mjs";

const [path, text, key, signature, adapted, prefixed, routed] = process.argv.slice(2);
const bytes = await readFile(path);
const changed = new Uint8Array(bytes);
changed[bytes.length >> 1] ^= 1;
const found = { sets: {} };
for (const isa of ["scalar", "wasmsimd"]) {
  const model = await load(bytes, { isa });
  found.sets[model.isa] = model.selftest();
}
const model = await load(bytes, { key, signature, minVersion: 7, now: new Date("2027-01-31T23:59:59Z") });
const session = model.session({ context: 200 });
const messages = [{ role: "user", content: text }];
found.tokens = Array.from(model.render(messages));
found.answer = [...session.chat(messages, { maxTokens: 24 })].join("");
found.again = [...session.chat(messages, { maxTokens: 24 })].join("");
const options = { maxTokens: 8, temperature: 0.8, seed: 5 };
found.seeded = [1, 2].map(() => [...session.complete(text, options)].join(""));
found.name = model.manifest.family;
const adapter = model.adapter(await readFile(adapted));
const other = model.session({ context: 200, adapterRank: adapter.rank });
found.adapted = [1, 0.5, 0].map((scale) => {
  other.adapter(adapter, scale);
  return [...other.chat(messages, { maxTokens: 24 })].join("");
});
const prefix = model.adapter(await readFile(prefixed));
other.adapter(prefix);
found.prefixed = [prefix.rank, [...other.chat(messages, { maxTokens: 24 })].join("")];
found.routes = ["lamps", "none"].map(async (name) => {
  const routing = (await load(await readFile(`${routed}/${name}.tin`))).session({ context: 200 });
  return routing.route(messages);
});
found.routes = await Promise.all(found.routes);
session.close();
const held = model.core.tinw_alloc(1024);
model.bytes(held, 1024).fill(7);
model.core.tinw_free(held);
const taken = model.core.tinw_alloc(512);
found.old = [held === taken, model.bytes(taken, 512).some((byte) => byte !== 0)];
found.refused = [];
for (const attempt of [
  () => load(bytes.subarray(0, 1000)),
  () => load(bytes, { isa: "avx2" }),
  () => model.render([{ role: "judge", content: "" }]),
  () => model.session({ context: 1 << 20 }),
  () => model.entry("nothing"),
  () => model.adapter(bytes),
  () => model.session({ context: 50 }).adapter(adapter),
  () => load(bytes, { key }),
  () => load(bytes, { key: key.replace("RW", "RX"), signature }),
  () => load(bytes, { key, signature: signature.replace("tiny", "home") }),
  () => load(changed, { key, signature }),
  () => load(bytes, { key, signature, minVersion: 8 }),
  () => load(bytes, { key, signature, now: new Date("2027-02-01T00:00:00Z") }),
  () => load(bytes, { minVersion: 7 }),
  () => model.session({ context: 50 }).route(messages),
  () => load(bytes, { key, signature, minVersion: 2 ** 32 }),
  () => model.session({ context: 2 ** 32 + 50 }),
  () => [...session.complete(text, { maxTokens: -1 })],
  () => [...session.complete(text, { maxTokens: 1, seed: 2 ** 32 })],
  () => [...session.generate([2 ** 32 + 5], { maxTokens: 1 })],
])
  try {
    await attempt();
    found.refused.push("");
  } catch (error) {
    found.refused.push(error.message);
  }
console.log(JSON.stringify(found));
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("wasm")
    made = runtime.emit(targets.load("wasm32"), place, progress.display())
    assert [path.name for path in made] == ["tin.wasm", "tin.mjs"]
    return place


def test_node_gives_the_bits_and_the_words_of_this_machine(folder: Path, tiny_tin: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed (Debian: apt-get install nodejs)")
    (folder / "try.mjs").write_text(SCRIPT)
    text = "Grüße, 1 + 2 = 3 <|im_end|>"
    key = minisign.SecretKey(b"8 bytes.", bytes(32))
    signature = minisign.sign(tiny_tin, key, "tiny", version=7, not_after=date(2027, 1, 31))
    adapted = random_adapter(tiny_tin, folder / "random.adapter")
    prefixed = folder / "random.prefix"
    prefixed.write_bytes(random_prefix(tiny_tin, 20))
    write_routed(tiny_tin, folder)
    arguments = [tiny_tin, text, key.public, signature, adapted, prefixed, folder]
    done = subprocess.run([node, folder / "try.mjs", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert set(printed["sets"]) == {"scalar", "wasmsimd"}
    for tests in printed["sets"].values():
        assert [one["expected"] for one in tests] == [one["found"] for one in tests] == sealed(tiny_tin)

    model = tinsmith.load(tiny_tin)
    messages = [{"role": "user", "content": text}]
    assert printed["tokens"] == model.render(messages)
    expected = model.chat(messages, max_tokens=24)
    assert printed["answer"] == printed["again"] == expected.text
    assert printed["seeded"][0] == printed["seeded"][1] != ""
    assert printed["name"] == "llama"
    assert printed["old"] == [True, False]  # memory that is taken again is cleared
    assert all(printed["refused"]), printed["refused"]
    assert "judge" in printed["refused"][2]
    reasons = ["there is none", "no minisign public key", "trusted comment is not", "manifest lists"]
    reasons += ["8 is the least", "good until 2027-01-31", "need a key", "has no router", "up to 2^32 - 1"]
    reasons += ["context 4294967346; give a", "maxTokens -1", "seed 4294967296", "token 4294967301"]
    for refusal, reason in zip(printed["refused"][5:], ["not an adapter", "room for 0", *reasons], strict=True):
        assert reason in refusal
    model.adapters.add("random", adapted)
    answers = [model.chat(messages, max_tokens=24, adapter={"random": scale}).text for scale in (1.0, 0.5, 0.0)]
    assert printed["adapted"] == answers
    assert len(set(answers)) == 3
    model.adapters.add("prefix", prefixed)
    assert printed["prefixed"] == [0, model.chat(messages, max_tokens=24, adapter="prefix").text]
    assert printed["prefixed"][1] not in answers
    routes = [tinsmith.load(folder / f"{name}.tin").route(messages) for name in ("lamps", "none")]
    assert [route.task for route in routes] == ["lamps", None]
    assert printed["routes"] == [
        {"task": route.task, "best": "lamps", "probability": route.probability} for route in routes
    ]


def write_routed(path: Path, folder: Path) -> None:
    """Two files with routers whose biases choose."""
    dim = len(tinsmith.load(path).states(["x"])[0])
    weights = [0.001 * (k % 7) for k in range(3 * dim)]
    for name, bias in (("lamps", 3.0), ("none", -3.0)):
        router = Router(("doors", "lamps"), dim, weights, [-9.0, bias, 0.0], [0.5, 0.5])
        tin.rewrite(path, folder / f"{name}.tin", {ENTRY: router.pack()}, {})


SKILLS = """
import { readFile } from "node:fs/promises";
import { load } from "./tin.mjs";

const model = await load(await readFile(process.argv[2]));
const messages = [{ role: "user", content: "which lamp?" }];
const [lamps, doors] = ["lamps", "doors"].map((name) => model.adapter(name));
const session = model.session({ context: 200, adapterRank: lamps.rank + doors.rank });
const answer = (options) => [...session.chat(messages, { maxTokens: 12, ...options })].join("");
const found = { tokens: [model.render(messages), model.render(messages, lamps)].map((ids) => Array.from(ids)) };
session.adapter(lamps);
found.lamps = [answer(), answer({ unconstrained: true })];
session.adapter(doors);
found.both = answer();
session.adapter(lamps, 0);
found.doors = answer();
session.adapter(null);
found.base = answer();
session.close();
try {
  model.adapter("gates");
} catch (error) {
  found.refused = error.message;
}
console.log(JSON.stringify(found));
"""


def test_an_adapter_of_the_file_is_asked_and_constrained_in_node(folder: Path, tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed (Debian: apt-get install nodejs)")
    (folder / "skills.mjs").write_text(SKILLS)
    spec = replace(tiny_spec("llama", hidden_size=64, intermediate_size=96), chat_template=CHATML)
    path, lamps = tmp_path / "skills.tin", tinsmith.choices(["the lamp", "a lamp", "lamp"])
    doors = tinsmith.choices(["door", "a door"])
    build_tin(spec, path, entries={tin.CONSTRAINT: doors.data}, manifest={"constraint": {"kind": "choices"}})
    made = random_adapters.folder(spec, tmp_path / "lamps", with_system(CHATML, "Name a lamp."))
    facts = {"constraint": {"kind": "choices"}}
    adapter_tin.add(path, "lamps", made, path, "Q8_0", Extra({tin.CONSTRAINT: lamps.data}, facts))
    made = random_adapters.folder(spec, tmp_path / "doors", rank=20)
    adapter_tin.add(path, "doors", made, path, "Q8_0")
    done = subprocess.run([node, folder / "skills.mjs", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    model, asked = tinsmith.load(path), [{"role": "user", "content": "which lamp?"}]

    def answer(adapter: object, **options: object) -> str:
        return model.chat(asked, adapter=adapter, max_tokens=12, **options).text

    assert json.loads(done.stdout) == {
        "tokens": [model.render(asked), model.render(asked, adapter="lamps")],
        "lamps": [answer("lamps"), answer("lamps", constraint=None)],
        "both": answer({"lamps": 1.0, "doors": 1.0}),
        "doors": answer("doors"),
        "base": answer(None),
        "refused": "the file has no adapter gates",
    }
    assert answer("lamps").endswith("lamp")
    assert answer("doors").endswith("door")


SEES = """
import { readFile } from "node:fs/promises";
import { load } from "./tin.mjs";

const [path, image] = process.argv.slice(2);
const model = await load(await readFile(path));
const data = Uint8ClampedArray.from({ length: 800 }, (_, k) => (k % 4 === 3 ? 255 : k % 251));
const images = [new Uint8Array(await readFile(image)), { width: 20, height: 10, data }];
const session = model.session({ context: 300 });
const messages = [{ role: "user", content: "which lamp?", images }];
const found = { answer: [...session.chat(messages, { maxTokens: 12 })].join("") };
try {
  session.chat([{ role: "user", content: "and here?", images: [new Uint8Array(9)] }]);
} catch (error) {
  found.refused = error.message;
}
console.log(JSON.stringify(found));
"""


def test_images_are_seen_in_node_as_in_python(folder: Path, tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed (Debian: apt-get install nodejs)")
    (folder / "sees.mjs").write_text(SEES)
    spec = replace(tiny_spec("llama", hidden_size=64, intermediate_size=96), chat_template=CHATML)
    path, image = tmp_path / "sees.tin", tmp_path / "image.png"
    build_tin(with_vision(spec), path)
    image.write_bytes(png_of(bytes(7 * k % 256 for k in range(40 * 30 * 3)), 40, 30))
    done = subprocess.run([node, folder / "sees.mjs", path, image], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pixels = Image(20, 10, bytes(k % 251 for k in range(800) if k % 4 != 3))
    parts: list[dict[str, object]] = [
        {"type": "image", "path": image},
        {"type": "image", "pixels": pixels},
        {"type": "text", "text": "which lamp?"},
    ]
    answer = tinsmith.load(path).chat([{"role": "user", "content": parts}], max_tokens=12).text
    told = json.loads(done.stdout)
    assert told["answer"] == answer
    assert "neither PNG nor JPEG" in told["refused"]


def test_the_module_is_small(folder: Path) -> None:
    print(f"tin.wasm: {(folder / 'tin.wasm').stat().st_size} bytes")
    assert (folder / "tin.wasm").stat().st_size < 516_000


def test_build_puts_the_runtime_beside_the_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models.save_gguf(tiny_spec(family.by_name("llama"), hidden_size=64), tmp_path / "tiny.gguf")
    command = ["build", str(tmp_path / "tiny.gguf"), "--format", "q8_0", "--target", "wasm", "--out"]
    assert cli.main([*command, str(tmp_path / "out")]) == 0
    *models_made, folder = map(Path, capsys.readouterr().out.splitlines())
    assert [path.name for path in models_made] == ["tiny-q8_0.gguf", "tiny-q8_0.tin"]
    assert folder == tmp_path / "out" / "runtime-wasm32"
    assert {path.name for path in folder.iterdir()} == {"tin.wasm", "tin.mjs"}
