"""Images in the requests of each interface: answers equal `model.chat`, and nothing is fetched."""

from __future__ import annotations

import base64
import struct
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import ollama
import openai
import pytest

from tests.serve.served import ASKED, Running, running
from tests.serve.test_openai_chat import FORM, LIGHT
from tests.vision.chat_models import asking, photo, png
from tinsmith.runtime.generation import TokenRequest
from tinsmith.runtime.receipt import recomputed
from tinsmith.serve.images import ClientGone, ImageEncoder
from tinsmith.serve.limits import Limits

TEXT = "what is the thing?"
LIMITS = Limits(images=2, image=1 << 20, pixels=350_000)


@pytest.fixture(scope="module")
def seeing(eyes: Path) -> Iterator[Running]:
    """A model that sees, and the same without eyes."""
    with running([eyes, eyes.with_name("blind.tin")], LIMITS, slots=2, context=512) as made:
        yield made


def coded(seed: int = 1) -> str:
    return base64.b64encode(png(photo(50, 40, seed))).decode()


def url(data: str | None = None) -> str:
    return f"data:image/png;base64,{coded() if data is None else data}"


def image_url(address: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": address, "detail": "auto"}}


def chat(*addresses: str, **more: Any) -> dict[str, Any]:
    content = [*map(image_url, addresses), {"type": "text", "text": TEXT}]
    return {"model": "eyes", "messages": [{"role": "user", "content": content}], "max_tokens": 8, **more}


def block(**source: Any) -> dict[str, Any]:
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", **source}}


def anthropics(*blocks: dict[str, Any], **more: Any) -> dict[str, Any]:
    content = [*blocks, {"type": "text", "text": TEXT}]
    return {"model": "eyes", "messages": [{"role": "user", "content": content}], "max_tokens": 8, **more}


def responses(*parts: dict[str, Any], role: str = "user") -> dict[str, Any]:
    content = [*parts, {"type": "input_text", "text": TEXT}]
    return {"model": "eyes", "input": [{"role": role, "content": content}], "max_output_tokens": 8}


def ollamas(*images: str, **more: Any) -> dict[str, Any]:
    message = {"role": "user", "content": TEXT, "images": list(images)}
    return {"model": "eyes", "messages": [message], "stream": False, "options": {"num_predict": 8}, **more}


def post(server: Running, path: str, body: dict[str, Any]) -> httpx.Response:
    return httpx.post(server.url + path, json=body, timeout=30)


def bomb() -> str:
    """A PNG of a few hundred bytes that would take 300 MB."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 10000, 10000, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(64))) + chunk(b"IEND", b"")
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + parts).decode()


def test_every_interface_answers_as_the_runtime_does(seeing: Running) -> None:
    """Through the makers' own clients; the receipt names the picture."""
    import anthropic

    alone = seeing.alone["eyes"]
    wanted = alone.chat(asking(photo(50, 40)), max_tokens=8)
    chatgpt = openai.OpenAI(base_url=f"{seeing.url}/v1", api_key="none", max_retries=0)
    said: Any = chatgpt.chat.completions.create(**chat(url()))
    assert (said.choices[0].message.content, said.usage.prompt_tokens) == (wanted.text, wanted.prompt_tokens)
    asked = TokenRequest(tokens=alone.render(asking(photo(50, 40))), max_tokens=8)
    receipt = recomputed(alone, [asked])[0][1]
    assert receipt.as_dict()["image"]
    assert said.model_extra["tinsmith"]["receipt"] == receipt.digest
    chunks: Any = chatgpt.chat.completions.create(stream=True, **chat(url()))
    assert "".join(one.choices[0].delta.content or "" for one in chunks) == wanted.text
    part = {"type": "input_image", "image_url": url(), "detail": "auto"}
    assert chatgpt.responses.create(**responses(part)).output_text == wanted.text  # type: ignore[call-overload]

    claude: Any = anthropic.Anthropic(base_url=seeing.url, api_key="none", max_retries=0)
    told = claude.messages.create(**anthropics(block(data=coded())))
    assert told.content[0].text == wanted.text
    counted = claude.messages.count_tokens(model="eyes", messages=anthropics(block(data=coded()))["messages"])
    assert counted.input_tokens == wanted.prompt_tokens

    llama = ollama.Client(host=seeing.url)
    message = {"role": "user", "content": TEXT, "images": [png(photo(50, 40))]}
    options = {"num_predict": 8}
    assert llama.chat("eyes", messages=[message], options=options).message.content == wanted.text
    generated = llama.generate("eyes", TEXT, images=[png(photo(50, 40))], options=options)
    assert generated.response == wanted.text
    assert "vision" in (llama.show("eyes").capabilities or [])
    assert "vision" not in (llama.show("blind").capabilities or [])


def test_receipt_is_in_the_header(seeing: Running) -> None:
    alone = seeing.alone["eyes"]
    digests = [
        recomputed(alone, [TokenRequest(tokens=alone.render(asking(photo(50, 40, seed))), max_tokens=8)])[0][
            1
        ].digest
        for seed in (1, 2)
    ]
    for seed, digest in enumerate(digests, 1):
        for path, body in (
            ("/v1/chat/completions", chat(url(coded(seed)))),
            ("/v1/responses", responses({"type": "input_image", "image_url": url(coded(seed))})),
            ("/v1/messages", anthropics(block(data=coded(seed)))),
            ("/api/chat", ollamas(coded(seed))),
        ):
            assert post(seeing, path, body).headers["x-tinsmith-receipt"] == digest
    assert digests[0] != digests[1]


def test_images_and_texts_keep_their_order(seeing: Running) -> None:
    first, second = photo(50, 40), photo(50, 40, 2)
    text = [{"type": "text", "text": one} for one in ("in", "the", "thing")]
    shown = [text[0], {"pixels": first}, text[1], {"pixels": second}, text[2]]
    turns = [{"role": "assistant", "content": "the"}, {"role": "user", "content": "and?"}]
    parts = [{"type": "image", **one} if "pixels" in one else one for one in shown]
    wanted = seeing.alone["eyes"].chat([{"role": "user", "content": parts}, *turns], max_tokens=8)
    urls = [image_url(url(coded(seed))) for seed in (1, 2)]
    content = [text[0], urls[0], text[1], urls[1], text[2]]
    said = post(
        seeing, "/v1/chat/completions", {**chat(), "messages": [{"role": "user", "content": content}, *turns]}
    )
    assert said.json()["choices"][0]["message"]["content"] == wanted.text
    blocks = [text[0], block(data=coded()), text[1], block(data=coded(2)), text[2]]
    told = post(
        seeing, "/v1/messages", {**anthropics(), "messages": [{"role": "user", "content": blocks}, *turns]}
    )
    assert told.json()["content"][0]["text"] == wanted.text


@pytest.mark.parametrize("more", [{"response_format": FORM}, {"tools": [LIGHT], "tool_choice": "required"}])
def test_image_answer_satisfies_the_constraint(seeing: Running, more: dict[str, Any]) -> None:
    said = post(seeing, "/v1/chat/completions", chat(url(), **{**more, "max_tokens": 120}))
    assert said.status_code == 200, said.text
    tokens: list[int] = []
    masked = post(seeing, "/tinsmith/masked", {"chat": chat(url(), response_format=FORM), "tokens": tokens})
    assert masked.json()["masked"]


def test_image_embeddings_are_cached(seeing: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """And never on the batch's thread."""
    encoder = seeing.state.find("eyes").served.model.vision._encoder
    plain, threads = encoder.encode, []

    def encode(*given: Any) -> bytes:
        threads.append(threading.current_thread().name)
        return plain(*given)

    monkeypatch.setattr(encoder, "encode", encode)
    for _ in range(2):
        assert post(seeing, "/v1/chat/completions", chat(url(coded(7)))).status_code == 200
    tiles = len(seeing.alone["eyes"].render(asking(photo(50, 40, 7))).tiles)  # type: ignore[attr-defined]
    assert len(threads) == tiles
    assert all(name.startswith("tinsmith images") for name in threads)
    assert post(seeing, "/v1/messages/count_tokens", {"model": "eyes", "messages": chat()["messages"]})
    assert seeing.idle()
    eyes = seeing.state.find("eyes").served.images
    assert eyes is not None
    assert (eyes.waiting, eyes.in_flight) == (0, 0)


def test_concurrent_image_requests(seeing: Running) -> None:
    alone = seeing.alone["eyes"]
    seeds = [11, 12, 13, 11, 14]
    wanted = [alone.chat(asking(photo(50, 40, seed)), max_tokens=8).text for seed in seeds]
    with ThreadPoolExecutor(len(seeds)) as pool:
        asked = pool.map(lambda seed: post(seeing, "/v1/chat/completions", chat(url(coded(seed)))), seeds)
        assert [one.json()["choices"][0]["message"]["content"] for one in asked] == wanted


def test_image_cache_is_bounded(seeing: Running) -> None:
    model = seeing.alone["eyes"]
    prompts = [model.render(asking(photo(50, 40, seed))) for seed in (1, 2, 1)]
    size = sum(4 * image.count for _, image in prompts[0].tiles) * 64  # type: ignore[attr-defined]
    eyes = ImageEncoder(model, Limits(image_cache=size))
    for prompt in prompts:
        eyes.encode(prompt, "", threading.Event())  # type: ignore[arg-type]
        assert eyes._cache_bytes <= size
    left = threading.Event()
    left.set()
    with pytest.raises(ClientGone):
        eyes.encode(prompts[0], "", left)  # type: ignore[arg-type]
    eyes.close()
    assert [image.rows for _, image in prompts[0].tiles] == [  # type: ignore[attr-defined]
        image.rows
        for _, image in prompts[2].tiles  # type: ignore[attr-defined]
    ]


def test_too_many_images_in_flight_are_rejected(seeing: Running) -> None:
    eyes = seeing.state.find("eyes").served.images
    assert eyes is not None
    for whose, status in (("another", 503), ("127.0.0.1", 429)):
        eyes._in_flight[whose] += LIMITS.image_rows
        said = post(seeing, "/v1/chat/completions", chat(url()))
        eyes._in_flight[whose] -= LIMITS.image_rows
        assert (said.status_code, said.headers["retry-after"]) == (status, "1")


HTTP, FILE = "http://127.0.0.1:1/a.png", "file:///etc/passwd"


@pytest.mark.parametrize(
    ("path", "body", "named", "said"),
    [
        ("/v1/chat/completions", chat(HTTP), "messages.0.content.0.image_url.url", "nothing is fetched"),
        ("/v1/chat/completions", chat(FILE), "messages.0.content.0.image_url.url", "nothing is fetched"),
        ("/v1/chat/completions", chat("/a.png"), "messages.0.content.0.image_url.url", "nothing is fetched"),
        ("/v1/chat/completions", chat(url("?")), "messages.0.content.0.image_url.url", "base64"),
        ("/v1/chat/completions", chat(url("AAAA")), "messages.0.content.0.image_url.url", "PNG"),
        ("/v1/chat/completions", chat(url(bomb())), "messages.0.content.0.image_url.url", "300"),
        (
            "/v1/chat/completions",
            chat(*[url(base64.b64encode(png(photo(450, 450) * 0)).decode())] * 2),
            "messages.0.content.1.image_url.url",
            "405,000 pixels in all with this image; give 350,000 at most",
        ),
        ("/v1/chat/completions", chat(url(), url(), url()), "messages.0.content.2.image_url.url", "give 2"),
        (
            "/v1/chat/completions",
            chat(url(), model="blind"),
            "messages.0.content.0.image_url.url",
            "takes no images",
        ),
        ("/v1/responses", responses({"type": "input_image", "image_url": HTTP}), "image_url", "fetched"),
        ("/v1/responses", responses({"type": "input_image", "file_id": "f"}), "file_id", "file_id"),
        (
            "/v1/responses",
            responses({"type": "input_image", "image_url": url()}, role="system"),
            "input.0.content.0",
            "only a user's",
        ),
        ("/v1/messages", anthropics(block(type="url", url=HTTP)), "source.url", "not supported"),
        ("/v1/messages", anthropics(block(type="file", file_id="f")), "source.file_id", "not supported"),
        ("/v1/messages", anthropics(block(data=HTTP)), "messages.0.content.0.source.data", "base64"),
        ("/v1/messages", anthropics(block(data=coded()), model="blind"), "source.data", "takes no images"),
        ("/api/chat", ollamas(HTTP), "messages.0.images.0", "base64"),
        ("/api/chat", ollamas("/etc/passwd"), "messages.0.images.0", "base64"),
        ("/api/chat", ollamas(coded(), model="blind"), "messages.0.images.0", "takes no images"),
        ("/api/generate", {"model": "eyes", "prompt": "a", "images": [HTTP]}, "images.0", "base64"),
        ("/api/generate", {"model": "eyes", "prompt": "a", "raw": True, "images": [""]}, "images", "raw"),
    ],
)
def test_invalid_images_are_rejected(
    seeing: Running, path: str, body: dict[str, Any], named: str, said: str
) -> None:
    """In the interface's own shape, with the field."""
    answer = post(seeing, path, body)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    message = error if isinstance(error, str) else error["message"]
    assert named in message or named in str(error.get("param"))
    assert said in message
    assert len(message) < 400


def test_text_parts_are_a_text(seeing: Running) -> None:
    blind = post(seeing, "/v1/chat/completions", chat(model="blind")).json()
    wanted = seeing.alone["blind"].chat([{"role": "user", "content": TEXT}], max_tokens=8)
    assert blind["choices"][0]["message"]["content"] == wanted.text
    assert post(
        seeing, "/v1/chat/completions", {"model": "eyes", "messages": ASKED, "max_tokens": 2}
    ).is_success
