"""TLS, as --tls-cert and --tls-key turn it on: a client that trusts the certificate, one that does not, and
one that speaks without."""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import openai
import pytest

import tinsmith
from tests.serve.served import ASKED


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for the loopback that signs itself, and its key."""
    program = shutil.which("openssl")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("openssl is missing; install it, so that TLS is tried")
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    named = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    words = [program, "req", "-x509", *kind, *named, "-keyout", key, "-out", cert]
    subprocess.run(words, check=True, capture_output=True)
    return cert, key


def test_tls_client_is_answered(files: list[Path], signed: tuple[Path, Path]) -> None:
    cert, key = map(str, signed)
    words = ["serve", str(files[0]), "--port", "0", "--threads", "1", "--tls-cert", cert, "--tls-key", key]
    with subprocess.Popen(
        [sys.executable, "-m", "tinsmith", *words], stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr
            said = re.search(r"https://(127\.0\.0\.1:\d+)/", process.stderr.readline())
            assert said
            trusting = httpx.Client(verify=ssl.create_default_context(cafile=cert))
            with openai.OpenAI(base_url=f"{said[0]}v1", api_key="none", http_client=trusting) as client:
                answer = client.chat.completions.create(model="tiny", messages=ASKED, max_tokens=8)
            alone = tinsmith.load(files[0], threads=1).chat(ASKED, max_tokens=8)
            assert answer.choices[0].message.content == alone.content
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                httpx.get(f"{said[0]}health", verify=ssl.create_default_context())
            with pytest.raises(httpx.TransportError):
                httpx.get(f"http://{said[1]}/health")
        finally:
            process.terminate()


def test_invalid_certificate_is_a_one_line_error(files: list[Path], tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate\n")
    words = ["serve", str(files[0]), "--port", "0", "--tls-cert", str(wrong), "--tls-key", str(wrong)]
    made = subprocess.run(
        [sys.executable, "-m", "tinsmith", *words], capture_output=True, text=True, check=False, timeout=60
    )
    assert made.returncode == 2
    assert "wrong.pem" in made.stderr and len(made.stderr.strip().splitlines()) == 1
