"""Who may see and do what in the control plane: roles, and one who acts in one of them.

Every rule of permission is here, pure, so that the pages, the admin API and the usage API cannot
disagree. docs/access.md has them as a table.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What somebody is to the control plane."""

    ADMIN = "admin"
    """Sees and changes everything."""
    FINANCE = "finance"
    """Sees everything; decides about corrections of cost, and changes nothing else."""
    OWNER = "owner"
    """Sees one team; changes its clients, their keys and the budgets on them."""
    CLIENT = "client"
    """A key of a client, which sees that client and changes nothing."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody or something that acts on the control plane.

    ``actor`` is as the audit log shows it: ``user:ann@acme.example``, ``token:3``,
    ``key:fg-abcd...wxyz``, ``cli:root``. ``team_id`` is set for owners and clients,
    ``client_id`` for clients alone: a role without what bounds it would see everything, so it
    cannot be made. ``address`` is where the request came from.
    """

    actor: str
    role: Role
    team_id: int | None = None
    client_id: int | None = None
    address: str | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a role whose bounds are missing, or that has bounds it must not."""
        bounded = self.role in (Role.OWNER, Role.CLIENT)
        if bounded != (self.team_id is not None):
            raise ValueError(f"a principal with the role {self.role} and team {self.team_id}")
        if (self.role is Role.CLIENT) != (self.client_id is not None):
            raise ValueError(f"a principal with the role {self.role} and client {self.client_id}")

    # What it sees

    @property
    def sees_everything(self) -> bool:
        """Whether nothing is out of its sight: all teams, prices' changes, the audit log."""
        return self.role in (Role.ADMIN, Role.FINANCE)

    def team_scope(self) -> int | None:
        """The one team that it sees, or None where it sees all."""
        return self.team_id

    def client_scope(self) -> int | None:
        """The one client that it sees, or None where it sees all of ``team_scope``."""
        return self.client_id

    def sees_team(self, team_id: int) -> bool:
        """Whether it may see the team itself and all of its clients."""
        return self.sees_everything or (self.role is Role.OWNER and self.team_id == team_id)

    def sees_client(self, team_id: int, client_id: int) -> bool:
        """Whether it may see the client ``client_id`` of the team ``team_id``."""
        return self.sees_team(team_id) or (
            self.role is Role.CLIENT and self.team_id == team_id and self.client_id == client_id
        )

    def sees_budget(self, team_id: int | None, client_id: int | None) -> bool:
        """Whether it may see a budget, by what that is on; both None is the organization's.

        Whoever falls under a budget may see it: it is named where it refuses. ``team_id`` is
        also given for a client's budget.
        """
        if self.sees_everything or (team_id is None and client_id is None):
            return True
        if self.team_id != team_id:
            return False
        return self.role is Role.OWNER or client_id in (None, self.client_id)

    # What it does

    @property
    def may_write(self) -> bool:
        """Whether it may change anything of the directory at all; see ``may_change_client``."""
        return self.role in (Role.ADMIN, Role.OWNER)

    @property
    def may_administer(self) -> bool:
        """Whether it may change what is everybody's: teams, their budgets, prices, alerts,
        people and admin tokens."""
        return self.role is Role.ADMIN

    @property
    def may_decide(self) -> bool:
        """Whether it may post or dismiss corrections of cost: reconciliations, repricings."""
        return self.role in (Role.ADMIN, Role.FINANCE)

    def may_change_client(self, team_id: int) -> bool:
        """Whether it may create, change and remove clients of a team, their keys and budgets."""
        return self.may_administer or (self.role is Role.OWNER and self.team_id == team_id)

    def may_change_budget(self, team_id: int | None, client_id: int | None) -> bool:
        """Whether it may create, change and remove a budget, by what that is on.

        An owner's team is bounded by its own budgets, so those are not the owner's to change.
        """
        if self.may_administer:
            return True
        return client_id is not None and team_id is not None and self.may_change_client(team_id)


def role_of_groups(
    groups: frozenset[str], admin_groups: frozenset[str], finance_groups: frozenset[str]
) -> Role | None:
    """The role that membership in ``groups`` gives, the one that may most; None for none."""
    if groups & admin_groups:
        return Role.ADMIN
    return Role.FINANCE if groups & finance_groups else None
