from __future__ import annotations

import os
import resource
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import gevent
import pytest

from gateway.adapters.upstream import (
    AnswerLost,
    NotSent,
    Upstream,
)
from gateway.settings import Settings, SettingsError
from tests.adapters.provider_socket import (
    KEY,
    PATIENCE,
    SocketProvider,
    Talk,
    answers,
    fetch,
    says,
    send,
    upstream,
)
from tests.processes import find_free_port

# What is sent


def test_a_request_carries_the_credentials_and_what_may_pass(
    serve: Callable[..., SocketProvider],
) -> None:
    provider = serve(answers)
    to = upstream(provider.port)
    extra = {"openai-beta": "x=1", "x-bad": "a\r\nInjected: 1", "x-worse": "caf\u20ac", "x-ok": "é"}
    answer = to.send("/chat/completions", b'{"a":1}', "frq_9", extra, accept="text/event-stream")
    assert (answer.status, answer.body(PATIENCE)) == (200, b'{"a":1}')
    head, _, body = provider.requests[0].partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    assert first == "POST /v1/chat/completions HTTP/1.1"
    assert body == b'{"a":1}'
    assert fields["authorization"] == f"Bearer {KEY}"
    assert fields["host"] == f"127.0.0.1:{provider.port}"
    assert fields["accept"] == "text/event-stream"
    assert fields["accept-encoding"] == "identity"
    assert fields["content-length"] == "7"
    assert fields["x-client-request-id"] == "frq_9"
    assert (fields["openai-beta"], fields["x-ok"]) == ("x=1", "é")
    assert "injected" not in fields
    assert not {"x-bad", "x-worse"} & set(fields)
    assert len(fields) == len(lines)


# Keep-alive


def test_a_connection_is_used_again_after_a_whole_answer(
    serve: Callable[..., SocketProvider],
) -> None:
    provider = serve(answers)
    to = upstream(provider.port)
    for number in range(20):
        body = b"%d" % number
        assert send(to, body).body(PATIENCE) == body
    assert len(provider.talks) == 1


def test_a_connection_that_the_provider_closed_is_not_used(
    serve: Callable[..., SocketProvider],
) -> None:
    def once(talk: Talk) -> None:
        talk.request()
        talk.answer(b"one")
        talk.sock.shutdown(socket.SHUT_RDWR)

    provider = serve(once, answers)
    to = upstream(provider.port)
    assert send(to).body(PATIENCE) == b"one"
    ((talk,),) = (provider.talks,)
    with gevent.Timeout(10):
        while talk.sock.fileno() >= 0:
            gevent.sleep(0.005)
    assert send(to, b"two").body(PATIENCE) == b"two"
    assert [len(talk.requests) for talk in provider.talks] == [1, 1]


def test_a_connection_with_unread_bytes_is_not_used(serve: Callable[..., SocketProvider]) -> None:
    taken = threading.Event()

    def chatty(talk: Talk) -> None:
        talk.request()
        talk.answer(b"one")
        taken.wait(10)
        talk.say(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfake")
        talk.request()

    provider = serve(chatty, answers)
    to = upstream(provider.port)
    assert send(to).body(PATIENCE) == b"one"
    taken.set()
    with gevent.Timeout(10):
        while to._pool._is_socket_alive(to._pool._socket_queue.peek(block=False)):
            gevent.sleep(0.005)
    assert send(to, b"two").body(PATIENCE) == b"two"


@pytest.mark.parametrize("header", [b"Connection: close", b"Content-Type: text/plain"])
def test_connection_close_is_obeyed(serve: Callable[..., SocketProvider], header: bytes) -> None:
    def play(talk: Talk) -> None:
        while request := talk.request():
            talk.answer(request.partition(b"\r\n\r\n")[2], header)

    provider = serve(play)
    to = upstream(provider.port)
    for _ in range(3):
        assert send(to, b"x").body(PATIENCE) == b"x"
    assert len(provider.talks) == (3 if b"close" in header else 1)


def test_an_abandoned_answer_closes_its_connection(serve: Callable[..., SocketProvider]) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
    provider = serve(says(head, b"part", hang=True))
    to = upstream(provider.port, connections=1)
    for _ in range(3):
        answer = send(to)
        assert answer.some(PATIENCE) == b"part"
        answer.abandon()
        answer.abandon()
    assert len(provider.talks) == 3


def test_an_answer_that_is_dropped_gives_its_place_back(
    serve: Callable[..., SocketProvider],
) -> None:
    provider = serve(says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", hang=True))
    to = upstream(provider.port, connections=1)
    for _ in range(3):
        answer = send(to)
        del answer
    assert len(provider.talks) == 3


def test_interleaved_requests_get_their_own_answers(serve: Callable[..., SocketProvider]) -> None:
    provider = serve(answers)
    to = upstream(provider.port, connections=5)

    def ask(number: int) -> bool:
        body = b"%d" % number * 100
        return send(to, body).body(PATIENCE) == body

    tasks = [gevent.spawn(ask, number) for number in range(200)]
    gevent.joinall(tasks, raise_error=True)
    assert all(task.value for task in tasks)
    assert len(provider.talks) <= 5
    assert len(provider.requests) == 200


# Interim answers


@pytest.mark.parametrize("together", [True, False])
def test_interim_answers_are_not_the_answer(
    serve: Callable[..., SocketProvider], together: bool
) -> None:
    interim = [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"]

    def play(talk: Talk) -> None:
        while request := talk.request():
            body = request.partition(b"\r\n\r\n")[2]
            final = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
            if together:
                talk.say(b"".join([*interim, final]))
                continue
            for part in (*interim, final):
                talk.say(part)
                # Let the gateway read each by itself.
                talk.pause()

    provider = serve(play)
    to = upstream(provider.port, connections=2)
    # Several at once: a connection in use must not be taken for a free one.
    tasks = [gevent.spawn(fetch, to, b"%d" % n) for n in range(6)]
    gevent.joinall(tasks, raise_error=True)
    assert [task.value for task in tasks] == [b"%d" % n for n in range(6)]


def test_an_interim_answer_and_then_nothing_is_a_lost_answer(
    serve: Callable[..., SocketProvider],
) -> None:
    provider = serve(says(b"HTTP/1.1 103 Early Hints\r\n\r\n"))
    with pytest.raises(AnswerLost):
        send(upstream(provider.port))


# Where nothing was sent


def test_a_refused_connection_is_not_sent() -> None:
    with pytest.raises(NotSent) as raised:
        send(upstream(find_free_port()))
    assert not raised.value.timed_out


def test_a_name_without_an_address_is_not_sent() -> None:
    settings = Settings(upstream_url="http://nowhere.invalid/v1")
    with pytest.raises(NotSent):
        send(Upstream(settings))


def test_a_head_that_cannot_be_written_is_not_sent(serve: Callable[..., SocketProvider]) -> None:
    provider = serve(answers)
    to = upstream(provider.port, connections=1)
    with pytest.raises(NotSent):
        to.send("/files/\u20ac", b"{}", "frq_1", {})
    with pytest.raises(NotSent):
        to.send("/chat/completions", b"{}", "frq_\u20ac", {})
    assert provider.talks == []
    assert send(to, b"x").body(PATIENCE) == b"x"


def test_whatever_prevents_a_connection_is_not_sent() -> None:
    # A label of more than 63 characters is no host name: UnicodeError, not OSError.
    with pytest.raises(NotSent):
        send(Upstream(Settings(upstream_url=f"http://{'x' * 64}.example/v1")))


@pytest.mark.parametrize("value", ["org\nX-Injected: 1", "org-\u20ac"])
def test_a_header_of_the_sdk_that_cannot_be_sent_stops_the_start(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", value)
    with pytest.raises(SettingsError, match="OpenAI-Organization"):
        Upstream(Settings())


def test_a_connection_that_is_not_taken_times_out_as_not_sent() -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    port = listener.getsockname()[1]
    fillers = []
    try:
        # Fill the queue, so that a further connection gets no answer.
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        with pytest.raises(NotSent) as raised:
            send(upstream(port, upstream_connect_timeout_seconds=0.1))
        assert raised.value.timed_out
    finally:
        for sock in (*fillers, listener):
            sock.close()


def test_all_connections_in_use_is_not_sent(serve: Callable[..., SocketProvider]) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    provider = serve(says(head, hang=True))
    to = upstream(provider.port, connections=1, upstream_connect_timeout_seconds=0.05)
    held = send(to)
    with pytest.raises(NotSent) as raised:
        send(to)
    assert raised.value.timed_out
    assert len(provider.requests) == 1
    held.abandon()
    send(to).abandon()


def test_half_a_request_is_not_sent(serve: Callable[..., SocketProvider]) -> None:
    def cut(talk: Talk) -> None:
        talk.sock.recv(100)
        # With unread bytes waiting, closing resets the connection.
        talk.sock.close()

    provider = serve(cut)
    with pytest.raises(NotSent):
        send(upstream(provider.port), b"x" * 50_000_000)


# TLS


@pytest.fixture
def certificate(tmp_path: Path) -> ssl.SSLContext:
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate with")
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


def test_a_certificate_that_nobody_signed_is_refused(
    serve: Callable[..., SocketProvider], certificate: ssl.SSLContext
) -> None:
    provider = serve(answers, tls=certificate)
    with pytest.raises(NotSent, match="certificate"):
        send(upstream(provider.port, scheme="https"))
    assert provider.requests == []


def test_a_provider_without_tls_is_refused(serve: Callable[..., SocketProvider]) -> None:
    bad_request = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
    provider = serve(lambda talk: talk.say(bad_request))
    with pytest.raises(NotSent):
        send(upstream(provider.port, scheme="https"))


# Many descriptors

MANY = """
import socket, sys
sys.path.insert(0, sys.argv[1])
from tests.adapters.test_upstream import answers, send, upstream
from tests.adapters.provider_socket import SocketProvider
held = [socket.socket() for _ in range(1200)]
with SocketProvider(answers) as provider:
    to = upstream(provider.port)
    for number in range(3):
        assert send(to, b"%d" % number).body(10) == b"%d" % number
    assert len(provider.talks) == 1, len(provider.talks)
    assert to._pool._socket_queue.peek(block=False).fileno() > 1023
print("done")
"""


def test_connections_beyond_1024_descriptors_are_used_again() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4096:
        pytest.skip("this machine allows too few descriptors")
    root = Path(__file__).parents[2]
    run = subprocess.run(
        [sys.executable, "-c", MANY, str(root)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (4096, hard)),
    )
    assert run.stdout == "done\n", run.stderr
