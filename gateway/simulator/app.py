"""Routes, keys and limits of the simulated provider, and its life as a process."""

from __future__ import annotations

import signal
import sys
import time
import traceback
from dataclasses import replace
from hashlib import blake2b
from itertools import count
from pathlib import Path

import gevent
import gevent.event
import orjson
from gevent.server import StreamServer

from gateway.adapters.tokenizer import Tokenizer
from gateway.simulator import text_routes
from gateway.simulator.batches import Batches
from gateway.simulator.bill import Bill
from gateway.simulator.bill_faults import BillFaults
from gateway.simulator.delivery import Delivery, error_answer
from gateway.simulator.embeddings import Embeddings
from gateway.simulator.errors import ProviderError, injected, unknown_url
from gateway.simulator.faults import Directives, Fault, directives_for
from gateway.simulator.files import Files
from gateway.simulator.fine_tuning import FineTuning
from gateway.simulator.images import image_routes
from gateway.simulator.models import delete_model, get_model, list_models
from gateway.simulator.organization import PATHS as ORGANIZATION
from gateway.simulator.organization import organization_routes
from gateway.simulator.picture import PICTURES, picture_page
from gateway.simulator.routes import Routes
from gateway.simulator.server import Answer, Connection, Request, Stream, serve_connection
from gateway.simulator.speech import speech_routes
from gateway.simulator.text import Writer
from gateway.simulator.transcription import transcription_routes
from gateway.simulator.truth import TruthLog
from gateway.simulator.uploads import Uploads

NOTICE = "SIMULATION of an OpenAI-compatible provider (no real model)"
BACKLOG = 4_096
STOP_SECONDS_MAX = 2.0


class Simulator:
    """Answers requests; one per process."""

    def __init__(
        self,
        log: TruthLog,
        *,
        api_key: str | None = None,
        strict: bool = False,
        quiet: bool = True,
        defaults: Directives | None = None,
        fault_rate: float = 1.0,
        admin_key: str | None = None,
        bill: Bill | None = None,
    ) -> None:
        """``fault_rate`` is the share of requests that ``defaults``' status and fault hit."""
        self._log = log
        self._api_key = api_key
        self._admin_key = admin_key
        self._strict = strict
        self._quiet = quiet
        self._defaults = defaults or Directives()
        self._healthy = replace(self._defaults, status=None, fault=None)
        self._fault_rate = fault_rate
        self._numbers = count(1)
        self._answering = 0
        # Two servers on one log must not give out the same request ids.
        self._salt = time.time_ns().to_bytes(8, "big")
        tokenizer = Tokenizer()
        writer = Writer(tokenizer)
        files = Files()
        self._routes = Routes(
            [
                *text_routes.routes(tokenizer, writer, log),
                ("POST", "/v1/embeddings", Embeddings(tokenizer)),
                *image_routes(tokenizer),
                *speech_routes(tokenizer),
                *transcription_routes(writer),
                ("GET", "/v1/models", list_models),
                ("GET", "/v1/models/{model*}", get_model),
                ("DELETE", "/v1/models/{model*}", delete_model),
                *files.routes(),
                *Uploads(files).routes(),
                *Batches(files, log, lambda request: self._routes.find(request)).routes(),
                *FineTuning(files, log, tokenizer).routes(),
                *organization_routes(bill or Bill(None)),
            ]
        )

    def respond(self, connection: Connection, request: Request) -> None:
        """Answer one request on its connection. Raises Gone where the client left."""
        started = time.perf_counter()
        request.number = next(self._numbers)
        digest = blake2b(self._salt + request.number.to_bytes(8, "big"), digest_size=16)
        request.id = f"req_{digest.hexdigest()}"
        request.strict = self._strict
        self._answering += 1
        status = 200
        try:
            delivery = Delivery(connection, request, self._log)
            try:
                result = self._answered(request)
                delivery.send(result, self._headers(request, started))
            except ProviderError as error:
                status = error.status
                request.directives = Directives()
                delivery.send(error_answer(error), self._headers(request, started))
        finally:
            self._answering -= 1
            if not self._quiet:
                sys.stdout.write(f"{request.method} {request.path} {status} {request.id}\n")
                sys.stdout.flush()

    def _answered(self, request: Request) -> Answer | Stream:
        """The result; a request that trips the simulator itself is a 500, said so on stderr."""
        try:
            return self._result(request)
        except ProviderError:
            raise
        except Exception:
            traceback.print_exc()
            raise injected(500) from None

    def _result(self, request: Request) -> Answer | Stream:
        if not request.path.startswith("/v1/"):
            return self._own_page(request)
        self._authenticate(request)
        endpoint = self._routes.find(request)
        if endpoint is None:
            raise unknown_url(request.method, request.path)
        is_json = "json" in request.headers.get("content-type", "")
        metadata = request.json().get("metadata") if is_json and request.body else None
        defaults = self._defaults if self._is_hit(request.number) else self._healthy
        request.directives = wish = directives_for(request.headers, metadata, defaults)
        if wish.latency_ms:
            gevent.sleep(wish.latency_ms / 1000)
        if wish.status is not None:
            raise injected(wish.status)
        if wish.fault is Fault.RESET_BEFORE_HEADERS:
            return Answer(b"")  # Never sent: nothing is created, run or charged.
        return endpoint(request)

    def _is_hit(self, number: int) -> bool:
        """Whether the process-wide fault hits this request: evenly spread, and repeatable."""
        rate = self._fault_rate
        return int(number * rate) > int((number - 1) * rate)

    def _authenticate(self, request: Request) -> None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key:
            raise ProviderError(
                401,
                "You didn't provide an API key. You need to provide your API key in an "
                "Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
            )
        request.api_key_id = f"key_{blake2b(key.encode(), digest_size=8).hexdigest()}"
        is_admin = key == self._admin_key if self._admin_key else key.startswith("sk-admin-")
        if request.path.startswith(ORGANIZATION):
            if is_admin:
                return
            raise ProviderError(
                403,
                "You have insufficient permissions for this operation. Missing scopes: "
                "api.usage.read.",
            )
        if key != self._api_key if self._api_key else not key.startswith("sk-"):
            shown = f"{key[:8]}***{key[-4:]}" if len(key) > 12 else "***"
            raise ProviderError(
                401,
                f"Incorrect API key provided: {shown}. You can find your API key at "
                "https://platform.openai.com/account/api-keys.",
                code="invalid_api_key",
            )

    def _own_page(self, request: Request) -> Answer:
        """Pages beside the provider's: what this is, and what was charged so far."""
        if request.method == "GET" and request.path == "/sim/truth":
            totals = self._log.totals()
            # Not counting this very request.
            totals["answering"] = self._answering - 1
            return Answer(orjson.dumps(totals))
        if request.path.startswith(PICTURES):
            return picture_page(request)
        if request.method == "GET" and request.path == "/":
            return Answer(f"{NOTICE}\n".encode(), content_type="text/plain; charset=utf-8")
        raise unknown_url(request.method, request.path)

    def _headers(self, request: Request, started: float) -> dict[str, str]:
        """The provider's own response headers. The limits shown are those of a large account."""
        return {
            "server": "faregate-simulator",
            "x-request-id": request.id,
            "openai-organization": "org-simulated",
            "openai-project": "proj_simulated",
            "openai-processing-ms": str(int((time.perf_counter() - started) * 1000)),
            "openai-version": "2020-10-01",
            "x-ratelimit-limit-requests": "30000",
            "x-ratelimit-limit-tokens": "150000000",
            "x-ratelimit-remaining-requests": "29999",
            "x-ratelimit-remaining-tokens": "149999000",
            "x-ratelimit-reset-requests": "2ms",
            "x-ratelimit-reset-tokens": "0s",
            "set-cookie": "__cf_bm=simulated; path=/; HttpOnly; Secure; SameSite=None",
        }


def run(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    truth_log: str | Path | None = None,
    api_key: str | None = None,
    quiet: bool = False,
    strict: bool = False,
    defaults: Directives | None = None,
    fault_rate: float = 1.0,
    admin_key: str | None = None,
    bill_faults: BillFaults | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT. Raises OSError where the address or the log is not usable.

    The first line on standard output says that this is a simulation, and its base URL.
    """
    simulator = Simulator(
        TruthLog(truth_log),
        api_key=api_key,
        strict=strict,
        quiet=quiet,
        defaults=defaults,
        fault_rate=fault_rate,
        admin_key=admin_key,
        bill=Bill(truth_log, bill_faults),
    )
    server = StreamServer(
        (host, port),
        lambda sock, _address: serve_connection(sock, simulator.respond),
        backlog=BACKLOG,
    )
    server.start()
    sys.stdout.write(f"{NOTICE}: listening on http://{host}:{server.server_port}/v1\n")
    sys.stdout.flush()
    stopped = gevent.event.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, stopped.set)
    stopped.wait()
    server.stop(timeout=STOP_SECONDS_MAX)
