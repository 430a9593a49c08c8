"""The settings of the control plane: who signs in, where alerts go, what is reconciled.

A part of ``gateway.settings``, which reads them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class ControlSettings(BaseSettings):
    """Settings of the dashboard, the admin API, alerts and reconciliation.

    Field descriptions are the documentation.
    """

    public_url: str | None = Field(
        default=None,
        description=(
            "URL that people reach the dashboard by, such as https://faregate.example.com. Needed"
            " for OIDC behind a proxy; with https, cookies are sent over https alone."
        ),
    )
    cookie_secure: bool = Field(
        default=False,
        description=(
            "True: cookies are sent over https alone, also where a proxy ends TLS and the gateway"
            " itself sees http."
        ),
    )
    trusted_proxies: int = Field(
        default=0,
        ge=0,
        le=8,
        description=(
            "How many proxies stand before the gateway and add to X-Forwarded-For: whose address is"
            " limited at sign-in and written to the audit log. 0: the header is not believed."
        ),
    )
    oidc_issuer: str | None = Field(
        default=None,
        description=(
            "Issuer URL of an OpenID Connect provider that people sign in with, as in its discovery"
            " document. Unset: local accounts alone."
        ),
    )
    oidc_client_id: str | None = Field(
        default=None, description="Client id of Faregate at the OpenID Connect provider."
    )
    oidc_client_secret: SecretStr | None = Field(
        default=None,
        description="Client secret at the OpenID Connect provider; unset for a public client.",
    )
    oidc_groups_claim: str = Field(
        default="groups", description="Claim of the ID token that lists somebody's groups."
    )
    oidc_admin_groups: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Groups whose members are admins, comma-separated."
    )
    oidc_finance_groups: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Groups whose members may read everything, comma-separated."
    )

    # Alerts
    alert_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description=(
            "Hosts that alerts may be sent to by http as well as https, comma-separated;"
            " .acme.example stands for all below it. Unset: any host, by https, that is neither"
            " this machine nor a link-local address."
        ),
    )
    smtp_host: str | None = Field(
        default=None, description="Mail server of alerts by e-mail. Unset: none are sent."
    )
    smtp_port: int = Field(default=587, ge=1, le=65535, description="Port of the mail server.")
    smtp_user: str | None = Field(
        default=None, description="Who signs in at the mail server. Unset: nobody does."
    )
    smtp_password: SecretStr | None = Field(
        default=None, description="The password of FAREGATE_SMTP_USER."
    )
    smtp_from: str | None = Field(
        default=None, description="The sender of e-mails, such as faregate@acme.example."
    )
    smtp_tls: Literal["starttls", "tls", "none"] = Field(
        default="starttls",
        description=(
            "How the connection to the mail server is encrypted: starttls, tls from the start"
            " (usually port 465), or none."
        ),
    )

    # Reconciliation
    reconcile_days: int = Field(
        default=0,
        ge=0,
        le=180,
        description=(
            "Days before today that the recorder compares with the provider's bill, once a day;"
            " the bill of a day may still change for some days. It needs"
            " FAREGATE_OPENAI_ADMIN_KEY. 0: only `faregate reconcile` compares."
        ),
    )

    @field_validator("oidc_admin_groups", "oidc_finance_groups", mode="before")
    @classmethod
    def _split_groups(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("oidc_issuer")
    @classmethod
    def _check_issuer(cls, value: str | None) -> str | None:
        if value is None:
            return None
        url = urlsplit(value)
        if url.scheme != "https" and not (url.scheme == "http" and url.hostname in _LOOPBACK):
            raise ValueError("must be an https:// URL")
        if not url.hostname or url.query or url.fragment:
            raise ValueError("must be a URL without a query, such as https://login.example.com")
        return value

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        url = urlsplit(value)
        bare = url.path in ("", "/") and not (url.query or url.fragment)
        if url.scheme not in ("http", "https") or not url.hostname or not bare:
            raise ValueError(
                "must be http:// or https:// and a host, without a path: the dashboard is served"
                " at the top of its host"
            )
        return value.rstrip("/")

    @property
    def signs_in_by_oidc(self) -> bool:
        """Whether anything of an OpenID Connect provider is set."""
        return self.oidc_issuer is not None or self.oidc_client_id is not None

    @property
    def cookies_over_https_alone(self) -> bool:
        """Whether cookies are secure whatever the scheme that the gateway itself sees."""
        return self.cookie_secure or (self.public_url or "").startswith("https://")
