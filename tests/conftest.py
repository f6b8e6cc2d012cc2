"""Fixtures that more than one folder of tests uses."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from tinsmith import hub

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytest_plugins = ("tests.models.proofs",)

# Two workers on two cores: threads of torch and BLAS beside them would spin, waiting for each other.
for _library in ("OMP", "MKL", "OPENBLAS"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")
# Each process that a test starts would compile the package's sources again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# llama.cpp configures AMX's tiles once a thread and torch's bfloat16 products release them (backends/llama.py):
# the tests that call both in one thread keep torch off them.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16")

# What is written here need not outlive a loss of power; tests/disk watches processes of its own.
os.fsync = lambda descriptor: None

# No test asserts a time, inputs that are drawn slowly on a busy machine included.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


@pytest.fixture(scope="session")
def base_gguf() -> Path:
    """SmolLM2-135M-Instruct (Q4_1): TINSMITH_BASE_GGUF if set, else pulled into the usual cache."""
    given = os.environ.get("TINSMITH_BASE_GGUF")
    return Path(given) if given else hub.pull("smollm2-135m-instruct")


@pytest.fixture(scope="session")
def offline() -> list[str]:
    """What a command begins with to run where there is no network interface."""
    command = ["unshare", "-n"]
    try:
        subprocess.run([*command, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a network namespace can't be made here: unshare -n needs the right to")
    return command


@pytest.fixture(scope="session")
def traced() -> Callable[[Path], list[str]]:
    """What a command begins with to have its system calls about the network, and its children's, in a file."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    words = ["strace", "-f", "--seccomp-bpf", "-qq", "-e", "trace=%network", "-e", "signal=none", "-o"]
    return lambda log: [*words, str(log)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, driven by playwright."""
    # One a module: as long as playwright runs, no other test of this thread can run a loop of asyncio's.
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("chromium is missing; install it, so that the page is tried")
        pytest.skip("chromium is not installed")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


SHARDS = 3


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="skip the tests that need torch")
    parser.addoption("--skips-to", type=Path, metavar="FILE", help="write the IDs of skipped tests to FILE")
    parser.addoption(
        "--shard",
        type=int,
        metavar="N",
        help=f"run one of {SHARDS} shards of the slow tests, and of the others none",
    )
    parser.addoption(
        "--skips-from", type=Path, metavar="FILE", help="with --shard: run the tests that FILE lists too"
    )


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("quick"):
        return
    importorskip = pytest.importorskip

    def without_torch(name: str, *more: Any, **options: Any) -> Any:
        if name.partition(".")[0] == "torch":
            pytest.skip("--quick leaves torch out", allow_module_level=True)
        return importorskip(name, *more, **options)

    pytest.importorskip = without_torch


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A shard takes whole files: their slow tests share artifacts."""
    shard = config.getoption("shard")
    if shard is None:
        return
    skips = config.getoption("skips_from")
    skipped = set(skips.read_text(encoding="utf-8").splitlines()) if skips else set()
    slow = [item for item in items if item.get_closest_marker("slow")]
    files = set(sorted({item.path for item in slow})[shard % SHARDS :: SHARDS])
    wanted = {item for item in slow if item.path in files}
    # A module that skips as a whole is listed by its file.
    wanted |= {item for item in {*items} - {*slow} if skipped & {item.nodeid, item.nodeid.split("::")[0]}}
    config.hook.pytest_deselected(items=[item for item in items if item not in wanted])
    items[:] = [item for item in items if item in wanted]


# Reasons that a machine may have for skipping a test; any other fails the run where CI is set.
EXPECTED_SKIPS = re.compile(r"this processor does not run \w+")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One table of what was skipped: a reason, and how many tests it took."""
    reports = terminalreporter.stats.get("skipped", [])
    reasons = Counter(
        re.sub(
            r"^(Skipped: )?(could not import .([\w.]+).: .*)?",
            lambda m: f"no Python package {m[3]}" if m[3] else "",
            str(report.longrepr[-1]),
        )
        for report in reports
    )
    if not reasons:
        return
    terminalreporter.section("skipped (scripts/setup installs Debian packages)")
    for reason, count in sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0])):
        terminalreporter.write_line(f"{count:5}  {reason}")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or hasattr(session.config, "workerinput"):
        return
    skipped = reporter.stats.get("skipped", [])
    if skips := session.config.getoption("skips_to"):
        skips.write_text(
            "".join(f"{name}\n" for name in sorted({report.nodeid for report in skipped})), "utf-8"
        )
    if not os.environ.get("CI"):
        return
    unexpected = [report for report in skipped if not EXPECTED_SKIPS.search(str(report.longrepr))]
    reporter.ensure_newline()
    for report in unexpected:
        reporter.write_line(f"skipped, which CI forbids: {report.nodeid}: {report.longrepr[-1]}", red=True)
    if unexpected:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
