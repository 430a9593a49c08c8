"""Rules of the repository that no linter knows."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import gateway.core.errors
from gateway.core.errors import ApiError
from gateway.settings import Settings, environment_name

ROOT = Path(__file__).parents[1]
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60

CODE = ("gateway", "tests", "scripts", "bench", "migrations")


def project_files() -> list[Path]:
    """Every file that belongs to the project: tracked, or new and not ignored."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a checkout")
    return sorted({ROOT / name for name in listed.stdout.split("\0") if name})


def sources() -> list[Path]:
    found = [path for part in CODE for path in (ROOT / part).rglob("*.py")]
    assert len(found) > 100
    return found


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def texts() -> Iterator[tuple[str, str]]:
    for path in project_files():
        if path.is_file():
            try:
                yield name_of(path), path.read_text("utf-8")
            except UnicodeDecodeError:
                continue


# Imports


def test_imports_keep_to_the_layers() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    run = subprocess.run([*command, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert " 0 broken" in run.stdout


def test_the_control_plane_keeps_off_the_threads_of_the_paid_path() -> None:
    # A dozen slow reports would else keep policies from being loaded, and requests from being
    # admitted.
    using = [path for path in (ROOT / "gateway/web").rglob("*.py") if "on_sql" in path.read_text()]
    assert [name_of(path) for path in using] == []


# Size and finish


def test_files_are_short() -> None:
    lines = {name_of(path): len(path.read_text().splitlines()) for path in sources()}
    assert {name: n for name, n in lines.items() if n > FILE_LINES_MAX} == {}


def test_functions_are_short() -> None:
    long = []
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                generated = path.parent.name == "versions"
                if lines > FUNCTION_LINES_MAX and not generated:
                    long.append(f"{name_of(path)}:{node.lineno} {node.name}: {lines} lines")
    assert long == []


def test_modules_say_what_they_are_and_defer_annotations() -> None:
    for path in sources():
        tree = ast.parse(path.read_text())
        if not tree.body:
            continue
        if path.is_relative_to(ROOT / "gateway"):
            assert ast.get_docstring(tree), f"{name_of(path)} has no docstring"
        if path.name != "__init__.py":
            future = any(
                isinstance(node, ast.ImportFrom) and node.module == "__future__"
                for node in tree.body
            )
            assert future, f"{name_of(path)} lacks `from __future__ import annotations`"


def test_nothing_is_left_for_later() -> None:
    words = ("TO" + "DO", "FIX" + "ME", "X" * 3, "HA" + "CK")
    later = re.compile(rf"\b(?:{'|'.join(words)})\b")
    assert [name for name, text in texts() if later.search(text)] == []


def test_names_say_what_a_thing_does() -> None:
    vague = re.compile(r"(?:^|_)(utils?|managers?|helpers?|handlers?|services?)(?:_|$)")
    modules = [path.stem for path in sources() if path.is_relative_to(ROOT / "gateway")]
    classes = [
        re.sub(r"(?<!^)(?=[A-Z])", "_", node.name).lower()
        for path in sources()
        if path.is_relative_to(ROOT / "gateway")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and node.name != "Services"
    ]
    assert [name for name in modules + classes if vague.search(name)] == []


def test_every_module_of_core_adapters_and_workers_has_tests() -> None:
    tested = {path.stem.removeprefix("test_") for path in (ROOT / "tests").rglob("test_*.py")}
    untested = [
        name_of(path)
        for part in ("core", "adapters", "workers")
        for path in (ROOT / "gateway" / part).glob("*.py")
        if path.stem != "__init__" and path.stem not in tested and path.stem not in COVERED
    ]
    assert untested == []


COVERED = {
    "audit_counters": "by test_audit",
    "audit_days": "by test_audit",
    "audit_report": "by test_audit",
    "audit_requests": "by test_audit",
    "audit_rollups": "by test_audit",
    "audit_state": "by test_audit",
    "audit_truth": "by test_audit",
    "audit_witnesses": "by test_audit",
    "budget_state": "by the tests of the command line",
    "background": "by the end-to-end tests",
    "database": "by test_migrations and everything that opens one",
    "definitions": "by test_tokens",
    "directory_values": "by test_directory",
    "errors": "by the end-to-end tests and below",
    "external_accounts": "by test_sign_in_oidc",
    "followed": "by the end-to-end tests",
    "identity_provider": "by test_sign_in_oidc",
    "progress": "by test_follower",
    "redis_counters": "by test_redis_budgets and test_redis_state",
    "redis_keys": "by test_redis_budgets",
    "redis_rebuild": "by test_rebuilder",
    "redis_replies": "by test_redis_budgets",
    "window_rows": "by test_rebuilder",
    "control_tables": "by test_migrations",
    "rollup_tables": "by test_migrations and test_usage_sums",
    "schema": "by test_migrations",
    "tables": "by test_migrations",
}
"""Modules without a test file of their own, and where they are tested."""


def test_what_is_said_to_be_tested_elsewhere_exists() -> None:
    modules = {path.stem for path in (ROOT / "gateway").rglob("*.py")}
    assert set(COVERED) <= modules


# Lua


@pytest.mark.parametrize(
    "script", sorted((ROOT / "gateway/adapters/lua").glob("[!_]*.lua")), ids=lambda path: path.stem
)
def test_a_script_states_its_keys_arguments_and_answers(script: Path) -> None:
    head = [line for line in script.read_text().splitlines() if line.startswith("--")]
    for word in ("KEYS", "ARGV", "Returns"):
        assert any(line.startswith(f"-- {word}  ") for line in head), f"no {word} in {script.name}"
    code = "\n".join(line.partition("--")[0] for line in script.read_text().splitlines())
    # It loses digits of what is large, and answers 3 for 3.99.
    assert "tostring(" not in code
    said = " ".join(head)
    for key in {int(n) for n in re.findall(r"KEYS\[(\d+)\]", code)}:
        assert re.search(rf"\b{key}(?:\.\.)? ", said), f"KEYS[{key}] of {script.name} is not stated"


# Settings


def test_every_setting_is_in_the_example_with_its_default_and_meaning() -> None:
    example = (ROOT / ".env.example").read_text()
    entries = {}
    for block in example.split("\n\n"):
        comments: list[str] = []
        for line in block.strip().splitlines():
            if found := re.fullmatch(r"(?:# )?([A-Z_]+)=(.*)", line):
                entries[found[1]] = (" ".join(comments), found[2])
            else:
                comments.append(line.removeprefix("# "))
    names = {environment_name(field) for field in Settings.model_fields}
    assert names <= set(entries)
    compose = (ROOT / "docker-compose.yml").read_text()
    assert [name for name in set(entries) - names if f"${{{name}" not in compose] == []
    defaults = Settings.model_construct()
    for field, info in Settings.model_fields.items():
        comment, value = entries[environment_name(field)]
        assert comment == info.description, field
        assert value == as_written(getattr(defaults, field)), field


def as_written(default: Any) -> str:
    if default is None or default == ():
        return ""
    return f"{default:g}" if isinstance(default, float) else str(default)


def test_only_settings_read_the_environment() -> None:
    reading = re.compile(r"os\.(?:environ|getenv)")
    readers = {
        name_of(path)
        for path in sources()
        if path.is_relative_to(ROOT / "gateway") and reading.search(path.read_text())
    }
    assert readers <= ENVIRONMENT_READERS


ENVIRONMENT_READERS = {
    "gateway/adapters/metrics.py",  # what prometheus_client itself reads
    "gateway/demo/real_model.py",
    "gateway/demo/stage.py",
    "gateway/server.py",
    "gateway/supervisor.py",  # passed on to the processes it starts
}


# Errors


def api_errors() -> list[type[ApiError]]:
    found = [
        item
        for _, item in inspect.getmembers(gateway.core.errors, inspect.isclass)
        if issubclass(item, ApiError) and item is not ApiError
    ]
    assert len(found) > 10
    return found


def test_every_error_is_documented() -> None:
    documented = (ROOT / "docs/errors.md").read_text()
    tree = gateway.core.errors.__doc__ or ""
    for error in api_errors():
        assert f"`{error.__name__}`" in documented, error
        line = re.search(rf"\+-- {error.__name__}\s+(\d{{3}})", tree)
        assert line, f"{error.__name__} is not in the tree"
        assert int(line[1]) == error.status
        if error.code is not None:
            row = next(r for r in documented.splitlines() if f"`{error.__name__}`" in r)
            assert f"`{error.code}`" in row, f"{error.code} is not in the row of {error.__name__}"
            assert f"| {error.status} |" in row


# Routes


def test_every_route_of_the_api_asks_who_calls(redis_url: str, sqlite_url: str) -> None:
    from gateway.adapters.database import open_engine
    from gateway.adapters.directory import Directory
    from gateway.adapters.migrations import upgrade
    from gateway.adapters.redis_budgets import RedisBudgets, connect
    from gateway.adapters.redis_keys import RedisKeys
    from gateway.app import create_app

    engine = open_engine(sqlite_url)
    upgrade(engine)
    directory = Directory(engine)
    directory.initialise("acme")
    # Without a policy in Redis nobody could say that a key is wrong.
    budgets = RedisBudgets(connect(redis_url, 3.0), RedisKeys("faregate"), 60)
    budgets.publish(directory.version())
    app = create_app(Settings(redis_url=redis_url, database_url=sqlite_url))
    caller = app.test_client()
    asked = []
    for rule in app.url_map.iter_rules():
        if not rule.rule.startswith("/v1"):
            if rule.rule not in OPEN_TO_ALL:
                assert_turned_away(caller, rule)
            continue
        path = re.sub(r"<[^>]+>", "x", rule.rule)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            for headers in ({}, {"Authorization": "Bearer fg-unknown"}, {"Authorization": "fg-x"}):
                answer = caller.open(path, method=method, headers=headers, json={})
                assert answer.status_code == 401, (rule, method, headers)
                assert answer.get_json()["error"]["code"] == "invalid_api_key"
            asked.append((method, rule.rule))
    assert ("POST", "/v1/chat/completions") in asked


OPEN_TO_ALL = (
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/admin/api/v1/openapi.json",
    "/static/<wanted>/<path:name>",
    "/sign-in",
    "/sign-in/oidc",
    "/sign-in/oidc/callback",
)


def assert_turned_away(caller: Any, rule: Any) -> None:
    """A page or an admin route answers nobody who does not say who they are."""
    path = re.sub(r"<(?:int:)?[^>]+>", "1", rule.rule)
    for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
        answer = caller.open(path, method=method)
        if rule.rule.startswith("/admin/api"):
            assert answer.status_code == 401, (rule, method)
        else:
            assert answer.status_code == 303, (rule, method)
            assert answer.headers["Location"].startswith("/sign-in"), (rule, method)


# What must not be in a file


def test_no_file_names_a_machine_or_a_registry() -> None:
    hosts = [f"{name}.org" for name in ("py" + "pi", "python" + "hosted", "npm" + "js")]
    homes = "|".join(("wo" + "rk", "ro" + "ot", "ho" + "me", "Us" + "ers"))
    folders = re.compile(rf"(?<![\w.~{{}}$/:-])/(?:{homes})/[\w.]")
    found = []
    for name, text in texts():
        for number, line in enumerate(text.splitlines(), 1):
            if any(host in line for host in hosts) or folders.search(line):
                found.append(f"{name}:{number}: {line.strip()[:100]}")
    assert found == []


def test_migrations_have_one_head() -> None:
    from alembic.script import ScriptDirectory

    from gateway.adapters.migrations import _config

    assert len(ScriptDirectory.from_config(_config()).get_heads()) == 1
