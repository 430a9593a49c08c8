"""Fuzzes request lines: what a path is checked as, it is called as.

The oracle matches the path as it was sent, undecoded, with the gateway's route templates.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from random import Random
from urllib.parse import unquote_to_bytes

from flask import Flask

from gateway.core.objects import ID_PATTERN
from tests.fuzz.fuzzer import Fuzzer
from tests.fuzz.inputs import bent
from tests.fuzz.serving import Answered, Reached, environ_of, routes, serve

MODELS = "/v1/models/"
TOKENS = (
    *(b"/", b"//", b".", b"..", b"/../", b"/./", b"%2e", b"%2E%2E", b"%2f", b"%2F", b"%5c", b"\\"),
    *(
        b"%00",
        b"%25",
        b"%252e",
        b"%252f",
        b"%c0%ae",
        b"%ff",
        b"%zz",
        b"%",
        b";",
        b";a=b",
        b"?",
        b"#",
    ),
    *(
        b"??",
        b"%3f",
        b"%23",
        b"%0d%0a",
        b"%20",
        b" ",
        b"\t",
        b"@",
        b":",
        b"*",
        b"~",
        b"http://evil",
    ),
    *(b"v1", b"/v1", b"/V1", b"chat", b"completions", b"models", b"files", b"content", b"cancel"),
    *(b"file-1", b"resp_1", b"ft:gpt-4o:a::b", b"?a=/../", b"%e2%80%a5", b"%c2%a0", b"%E0%80%AF"),
    *(b"\x00", b"\x80", b"\xe2\x80\xa5", b"\xef\xbc\x8e", b"\xc0\xae", b"\x85", b"\xa0"),
)
OTHERS = (b"/v1/chat/completions", b"/v1/files/file-1/content")
METHODS = ("GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH", "TRACE", "get", "CONNECT")
IDS = (
    "file-1",
    "resp_1",
    "batch_1",
    "ft:gpt-4o:o::x",
    ".",
    "..",
    "a.b",
    "x" * 128,
    "x" * 129,
    "a%2fb",
)


@lru_cache(maxsize=1)
def app() -> Flask:
    """The gateway's routes."""
    return routes()


@lru_cache(maxsize=1)
def templates() -> dict[str, re.Pattern[str]]:
    """The paths that each route may be called by, as they are sent."""
    found = {}
    for rule in app().url_map.iter_rules():
        parts = re.split(r"<(?:path:|int:)?\w+>", rule.rule)
        wild = "[^/]+" if "<path:" not in rule.rule else ".+"
        wild = "[0-9]+" if "<int:" in rule.rule else wild
        found[rule.rule] = re.compile(wild.join(map(re.escape, parts)), re.DOTALL)
    return found


@lru_cache(maxsize=1)
def _rules() -> list[tuple[str, str]]:
    return sorted(
        (rule.rule, method) for rule in app().url_map.iter_rules() for method in rule.methods or ()
    )


def make(rng: Random) -> bytes:
    """A request line: of a route, as it is or bent."""
    rule, method = rng.choice(_rules())
    if rng.random() < 0.2:
        method = rng.choice(METHODS)
    path = re.sub(r"<[^>]+>", lambda _: rng.choice(IDS), rule).encode()
    if rng.random() < 0.7:
        path = bent(rng, path, TOKENS, OTHERS, any_byte=False)
    if rng.random() < 0.1:
        path = rng.choice((b"http://gateway", b"//gateway", b"https://u:p@h:1")) + path
    return method.encode() + b" " + path[:4_000]


def check(line: bytes) -> bool:
    """The route that is reached is the one that the sent path names, and no other."""
    environ = environ_of(line + b" HTTP/1.1\r\nHost: gateway\r\n\r\n")
    if isinstance(environ, Answered):
        _check_refusal(environ)
        return False
    came_to = serve(app(), environ)
    if isinstance(came_to, Answered):
        _check_refusal(came_to)
        return False
    target = line.split(b" ")[1].decode("latin-1")
    _check_reached(came_to, re.sub(r"^https?://[^/?#]*", "", target))
    return True


def _check_refusal(answer: Answered) -> None:
    assert answer.status == 0 or 200 <= answer.status < 500 or answer.status == 501
    is_page = b"<!doctype html>" in answer.content.lower()
    if answer.status >= 400 and not is_page and not answer.content.endswith(b"\n"):
        told = json.loads(answer.content[answer.content.index(b"{") :])
        assert told["error"]["message"]


def _check_reached(came_to: Reached, target: str) -> None:
    path = re.split(r"[?#]", target, maxsplit=1)[0]
    values = list(came_to.arguments.values())
    if came_to.rule.startswith(MODELS):
        # Its name may be encoded. It is looked up, and becomes part of a path as an id alone.
        assert path.startswith(MODELS), "a model is reached by a path of something else"
        decoded = unquote_to_bytes(path[len(MODELS) :].encode("latin-1"))
        assert values == [decoded.decode("utf-8", "replace")]
        return
    assert not any(mark in path for mark in ("//", "%", "\\", "\0", "/.", ";")), "ambiguous"
    assert templates()[came_to.rule].fullmatch(path), f"{came_to.rule} is reached by {path!r}"
    others = [rule for rule, one in templates().items() if one.fullmatch(path)]
    parts = [part for part in path.split("/") if part not in came_to.rule.split("/")]
    assert all(str(value) in path for value in values)
    # A value of several parts, of files that everybody may see, is in the path as a whole.
    if len(others) == 1 and "<path:" not in came_to.rule:
        assert parts == [value for value in map(str, values) if value in parts]
    for value in map(str, values):
        # What goes to the provider is an id of this form; the others are found nowhere.
        if ID_PATTERN.fullmatch(value):
            assert "/" not in value
            assert not value.startswith(".")


PATHS = Fuzzer("paths", make, check, quick_inputs=5_000)
