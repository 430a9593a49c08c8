"""People who sign in, admin tokens of programs, and the tags that requests may carry."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Response, request

from gateway.adapters.accounts import Accounts, User
from gateway.adapters.admin_tokens import AdminTokens
from gateway.adapters.directory import Directory
from gateway.adapters.directory_values import checked_name
from gateway.adapters.passwords import hash_password
from gateway.adapters.table_files import Column, Kind
from gateway.adapters.threads import on_control_thread, on_password_thread
from gateway.core.credentials import CredentialError, checked_email, checked_password
from gateway.core.errors import NotFound
from gateway.core.roles import Principal, Role
from gateway.web import principals
from gateway.web.current import services
from gateway.web.dashboard import exports, forms, shell
from gateway.web.dashboard.forms import Form

blueprint = shell.pages("people")

CRUMB = shell.Crumb("People and tokens", "/people")
TAGS = shell.Crumb("Tags", "/tags")
ROLES = (
    (Role.ADMIN.value, "Administrator: sees and changes everything"),
    (Role.FINANCE.value, "Finance: sees everything, decides about corrections"),
    (Role.OWNER.value, "Owner: sees one team, changes its clients"),
)
COLUMNS = (
    Column("email"),
    Column("name"),
    Column("role"),
    Column("team"),
    Column("signs_in_by"),
    Column("disabled_at", Kind.MOMENT),
    Column("created_at", Kind.MOMENT),
)


@blueprint.get("/people")
def every() -> Response:
    """Who may sign in, and which programs may ask."""
    viewer = principals.principal(Role.ADMIN)
    engine, now = services().engine, datetime.now(UTC)
    users = on_control_thread(Accounts(engine).users)
    if kind := exports.wanted():
        rows = [
            (u.email, u.name, u.role, u.team_name, ways(u), u.disabled_at, u.created_at)
            for u in users
        ]
        return exports.as_file(kind, "people", COLUMNS, exports.one_batch(rows))
    tokens = on_control_thread(AdminTokens(engine).tokens)
    return shell.render(
        "people.html",
        viewer,
        title="People and tokens",
        users=[(user, ways(user)) for user in users],
        tokens=[(token, token.state(now)) for token in tokens],
    )


def ways(user: User) -> str:
    """How somebody may sign in."""
    by = ["password"] if user.has_password else []
    by += ["identity provider"] if user.from_provider else []
    return " or ".join(by) or "identity provider, not yet"


@blueprint.route("/people/new", methods=["GET", "POST"])
def create() -> Response:
    """Make an account."""
    viewer = principals.principal(Role.ADMIN)
    form = Form({"role": Role.FINANCE.value})
    if request.method == "POST":
        form = Form.sent()
        email = form.checked("email", checked_email) or ""
        role, team = _role_and_team(form)
        password = _password(form, email) if form.values.get("password") else None

        accounts = Accounts(services().engine)

        def make() -> int:
            hashed = None if password is None else on_password_thread(hash_password, password)
            return on_control_thread(
                lambda: accounts.create(
                    viewer,
                    email,
                    role,
                    name=form.values.get("name", ""),
                    team=team,
                    password_hash=hashed,
                )
            )

        fields = {"team": "team", "owner": "team", "account": "email", "name": "name"}
        if forms.attempt(viewer, form, make, fields=fields) is not None:
            return forms.done("/people", f"{email} may sign in.")
        form.values["password"] = ""
    return forms.render(
        "person_form.html",
        viewer,
        form,
        title="New account",
        crumbs=[CRUMB],
        user=None,
        roles=ROLES,
        teams=_teams(viewer),
    )


@blueprint.route("/people/<int:user_id>/edit", methods=["GET", "POST"])
def edit(user_id: int) -> Response:
    """Change somebody's role or password, or whether the account works."""
    viewer = principals.principal(Role.ADMIN)
    engine = services().engine
    user = next((u for u in on_control_thread(Accounts(engine).users) if u.id == user_id), None)
    if user is None:
        raise NotFound(f"There is no account {user_id}.")
    form = Form({"role": user.role.value, "team": user.team_name or ""})
    if request.method == "POST":
        form = Form.sent()
        said = _changed(viewer, user, form)
        if said:
            return forms.done("/people", said)
        form.values["password"] = ""
        form.values.setdefault("role", user.role.value)
    return forms.render(
        "person_form.html",
        viewer,
        form,
        title=f"Change {user.email}",
        crumbs=[CRUMB],
        user=user,
        roles=ROLES,
        teams=_teams(viewer),
        is_self=viewer.actor == f"user:{user.email}",
    )


def _changed(viewer: Principal, user: User, form: Form) -> str | None:
    """Make the change that the form's button asks for; what to say of it, None where refused."""
    accounts, what = Accounts(services().engine), form.values.get("do", "role")
    email = user.email
    if viewer.actor == f"user:{email}" and what != "password":
        form.fail("", "this is your own account: another administrator changes it")
    role, team = (user.role, None) if what != "role" else _role_and_team(form)
    password = _password(form, email) if what == "password" else ""

    def make() -> str:
        if what == "password":
            hashed = on_password_thread(hash_password, password)
            on_control_thread(accounts.set_password, viewer, email, hashed)
            return f"{email} has a new password, and is signed out everywhere."
        if what in ("disable", "enable"):
            on_control_thread(getattr(accounts, what), viewer, email)
            return f"The account {email} is {what}d."
        on_control_thread(accounts.change_role, viewer, email, role, team)
        return f"{email} is {role} now."

    return forms.attempt(viewer, form, make, fields={"team": "team", "owner": "team"})


def _role_and_team(form: Form) -> tuple[Role, str | None]:
    role = form.choice("role", Role)
    if role is Role.CLIENT:
        form.fail("role", "an account is an administrator, finance or an owner")
    team = form.values.get("team") or None
    return role, team if role is Role.OWNER else None


def _password(form: Form, email: str) -> str:
    try:
        # As it was typed: spaces at its ends count.
        return checked_password(request.form.get("password", ""), email)
    except CredentialError as error:
        form.fail("password", str(error))
        return ""


def _teams(viewer: Principal) -> list[tuple[str, str]]:
    rows = on_control_thread(Directory(services().engine, viewer).teams)
    return [("", "No team"), *((row.name, row.name) for row in rows)]


# Tokens


@blueprint.route("/tokens/new", methods=["GET", "POST"])
def create_token() -> Response:
    """Make an admin token; its secret is shown once."""
    viewer = principals.principal(Role.ADMIN)
    form = Form({"role": Role.FINANCE.value, "expires_days": "90"})
    if request.method == "POST":
        form = Form.sent()
        name, (role, team) = form.checked("name", checked_name), _role_and_team(form)
        expires_in, tokens = form.days("expires_days"), AdminTokens(services().engine)

        def make() -> Any:
            return on_control_thread(
                lambda: tokens.create(viewer, name, role, team=team, expires_in=expires_in)
            )

        fields = {"team": "team", "owner": "team"}
        made = forms.attempt(viewer, form, make, fields=fields)
        if made is not None:
            return shell.render(
                "secret.html",
                viewer,
                title="A new admin token",
                crumbs=[CRUMB],
                made=made,
                back="/people",
                back_label="Back to people and tokens",
            )
    return forms.render(
        "token_form.html",
        viewer,
        form,
        title="New admin token",
        crumbs=[CRUMB],
        roles=ROLES,
        teams=_teams(viewer),
    )


@blueprint.route("/tokens/<int:token_id>/revoke", methods=["GET", "POST"])
def revoke_token(token_id: int) -> Response:
    """Stop a token, after a page that asks whether to."""
    viewer = principals.principal(Role.ADMIN)
    tokens = AdminTokens(services().engine)
    token = next((t for t in on_control_thread(tokens.tokens) if t.id == token_id), None)
    if token is None:
        raise NotFound(f"There is no admin token {token_id}.")
    form = Form()
    if request.method == "POST":
        form = Form.sent()

        def make() -> bool:
            on_control_thread(tokens.revoke, viewer, token_id)
            return True

        if forms.attempt(viewer, form, make):
            return forms.done("/people", f"The token {token.name} is revoked.")
    return forms.render(
        "confirm.html",
        viewer,
        form,
        title=f"Revoke {token.name}?",
        crumbs=[CRUMB],
        verb="Revoke the token",
        back="/people",
        consequences=[
            f"Programs that use {token.display} are refused from the next request on.",
            "A revoked token cannot be brought back.",
        ],
    )


# Tags


@blueprint.route("/tags", methods=["GET", "POST"])
def tags() -> Response:
    """The tags that requests may carry; a form adds one."""
    viewer = principals.principal(Role.ADMIN, Role.FINANCE)
    form = Form()
    if request.method == "POST":
        forms.allow(viewer.may_administer, "Only administrators allow tags.")
        form = Form.sent()
        name = form.checked("name", str) or ""

        def make(to: Directory) -> bool:
            to.add_tag_key(name)
            return True

        fields = {"tag": "name", "name": "name"}
        if forms.attempt(viewer, form, lambda: forms.change(viewer, make), fields=fields):
            return forms.done("/tags", f"Requests may carry the tag {name} from now on.")
    rows = on_control_thread(Directory(services().engine, viewer).tag_keys)
    if kind := exports.wanted():
        columns = Column("name"), Column("created_at", Kind.MOMENT)
        cells = [(row.name, row.created_at) for row in rows]
        return exports.as_file(kind, "tags", columns, exports.one_batch(cells))
    return forms.render(
        "tags.html",
        viewer,
        form,
        title="Tags",
        rows=rows,
        may_change=viewer.may_administer,
        base_url=f"{request.host_url}v1",
    )


@blueprint.route("/tags/<name>/remove", methods=["GET", "POST"])
def remove_tag(name: str) -> Response:
    """Allow a tag no more, after a page that asks whether to."""
    viewer = principals.principal(Role.ADMIN)
    form = Form()
    if request.method == "POST":
        form = Form.sent()

        def make(to: Directory) -> bool:
            to.remove_tag_key(name)
            return True

        if forms.attempt(viewer, form, lambda: forms.change(viewer, make)):
            return forms.done("/tags", f"The tag {name} is allowed no more.")
    return forms.render(
        "confirm.html",
        viewer,
        form,
        title=f"Allow {name} no more?",
        crumbs=[TAGS],
        verb="Remove the tag",
        back="/tags",
        consequences=[
            "Requests that carry it are served as before, and recorded without it.",
            "Records that have it keep it, and reports by it stay.",
        ],
    )
