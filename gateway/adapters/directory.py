"""The directory: teams, clients, keys, budgets, allowed tags. A change moves the policy version."""

from __future__ import annotations

from sqlalchemy import insert, select, update

from gateway.adapters.allowed_tags import AllowedTags
from gateway.adapters.directory_budgets import Budgets
from gateway.adapters.directory_changes import insert_once as insert_once
from gateway.adapters.directory_changes import lock_policy as lock_policy
from gateway.adapters.directory_changes import move_policy_version as move_policy_version
from gateway.adapters.directory_changes import now as now
from gateway.adapters.directory_changes import policy_version as policy_version
from gateway.adapters.directory_clients import Clients
from gateway.adapters.directory_keys import Keys
from gateway.adapters.directory_keys import NewKey as NewKey
from gateway.adapters.directory_teams import Teams
from gateway.adapters.directory_values import DirectoryError as DirectoryError
from gateway.adapters.directory_values import checked_name
from gateway.adapters.tables import deployment, organizations


class Directory(Teams, Clients, Keys, Budgets, AllowedTags):
    """Reads and changes the directory, as one actor. Methods raise DirectoryError for bad input."""

    def initialise(self, organization: str) -> str:
        """Create the organization and the policy version, once; returns the name in force."""
        name = checked_name(organization)
        with self._engine.begin() as connection:
            # First, because this waits for a deployment being set up at the same time.
            insert_once(connection, deployment, name="policy_version", value=1)
            found = connection.execute(select(organizations.c.name)).scalar_one_or_none()
            if found is not None:
                return str(found)
            connection.execute(insert(organizations).values(name=name, created_at=now()))
            return name

    def version(self) -> int:
        """The policy version that SQL is at."""
        with self._engine.connect() as connection:
            return policy_version(connection)

    def overtake(self, version: int) -> None:
        """Move the policy version past ``version``."""
        with self._engine.begin() as connection:
            connection.execute(
                update(deployment)
                .where(deployment.c.name == "policy_version", deployment.c.value <= version)
                .values(value=version + 1)
            )
