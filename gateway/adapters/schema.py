"""The whole SQL schema: the one place that knows every module with tables in it."""

from __future__ import annotations

from sqlalchemy import MetaData

from gateway.adapters import control_tables, rollup_tables, tables

TABLE_MODULES = (tables, rollup_tables, control_tables)
"""The modules that define tables."""

metadata: MetaData = tables.metadata
"""Every table of every module above."""
