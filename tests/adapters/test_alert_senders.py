from __future__ import annotations

import contextlib
import email
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import Message as Letter
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.adapters import alert_senders
from gateway.adapters.alert_senders import AlertSender, Answer, Channel, email_of
from gateway.core.alert_messages import Message, message_of
from gateway.core.alerts import ChannelKind, Verdict
from gateway.core.webhook_signatures import new_secret
from gateway.settings import Settings, load_settings
from tests.core.test_alert_messages import THRESHOLD
from tests.processes import find_free_port
from tests.receiver import Receiver

AT = datetime(2026, 6, 17, 12, 30, tzinfo=UTC)
SECRET = new_secret()


def message(**changes: Any) -> Message:
    return message_of(THRESHOLD | changes, AT, "1", "2")


def settings(**values: Any) -> Settings:
    return load_settings(**{"alert_hosts": ("127.0.0.1", "localhost"), **values})


def webhook(url: str) -> Channel:
    return Channel(1, "hook", ChannelKind.WEBHOOK, url, SECRET)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as opened:
        yield opened


# Webhooks


def test_a_webhook_is_signed_json(receiver: Receiver) -> None:
    assert AlertSender(settings()).send(webhook(receiver.url), message()) == Answer(Verdict.SENT)
    (one,) = receiver.received
    assert one.path == "/hooks/alerts"
    assert one.json == message().as_webhook()
    assert one.headers["content-type"] == "application/json"
    assert one.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert one.headers["user-agent"].startswith("faregate/")
    assert one.headers["webhook-id"] == message().id
    assert one.is_signed_with(SECRET)
    assert not one.is_signed_with(new_secret())


def test_slack_gets_its_own_form_and_no_signature(receiver: Receiver) -> None:
    channel = Channel(1, "slack", ChannelKind.SLACK, receiver.url)
    assert AlertSender(settings()).send(channel, message()).verdict is Verdict.SENT
    (one,) = receiver.received
    assert one.json == message().as_slack()
    assert "webhook-signature" not in one.headers


@pytest.mark.parametrize(
    ("status", "verdict"),
    [(500, Verdict.AGAIN), (429, Verdict.AGAIN), (404, Verdict.FAILED), (410, Verdict.FAILED)],
)
def test_what_a_receiver_answers(receiver: Receiver, status: int, verdict: Verdict) -> None:
    receiver.answer = lambda _: status
    answer = AlertSender(settings()).send(webhook(receiver.url), message())
    assert (answer.verdict, answer.error) == (verdict, f"HTTP {status}: said")


def test_no_redirect_is_followed(receiver: Receiver) -> None:
    """A receiver cannot send an alert on to where alerts may not go."""
    receiver.answer = lambda _: 307
    receiver.location = receiver.url.replace("/hooks", "/elsewhere")
    answer = AlertSender(settings()).send(webhook(receiver.url), message())
    assert answer.verdict is Verdict.FAILED
    assert [one.path for one in receiver.received] == ["/hooks/alerts"]


def test_proxies_of_the_environment_are_not_used(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = f"http://127.0.0.1:{find_free_port()}"
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, dead)
    assert AlertSender(settings()).send(webhook(receiver.url), message()).verdict is Verdict.SENT


def test_nobody_listens() -> None:
    url = f"http://127.0.0.1:{find_free_port()}/"
    answer = AlertSender(settings()).send(webhook(url), message())
    assert answer.verdict is Verdict.AGAIN
    assert answer.error.startswith("ConnectError")


def test_a_name_that_is_none_is_tried_again() -> None:
    sender = AlertSender(load_settings())
    answer = sender.send(webhook("https://no-such-host.invalid/"), message())
    assert answer.verdict is Verdict.AGAIN


def test_where_alerts_may_not_go_nothing_is_sent(receiver: Receiver) -> None:
    answer = AlertSender(load_settings()).send(webhook(receiver.url), message())
    assert answer.verdict is Verdict.FAILED
    assert "FAREGATE_ALERT_HOSTS" in answer.error
    assert receiver.received == []


@contextlib.contextmanager
def raw_server(*parts: bytes, forever: bytes = b"") -> Iterator[str]:
    """Answers one request with bare bytes, and then ``forever`` until the other side leaves."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def play() -> None:
            with contextlib.suppress(OSError):
                peer, _ = server.accept()
                with peer:
                    peer.recv(65536)
                    for part in parts:
                        peer.sendall(part)
                    left = threading.Event()
                    while forever and not left.wait(0.02):
                        peer.sendall(forever)

        threading.Thread(target=play, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"


def test_an_endless_answer_is_not_read_to_its_end() -> None:
    head = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"
    with raw_server(head, forever=b"x" * 65536) as url:
        assert AlertSender(settings()).send(webhook(url), message()).verdict is Verdict.SENT


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nx: ", b""])
def test_a_receiver_that_drips_is_given_up(head: bytes) -> None:
    """Each byte comes in time for the next read; the whole attempt has an end all the same."""
    with raw_server(head, forever=b"y") as url:
        sender = AlertSender(settings(), attempt_seconds=0.3)
        answer = sender.send(webhook(url), message())
    assert answer.verdict is Verdict.AGAIN
    assert answer.error


def test_how_long_a_receiver_wants_to_be_left_alone() -> None:
    for header, asked in (("30", 30.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 0.0), ("-1", 0.0)):
        head = f"HTTP/1.1 429 Slow\r\nretry-after: {header}\r\ncontent-length: 0\r\n\r\n"
        with raw_server(head.encode()) as url:
            answer = AlertSender(settings()).send(webhook(url), message())
        assert (answer.verdict, answer.again_after_seconds) == (Verdict.AGAIN, asked)


def test_what_a_receiver_says_is_shown_in_printable_characters() -> None:
    head = b"HTTP/1.1 400 No\r\ncontent-length: 10\r\n\r\n\x1b[2Jno\xff\n!!"
    with raw_server(head) as url:
        answer = AlertSender(settings()).send(webhook(url), message())
    assert answer.error.startswith("HTTP 400: ")
    assert answer.error.isprintable()


# TLS


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of localhost with its key, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, form, plain)
    )
    return path


def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_certificates_are_checked_against_the_name(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address is connected to, but the certificate must be the name's."""
    with Receiver() as receiver:
        tls = server_tls(certificate)
        receiver._server.socket = tls.wrap_socket(receiver._server.socket, server_side=True)
        untrusted = AlertSender(settings()).send(
            webhook(f"https://localhost:{receiver.port}/"), message()
        )
        assert untrusted.verdict is Verdict.AGAIN
        assert "certificate" in untrusted.error
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        sender = AlertSender(settings())
        good = sender.send(webhook(f"https://localhost:{receiver.port}/"), message())
        assert good == Answer(Verdict.SENT)
        other = sender.send(webhook(f"https://127.0.0.1:{receiver.port}/"), message())
        assert other.verdict is Verdict.AGAIN
        assert "certificate" in other.error
        assert [one.headers["host"] for one in receiver.received] == [f"localhost:{receiver.port}"]


# E-mail


class Mailbox:
    """What a mail server takes, and with which words it refuses."""

    def __init__(self) -> None:
        self.letters: list[Letter] = []
        self.recipients: list[list[str]] = []
        self.refuse_recipient = self.refuse_data = ""

    async def handle_RCPT(  # noqa: N802 - the name that aiosmtpd calls
        self, _server: Any, _session: Any, envelope: Envelope, address: str, _options: Any
    ) -> str:
        if self.refuse_recipient:
            return self.refuse_recipient
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - the name that aiosmtpd calls
        self, _server: Any, _session: Any, envelope: Envelope
    ) -> str:
        if self.refuse_data:
            return self.refuse_data
        content = envelope.content
        assert isinstance(content, bytes)
        self.letters.append(email.message_from_bytes(content, policy=default))
        self.recipients.append(envelope.rcpt_tos)
        return "250 OK"


@contextlib.contextmanager
def mail_server(mailbox: Mailbox, **options: Any) -> Iterator[int]:
    port = find_free_port()
    controller = Controller(mailbox, hostname="127.0.0.1", port=port, **options)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


def post(port: int, *, to: str = "ops@acme.example", **values: Any) -> Answer:
    mail = {"smtp_host": "localhost", "smtp_port": port, "smtp_from": "faregate@acme.example"}
    channel = Channel(1, "mail", ChannelKind.EMAIL, to)
    return AlertSender(settings(**{**mail, "smtp_tls": "none", **values})).send(channel, message())


def test_an_email_arrives() -> None:
    mailbox = Mailbox()
    with mail_server(mailbox) as port:
        assert post(port) == Answer(Verdict.SENT)
    (letter,) = mailbox.letters
    assert mailbox.recipients == [["ops@acme.example"]]
    assert letter["subject"] == "[Faregate] Budget web <prod> has passed 80 % of its limit"
    assert letter["from"] == "faregate@acme.example"
    assert letter["to"] == "ops@acme.example"
    assert letter["message-id"] == f"<{message().id}@acme.example>"
    assert letter["auto-submitted"] == "auto-generated"
    assert str(letter.get_payload()).replace("\r\n", "\n") == message().as_text()


@pytest.mark.parametrize(
    ("refusals", "verdict"),
    [
        ({"refuse_recipient": "550 5.1.1 no such user"}, Verdict.FAILED),
        ({"refuse_recipient": "451 4.2.1 greylisted"}, Verdict.AGAIN),
        ({"refuse_data": "554 5.7.1 no spam"}, Verdict.FAILED),
        ({"refuse_data": "452 4.3.1 disk full"}, Verdict.AGAIN),
    ],
)
def test_what_a_mail_server_refuses(refusals: dict[str, str], verdict: Verdict) -> None:
    mailbox = Mailbox()
    mailbox.__dict__.update(refusals)
    with mail_server(mailbox) as port:
        answer = post(port)
    assert answer.verdict is verdict
    (words,) = refusals.values()
    assert answer.error == f"SMTP {words[:3]}: {words[4:]}"


@pytest.mark.parametrize("way", ["starttls", "tls"])
def test_the_way_to_the_mail_server_is_encrypted(
    way: str, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mailbox, tls = Mailbox(), server_tls(certificate)
    signed_in: list[bytes] = []

    def sign_in(_server: Any, _session: Any, _envelope: Any, _how: str, given: Any) -> AuthResult:
        signed_in.append(given.login + b":" + given.password)
        return AuthResult(success=given.password == b"open sesame")

    options: dict[str, Any] = {"authenticator": sign_in, "auth_required": True}
    if way == "tls":
        options |= {"ssl_context": tls, "auth_require_tls": False}
    else:
        options |= {"tls_context": tls, "require_starttls": True}
    who = {"smtp_tls": way, "smtp_user": "faregate", "smtp_password": "open sesame"}
    with mail_server(mailbox, **options) as port:
        assert "certificate" in post(port, **who).error
        assert not signed_in, "nothing is said to a server that is not the one it should be"
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert post(port, **who) == Answer(Verdict.SENT)
        # This server answers a wrong password by silence.
        monkeypatch.setattr(alert_senders, "READ_SECONDS", 0.5)
        wrong = post(port, **{**who, "smtp_password": "guess"})
    assert wrong.verdict is Verdict.AGAIN
    assert "guess" not in wrong.error
    assert signed_in == [b"faregate:open sesame", b"faregate:guess"]
    assert len(mailbox.letters) == 1


def test_without_a_mail_server_letters_wait() -> None:
    channel = Channel(1, "mail", ChannelKind.EMAIL, "ops@acme.example")
    answer = AlertSender(load_settings()).send(channel, message())
    assert answer.verdict is Verdict.AGAIN
    assert "FAREGATE_SMTP_HOST" in answer.error
    assert post(find_free_port()).verdict is Verdict.AGAIN


def test_no_name_can_add_a_header() -> None:
    evil = message(budget="web\r\nBcc: all@acme.example")
    with pytest.raises(ValueError, match=r"linefeed|newline|carriage"):
        email_of(evil, "faregate@acme.example", "ops@acme.example")
    channel = Channel(1, "mail", ChannelKind.EMAIL, "ops@acme.example")
    mail = {"smtp_host": "localhost", "smtp_from": "faregate@acme.example"}
    assert AlertSender(settings(**mail)).send(channel, evil).verdict is Verdict.FAILED
    assert email_of(message(), "Faregate <f@acme.example>", "a@b.c")["message-id"].endswith(
        "@acme.example>"
    )
