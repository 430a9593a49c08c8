"""What the control plane keeps: people, their sessions and tokens, changes, alerts, corrections.

Part of the schema of ``gateway.adapters.tables``, under the same migrations.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from gateway.adapters.tables import BigId, Utc, metadata

# People and programs that use the control plane

users = Table(
    "users",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("email", String(254), nullable=False, unique=True),
    Column("name", String(128), nullable=False),
    Column("role", String(16), nullable=False),
    Column("team_id", BigInteger, ForeignKey("teams.id")),
    Column("password_hash", String(256)),
    Column("oidc_subject", String(256), unique=True),
    Column("disabled_at", Utc),
    Column("created_at", Utc, nullable=False),
)
"""Accounts of the dashboard. ``team_id`` is set for team owners alone."""

sessions = Table(
    "sessions",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("user_id", BigInteger, ForeignKey("users.id"), nullable=False),
    Column("csrf", String(64), nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("expires_at", Utc, nullable=False),
)
"""Signed-in browsers, by the SHA-256 of their cookie."""

pending_sign_ins = Table(
    "pending_sign_ins",
    metadata,
    Column("state_hash", String(64), primary_key=True),
    Column("nonce", String(64), nullable=False),
    Column("verifier", String(128), nullable=False),
    Column("next", String(512), nullable=False),
    Column("expires_at", Utc, nullable=False),
)
"""Sign-ins that wait for the identity provider's answer."""

admin_tokens = Table(
    "admin_tokens",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("name", String(128), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
    Column("prefix", String(16), nullable=False),
    Column("last_four", String(4), nullable=False),
    Column("role", String(16), nullable=False),
    Column("team_id", BigInteger, ForeignKey("teams.id")),
    Column("expires_at", Utc),
    Column("revoked_at", Utc),
    Column("created_at", Utc, nullable=False),
    Column("created_by", String(128), nullable=False),
)
"""Credentials of programs that call the admin, usage and costs APIs (``fga-...``)."""

audit_log = Table(
    "audit_log",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("at", Utc, nullable=False),
    Column("actor", String(160), nullable=False),
    Column("role", String(16), nullable=False),
    Column("action", String(32), nullable=False),
    Column("subject", String(32), nullable=False),
    Column("subject_id", String(64), nullable=False),
    Column("subject_name", String(256), nullable=False),
    Column("before", Text),
    Column("after", Text),
    Column("address", String(64)),
    Index(None, "at"),
    Index("ix_audit_log_subject_subject_id", "subject", "subject_id"),
)
"""Every change, with the JSON of its subject before and after; never a secret. Only added to."""

tag_keys = Table(
    "tag_keys",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("created_at", Utc, nullable=False),
)
"""The tags that requests may carry into their records; others are dropped."""

# Corrections of what was recorded

adjustments = Table(
    "adjustments",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("day", Utc, nullable=False),
    Column("team_id", BigInteger, nullable=False),
    Column("client_id", BigInteger, nullable=False),
    Column("key_id", BigInteger, nullable=False),
    Column("endpoint", String(64), nullable=False),
    Column("model", String(128), nullable=False),
    Column("service_tier", String(32), nullable=False),
    Column("line_item", String(64), nullable=False),
    Column("cost_nano", BigInteger, nullable=False),
    Column("reason", String(32), nullable=False),
    Column("source", String(16), nullable=False),
    Column("source_id", BigInteger, nullable=False),
    Column("request_id", String(64)),
    Column("note", Text, nullable=False),
    Column("posted_at", Utc, nullable=False),
    Column("posted_by", String(160), nullable=False),
    Index(None, "day"),
    Index(None, "request_id"),
    Index("ix_adjustments_source_source_id", "source", "source_id"),
)
"""Later correcting rows; records are never edited. ``source`` is reconciliation or repricing. They
are in the rollups too, as certainty ``adjusted``; 0 stands for a team, client or key that nobody
knows. Budgets are not charged: their windows count what was admitted."""

reconciliations = Table(
    "reconciliations",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("since", Utc, nullable=False),
    Column("until", Utc, nullable=False),
    Column("provider", String(256), nullable=False),
    Column("state", String(16), nullable=False),
    Column("ours_nano", BigInteger, nullable=False),
    Column("theirs_nano", BigInteger, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("created_by", String(160), nullable=False),
    Column("decided_at", Utc),
    Column("decided_by", String(160)),
)
"""Comparisons with the provider's bill. ``state`` is open, approved or dismissed."""

reconciliation_lines = Table(
    "reconciliation_lines",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("reconciliation_id", BigInteger, ForeignKey("reconciliations.id"), nullable=False),
    Column("day", Utc, nullable=False),
    Column("model", String(128), nullable=False),
    Column("line_item", String(64), nullable=False),
    Column("ours_nano", BigInteger, nullable=False),
    Column("theirs_nano", BigInteger, nullable=False),
    Column("ours_quantity", BigInteger, nullable=False),
    Column("theirs_quantity", BigInteger),
    Column("cause", String(32), nullable=False),
    Column("cause_nano", BigInteger, nullable=False),
    Column("explanation", Text, nullable=False),
    Index(None, "reconciliation_id"),
)
"""One row per day, model, line item and cause of a difference: ``cause_nano`` is its part."""

repricings = Table(
    "repricings",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("since", Utc, nullable=False),
    Column("until", Utc, nullable=False),
    Column("model_pattern", String(128)),
    Column("records", BigInteger, nullable=False),
    Column("before_nano", BigInteger, nullable=False),
    Column("after_nano", BigInteger, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("created_by", String(160), nullable=False),
)
"""Applied repricings; what they changed is in ``adjustments``."""

# Alerts

alert_channels = Table(
    "alert_channels",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("name", String(128), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    Column("target", String(1024), nullable=False),
    Column("secret", String(128)),
    Column("removed_at", Utc),
    Column("created_at", Utc, nullable=False),
)
"""Where alerts go: a signed webhook, a Slack-compatible webhook or an e-mail address. ``secret``
signs a webhook; it is shown once, and kept because signing needs it."""

alert_rules = Table(
    "alert_rules",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("name", String(128), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    Column("budget_id", BigInteger, ForeignKey("budgets.id")),
    Column("team_id", BigInteger, ForeignKey("teams.id")),
    Column("client_id", BigInteger, ForeignKey("clients.id")),
    Column("percents", Text, nullable=False),
    Column("channel_ids", Text, nullable=False),
    Column("removed_at", Utc),
    Column("created_at", Utc, nullable=False),
)
"""``kind`` is threshold, forecast or anomaly; ``percents`` a JSON list of whole percents of a
budget's limit, or of the usual spend. A rule without a budget, team or client is for all."""

alert_events = Table(
    "alert_events",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("rule_id", BigInteger, ForeignKey("alert_rules.id"), nullable=False),
    Column("subject", String(64), nullable=False),
    Column("period_start", Utc, nullable=False),
    Column("percent", Integer, nullable=False),
    Column("facts", Text, nullable=False),
    Column("created_at", Utc, nullable=False),
    UniqueConstraint("rule_id", "subject", "period_start", "percent"),
)
"""Crossings. The unique key is what makes each of them one alert, however many look."""

alert_deliveries = Table(
    "alert_deliveries",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("event_id", BigInteger, ForeignKey("alert_events.id"), nullable=False),
    Column("channel_id", BigInteger, ForeignKey("alert_channels.id"), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", Utc, nullable=False),
    Column("last_error", String(512)),
    Column("sent_at", Utc),
    UniqueConstraint("event_id", "channel_id"),
    Index("ix_alert_deliveries_state_next_at", "state", "next_at"),
)
"""``state`` is waiting, sent or failed."""
