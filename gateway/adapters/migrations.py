"""Brings a database to the schema of this version, and says when one is not at it."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from gateway.adapters.database import DatabaseError, schema_revision

_PACKAGE = Path(__file__).parents[1]


def _folder() -> Path:
    """The migrations: beside the package in a checkout, inside it in an installed wheel."""
    beside, inside = _PACKAGE.parent / "migrations", _PACKAGE / "migrations"
    return beside if (beside / "env.py").exists() else inside


def _config(engine: Engine | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_folder()))
    config.attributes["engine"] = engine
    return config


def head_revision() -> str:
    """The newest migration of this version."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise DatabaseError("this installation carries no migrations; install it again")
    return head


def upgrade(engine: Engine) -> None:
    """Create or upgrade the schema."""
    command.upgrade(_config(engine), "head")


def check_schema(engine: Engine) -> None:
    """Raise DatabaseError, saying what to run, unless the schema is this version's."""
    found, wanted = schema_revision(engine), head_revision()
    if found == wanted:
        return
    if found is None:
        raise DatabaseError("the database is empty: run `faregate init`")
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if found in known:
        raise DatabaseError(
            f"the database is at migration {found}, not {wanted}: run `faregate init`"
        )
    raise DatabaseError(
        f"the database is at migration {found}, which this version does not know:"
        " it was made by a newer Faregate; install that version"
    )
