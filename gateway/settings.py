"""Every setting of Faregate, typed and frozen. The only module that reads the environment.

Settings come from the process environment, then from a ``.env`` file in the working folder.
A malformed value stops the process with one sentence; secrets are never printed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from gateway.control_settings import ControlSettings

ServiceTierForAuto = Literal["default", "flex", "priority"]


class SettingsError(ValueError):
    """A setting is missing or malformed; the message says which and what to set."""


class Settings(ControlSettings):
    """One deployment's configuration. Field descriptions are the documentation."""

    model_config = SettingsConfigDict(
        env_prefix="FAREGATE_",
        env_file=".env",
        env_file_encoding="utf-8",
        extra="ignore",
        frozen=True,
        env_ignore_empty=True,
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    # The provider
    openai_api_key: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("OPENAI_API_KEY", "openai_api_key"),
        description="The provider's API key. Clients never see it. Required by `faregate serve`.",
    )
    openai_admin_key: SecretStr | None = Field(
        default=None,
        description=(
            "An admin key of the provider's organization (sk-admin-...), which reads its usage and"
            " costs for `faregate reconcile`. Nothing else needs it."
        ),
    )
    upstream_url: str = Field(
        default="https://api.openai.com/v1",
        repr=False,
        description=(
            "Base URL of the OpenAI-compatible provider, including /v1. It is connected to"
            " directly: HTTPS_PROXY and its like are not used."
        ),
    )
    upstream_connect_timeout_seconds: float = Field(
        default=5.0, gt=0, le=120, description="How long a connection to the provider may take."
    )
    upstream_read_timeout_seconds: float = Field(
        default=600.0,
        gt=0,
        le=3600,
        description="How long the provider may stay silent before the request counts as timed out.",
    )
    upstream_connections_max: int = Field(
        default=4096,
        ge=1,
        le=65536,
        description="Connections to the provider per worker process.",
    )
    upstream_idle_seconds: float = Field(
        default=30.0,
        ge=0,
        le=3600,
        description="How long an unused connection to the provider is kept for further requests.",
    )
    output_limit_field: Literal["max_completion_tokens", "max_tokens"] = Field(
        default="max_completion_tokens",
        description="The field that carries the granted output maximum when the client sent none.",
    )
    unknown_fields: Literal["auto", "pass", "refuse"] = Field(
        default="auto",
        description=(
            "What becomes of request fields that Faregate does not know. OpenAI documents and"
            " checks its own; other servers may take one for something that costs more than was"
            " counted. pass, refuse, or auto: pass them on to OpenAI and Azure OpenAI, refuse them"
            " elsewhere."
        ),
    )
    forward_header_prefixes: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Extra request headers to forward, by lower-case prefix, comma-separated.",
    )

    # Stores
    data_dir: Path = Field(
        default=Path("faregate-data"),
        description="Folder of the embedded Redis and SQLite; created when missing.",
    )
    events_max: int = Field(
        default=1_000_000,
        ge=100,
        le=1_000_000_000,
        description="Usage events waiting for SQL above which nothing new is admitted.",
    )
    redis_memory_percent: int = Field(
        default=85,
        ge=10,
        le=100,
        description=(
            "Share of Redis' maxmemory above which nothing new is admitted; without a maxmemory"
            " it means nothing."
        ),
    )
    outage_seconds: float = Field(
        default=900.0,
        ge=10,
        le=86_400,
        description="How long into an outage of Redis the outage allowances of clients last.",
    )
    intents: Literal["redis", "sql"] = Field(
        default="redis",
        description=(
            "Where a request is written down before it is sent. redis: in Redis alone, right for an"
            " append-only file that is synced always. sql: in the database too, for a Redis that"
            " can lose what it has answered for, such as a managed one that fails over; requests"
            " then wait for a commit, and need the database to be served."
        ),
    )
    spool_dir: Path | None = Field(
        default=None,
        description=(
            "Folder of what Redis has not taken yet, on a disk that outlives the process."
            " Unset: spool in the data folder."
        ),
    )
    redis_url: str | None = Field(
        default=None,
        repr=False,
        description="redis://, rediss:// or unix:// URL. Unset: an embedded Redis.",
    )
    redis_timeout_seconds: float = Field(
        default=3.0, gt=0, le=60, description="How long one Redis call may take."
    )
    redis_prefix: str = Field(
        default="faregate",
        pattern=r"^[A-Za-z0-9_-]{1,32}$",
        description="Prefix and hash tag of all Redis keys: deployments can share a Redis.",
    )
    database_url: str | None = Field(
        default=None,
        repr=False,
        description="postgresql+psycopg:// or sqlite:/// URL. Unset: SQLite in the data folder.",
    )

    # The server
    host: str = Field(default="127.0.0.1", description="Address that the gateway listens on.")
    port: int = Field(default=8080, ge=0, le=65535, description="Port that the gateway listens on.")
    workers: int = Field(default=2, ge=1, le=256, description="Gateway worker processes.")
    worker_connections: int = Field(
        default=4000, ge=10, le=100_000, description="Concurrent requests per worker process."
    )
    graceful_seconds: int = Field(
        default=60,
        ge=1,
        le=3600,
        description="How long a stopping worker waits for requests in flight to finish and settle.",
    )
    client_timeout_seconds: float = Field(
        default=120.0,
        gt=0,
        le=3600,
        description="How long a client may neither send nor read while its request is served.",
    )
    keepalive_seconds: int = Field(
        default=75,
        ge=1,
        le=3600,
        description=(
            "How long a connection may wait for its next request, the whole head included; longer"
            " than a load balancer before it keeps idle ones."
        ),
    )
    body_bytes_max: int = Field(
        default=32 * 1024 * 1024,
        ge=1024,
        le=1024 * 1024 * 1024,
        description="Largest JSON request body, in bytes.",
    )
    large_bodies_bytes_max: int = Field(
        default=256 * 1024 * 1024,
        ge=1024 * 1024,
        le=1024 * 1024 * 1024 * 1024,
        description=(
            "Most bytes of JSON bodies above 64 KiB that one worker keeps at once; memory in use is"
            " about three times that."
        ),
    )
    file_bytes_max: int = Field(
        default=512 * 1024 * 1024,
        ge=1024,
        le=64 * 1024 * 1024 * 1024,
        description="Largest request body that is a form with files, in bytes.",
    )
    json_depth_max: int = Field(
        default=64, ge=8, le=500, description="Deepest nesting of a JSON request body."
    )

    # The paid path
    output_floor_tokens: int = Field(
        default=256,
        ge=1,
        le=1_000_000,
        description="Output tokens below which a tight budget refuses instead of shortening.",
    )
    auto_service_tier: ServiceTierForAuto = Field(
        default="default",
        description=(
            "What service_tier auto means in the provider's project. The dearer of this and"
            " default is held; where the price list has dearer tiers, default is written into"
            " requests that name none."
        ),
    )
    hold_lease_seconds: float = Field(
        default=120.0,
        ge=0.5,
        le=86_400,
        description="A hold whose process has not renewed it for this long is charged as unknown.",
    )
    drain_seconds: float = Field(
        default=60.0,
        ge=0,
        le=3600,
        description="How long a stream is read on, to learn its usage, after its client hung up.",
    )
    drain_streams_max: int = Field(
        default=1000,
        ge=0,
        le=100_000,
        description="Streams per worker that may be read on after their clients hung up.",
    )
    heartbeat_seconds: float = Field(
        default=15.0,
        ge=0.05,
        le=600,
        description="Silence in a stream after which an SSE comment is sent to the client.",
    )

    idempotency_seconds: int = Field(
        default=86_400,
        ge=60,
        le=604_800,
        description="How long an answer is kept for retries with the same Idempotency-Key.",
    )
    idempotency_bytes_max: int = Field(
        default=1024 * 1024,
        ge=0,
        le=64 * 1024 * 1024,
        description="Largest answer that is kept for retries, in bytes.",
    )

    # Recording
    recorder_batch: int = Field(
        default=500, ge=1, le=10_000, description="Usage events per SQL transaction."
    )

    follow_seconds: float = Field(
        default=5.0,
        ge=0.05,
        le=3600,
        description="How often the provider is asked about batches, jobs and background responses.",
    )

    # Reporting
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severity that is logged."
    )
    log_format: Literal["json", "console"] = Field(
        default="json", description="json for machines, console for people."
    )

    # Tests
    failpoints: str = Field(
        default="",
        description=(
            "For tests alone: points of the code where a process kills itself, fails or halts, as"
            " point=action:chance, comma-separated (gateway/failpoints.py lists them). Leave it"
            " empty."
        ),
    )

    @field_validator("forward_header_prefixes", "alert_hosts", mode="before")
    @classmethod
    def _split_list(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip().lower() for part in value.split(",") if part.strip())
        return value

    @field_validator("openai_api_key", "openai_admin_key", mode="before")
    @classmethod
    def _check_key(cls, value: Any) -> Any:
        secret = value.get_secret_value() if isinstance(value, SecretStr) else value
        if not isinstance(secret, str):
            return value
        # White space around a key comes with pasting it, or from a file that ends in a newline.
        secret = secret.strip()
        if not all("!" <= character <= "~" for character in secret):
            raise ValueError(
                "must be printable ASCII without spaces or line breaks, as the provider shows it"
            )
        return SecretStr(secret) if secret else None

    @field_validator("upstream_url")
    @classmethod
    def _check_upstream_url(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        try:
            url = urlsplit(value)
            usable = bool(url.hostname) and url.port != 0 and not (url.query or url.fragment)
        except ValueError:
            usable = False
        if not usable:
            raise ValueError("must be a URL of a host, such as https://api.openai.com/v1")
        return value.rstrip("/")

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must start with redis://, rediss:// or unix://")
        return value

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        for plain in ("postgres://", "postgresql://"):
            if value.startswith(plain):
                return "postgresql+psycopg://" + value.removeprefix(plain)
        if not value.startswith(("postgresql+psycopg://", "sqlite:///")):
            raise ValueError("must start with postgresql:// or sqlite:///")
        return value

    @property
    def passes_unknown_fields(self) -> bool:
        """Whether request fields that are not known here go on to the provider."""
        if self.unknown_fields != "auto":
            return self.unknown_fields == "pass"
        host = urlsplit(self.upstream_url).hostname or ""
        return host.endswith((".openai.com", ".openai.azure.com"))

    @property
    def spool_folder(self) -> Path:
        """Where endings wait for Redis: the configured folder, or one in the data folder."""
        return (self.spool_dir or self.data_dir / "spool").absolute()

    @property
    def sql_url(self) -> str:
        """The database to use: the configured one, or SQLite in the data folder."""
        if self.database_url is not None:
            return self.database_url
        return f"sqlite:///{(self.data_dir / 'faregate.db').absolute()}"


def environment_name(field: str) -> str:
    """The environment variable that sets ``field``."""
    return "OPENAI_API_KEY" if field == "openai_api_key" else f"FAREGATE_{field.upper()}"


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment, ``.env`` and ``overrides``.

    Raises SettingsError with one sentence per bad setting, without the value (it may be a
    secret).
    """
    try:
        return Settings(**overrides)
    except UnicodeDecodeError:
        raise SettingsError("The file .env is not UTF-8 text. See .env.example.") from None
    except ValidationError as error:
        problems = []
        for item in error.errors(include_input=False, include_url=False):
            field = str(item["loc"][0]) if item["loc"] else "?"
            name = field if field.isupper() else environment_name(field)
            problems.append(f"{name}: {item['msg'].removeprefix('Value error, ')}")
        raise SettingsError(
            "Malformed setting: " + "; ".join(problems) + ". See .env.example."
        ) from None
