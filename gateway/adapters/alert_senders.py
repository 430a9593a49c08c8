"""Sends one alert once: by signed webhook, Slack-compatible webhook or e-mail.

Nothing is retried here, and no redirect followed: an attempt ends in an answer, within a bounded
time, and whoever keeps the deliveries decides what follows.
"""

from __future__ import annotations

import smtplib
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime
from time import time

import httpx2
import orjson

from gateway import __version__
from gateway.adapters.alert_targets import Forbidden, find_target
from gateway.core.alert_messages import Message
from gateway.core.alerts import ChannelKind, Verdict, verdict_of_status
from gateway.core.webhook_signatures import signed_headers
from gateway.logs import redact
from gateway.settings import Settings

CONNECT_SECONDS, READ_SECONDS = 5.0, 10.0
ATTEMPT_SECONDS = 15.0
"""When an attempt is broken off, however slowly the receiver answers."""

ANSWER_BYTES_MAX = 16 * 1024
ERROR_MAX = 500


@dataclass(frozen=True, slots=True)
class Channel:
    """Where one alert goes."""

    id: int
    name: str
    kind: ChannelKind
    target: str
    secret: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one attempt. ``error`` says why it is not SENT, for people."""

    verdict: Verdict
    error: str = ""
    again_after_seconds: float = 0.0
    """How long the receiver asked to be left alone."""


class AlertSender:
    """Sends alerts to channels of every kind; may be used by several threads at once."""

    def __init__(self, settings: Settings, attempt_seconds: float = ATTEMPT_SECONDS) -> None:
        self._settings = settings
        self._attempt_seconds = attempt_seconds
        self._tls = ssl.create_default_context()

    def send(self, channel: Channel, message: Message) -> Answer:
        """Make one attempt. Raises nothing: whatever goes wrong is an answer."""
        send: dict[ChannelKind, Callable[[Channel, Message], Answer]] = {
            ChannelKind.WEBHOOK: self._webhook,
            ChannelKind.SLACK: self._slack,
            ChannelKind.EMAIL: self._email,
        }
        try:
            return send[channel.kind](channel, message)
        except Forbidden as error:
            return Answer(Verdict.FAILED, str(error))
        except (httpx2.HTTPError, OSError, smtplib.SMTPException) as error:
            return Answer(Verdict.AGAIN, _said(error))
        except ValueError as error:
            # What has no form in a header or an address will have none later either.
            return Answer(Verdict.FAILED, _said(error))

    # By HTTP

    def _webhook(self, channel: Channel, message: Message) -> Answer:
        body = orjson.dumps(message.as_webhook())
        secret = channel.secret or ""
        return self._post(channel, body, signed_headers(secret, message.id, int(time()), body))

    def _slack(self, channel: Channel, message: Message) -> Answer:
        return self._post(channel, orjson.dumps(message.as_slack()), {})

    def _post(self, channel: Channel, body: bytes, headers: Mapping[str, str]) -> Answer:
        target = find_target(channel.target, self._settings.alert_hosts)
        head = {
            "host": target.url.netloc,
            "content-type": "application/json",
            "user-agent": f"faregate/{__version__}",
            **headers,
        }
        client = httpx2.Client(
            verify=self._tls,
            trust_env=False,
            follow_redirects=False,
            timeout=httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
        )
        # Timeouts are of single reads: a receiver that drips would outlast them all.
        deadline = threading.Timer(self._attempt_seconds, client.close)
        deadline.daemon = True
        deadline.start()
        try:
            request = client.build_request(
                "POST",
                target.connected,
                content=body,
                headers=head,
                extensions={"sni_hostname": target.host},
            )
            answer = client.send(request, stream=True)
            said = b""
            for part in answer.iter_raw(4096):
                said += part
                if len(said) >= ANSWER_BYTES_MAX:
                    break
            return _answer_of(answer, said)
        finally:
            deadline.cancel()
            client.close()

    # By e-mail

    def _email(self, channel: Channel, message: Message) -> Answer:
        settings = self._settings
        if settings.smtp_host is None or settings.smtp_from is None:
            # Not for good: the deployment can be given a mail server.
            return Answer(Verdict.AGAIN, "FAREGATE_SMTP_HOST and FAREGATE_SMTP_FROM are not set")
        letter = email_of(message, settings.smtp_from, channel.target)
        try:
            with self._mail_server(settings.smtp_host, settings.smtp_port) as server:
                if settings.smtp_tls == "starttls":
                    server.starttls(context=self._tls)
                if settings.smtp_user is not None and settings.smtp_password is not None:
                    server.login(settings.smtp_user, settings.smtp_password.get_secret_value())
                server.send_message(letter)
        except smtplib.SMTPRecipientsRefused as error:
            # One recipient, so one answer: (status, text).
            status, text = next(iter(error.recipients.values()))
            return _smtp_answer(status, text)
        except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
            return _smtp_answer(error.smtp_code, error.smtp_error)
        return Answer(Verdict.SENT)

    def _mail_server(self, host: str, port: int) -> smtplib.SMTP:
        if self._settings.smtp_tls == "tls":
            return smtplib.SMTP_SSL(host, port, timeout=READ_SECONDS, context=self._tls)
        return smtplib.SMTP(host, port, timeout=READ_SECONDS)


def email_of(message: Message, sender: str, recipient: str) -> EmailMessage:
    """An alert as an e-mail. Its Message-ID is the same at every attempt.

    Raises ValueError for what no header can carry.
    """
    letter = EmailMessage()
    letter["Subject"] = f"[Faregate] {message.title}"
    letter["From"] = sender
    letter["To"] = recipient
    letter["Date"] = format_datetime(message.at)
    letter["Message-ID"] = f"<{message.id}@{sender.rpartition('@')[2].rstrip('> ') or 'faregate'}>"
    # So that no out-of-office note answers (RFC 3834).
    letter["Auto-Submitted"] = "auto-generated"
    letter.set_content(message.as_text())
    return letter


def _answer_of(answer: httpx2.Response, said: bytes) -> Answer:
    verdict = verdict_of_status(answer.status_code)
    if verdict is Verdict.SENT:
        return Answer(verdict)
    text = " ".join(said[:200].decode("utf-8", "replace").split())
    return Answer(
        verdict,
        _printable(f"HTTP {answer.status_code}" + (f": {text}" if text else "")),
        _asked_seconds(answer.headers.get("retry-after", "")),
    )


def _asked_seconds(text: str) -> float:
    """Seconds of a Retry-After header; its other form, a date, is taken for no wish."""
    return float(text) if text.isdecimal() and text.isascii() and len(text) < 9 else 0.0


def _smtp_answer(status: int, text: bytes | str) -> Answer:
    """Source: RFC 5321, section 4.2.1: 4yz may succeed later, 5yz will not."""
    said = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    verdict = Verdict.FAILED if status >= 500 else Verdict.AGAIN
    return Answer(verdict, _printable(f"SMTP {status}: {said}"))


def _said(error: Exception) -> str:
    text = str(error).strip().partition("\n")[0]
    return _printable(redact(f"{type(error).__name__}: {text}" if text else type(error).__name__))


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)[:ERROR_MAX]
