"""Single sign-on: believe the identity header which the web server sets at the login URL alone."""

import asyncio
import contextlib
import grp
import os
import pwd
import re

from jhub_remote_user_authenticator.remote_user_auth import RemoteUserAuthenticator
from jupyterhub.handlers import BaseHandler, LogoutHandler
from tornado import web
from traitlets import Bool, Dict, Enum, Instance, Integer, Set, Unicode, default

from .jobs import JobTables
from .transport import SchedulerError, Wrapper

# What Apache's mod_headers writes for a variable that is not set.
UNSET = "(null)"

# The user id of `nobody`, whom all that belongs to no one belongs to: no person either.
NOBODY = 65534

# How the wrapper says that an account may not run jobs, and sudo that there is none.
NOT_ALLOWED = 77
UNKNOWN_USER = re.compile(r"(?i)unknown user")


def decode(value):
    """Header bytes arrive as Latin-1 text, while identity providers send UTF-8."""
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value


def header_values(request, name):
    """All values of a header, whichever of `_` and `-` its sender wrote in the name."""

    def canonical(spelling):
        return spelling.replace("_", "-").lower()

    return [
        decode(value).strip()
        for spelling, value in request.headers.get_all()
        if canonical(spelling) == canonical(name)
    ]


def local_account(username):
    account = pwd.getpwnam(username)
    groups = []
    for gid in os.getgrouplist(username, account.pw_gid):
        # A number may be without a name.
        with contextlib.suppress(KeyError):
            groups.append(grp.getgrgid(gid).gr_name)
    return account.pw_uid, groups


class GatewayLoginHandler(BaseHandler):
    """Sign in whoever the web server says is there; an earlier login of somebody else ends."""

    async def get(self):
        user = await self.login_user()
        if user is None:
            raise self.authenticator.refusal(
                "You signed in, but your account may not use this JupyterHub."
            )
        self._jupyterhub_user = user
        self.redirect(self.get_next_url(user))


class GatewayLogoutHandler(LogoutHandler):
    """Clear the hub's own cookies, then go on to where the web server's session ends."""

    async def render_logout_page(self):
        target = self.authenticator.logout_redirect_url
        if target:
            self.redirect(target, permanent=False)
        else:
            # Not to the login page, which would sign the same user in again.
            self.finish(await self.render_template("logout.html"))


class GatewayAuthenticator(RemoteUserAuthenticator):
    """Exactly one well-formed header value of an ordinary account, or a refusal that says why."""

    header_name = Unicode("Remote_User", config=True, help="Header with the user's name.")

    data_header_name = Unicode(
        "Remote_User_Data",
        config=True,
        help="Header with further data about the user, separated by `;`: the groups.",
    )

    group_pattern = Unicode(
        r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}",
        config=True,
        help="Data that matches this as a whole are groups; the rest stays in auth_state only.",
    )

    allowed_groups = Set(
        config=True,
        help="Groups whose members may sign in, in addition to `allowed_users`.",
    )

    blocked_groups = Set(
        config=True, help="Groups whose members may not sign in, whatever else says they may."
    )

    admin_groups = Set(
        config=True,
        help="""Groups whose members have admin rights, in addition to `admin_users`. Where there
        are any, leaving them ends the rights at the next sign-in.""",
    )

    groups_from = Enum(
        ["sign-on", "account"],
        "sign-on",
        config=True,
        help="""Where groups come from: the data that the sign-on sends, or the account's Unix
        groups, on the machine where jobs are submitted.""",
    )

    group_names = Dict(
        key_trait=Unicode(),
        value_trait=Unicode(),
        config=True,
        help="Names of groups, by what the sign-on calls them in its data.",
    )

    contact = Unicode(config=True, help="A sentence for people who are refused: whom to ask.")

    minimum_uid = Integer(
        1000,
        min=1,
        config=True,
        help="Accounts with a lower user id, those of the system, may not sign in.",
    )

    require_account = Bool(
        True,
        config=True,
        help="Refuse a user whom this machine does not know, rather than fail to start a server.",
    )

    logout_redirect_url = Unicode(
        config=True,
        help="Where to go after the hub's own logout: the logout of the web server's session.",
    )

    manage_groups = Bool(
        True, config=True, help="Take the user's groups from `data_header_name` at each login."
    )

    # Passed by one request after the other.
    turn = Instance(asyncio.Lock, ())

    @default("refresh_pre_spawn")
    def _refresh_pre_spawn_default(self):
        # One who was struck off a moment ago starts no server.
        return True

    @default("allow_existing_users")
    def _allow_existing_users_default(self):
        # An allow list means what it says: being struck off it ends the access.
        return False

    def get_handlers(self, app):
        return [("/login", GatewayLoginHandler), ("/logout", GatewayLogoutHandler)]

    def validate_username(self, username):
        # The base class matches the beginning only: "bob; rm" would pass as "bob".
        pattern = self.username_pattern
        return super().validate_username(username) and (
            not pattern or re.fullmatch(pattern, username) is not None
        )

    def check_allowed(self, username, authentication=None):
        groups = (authentication or {}).get("groups") or []
        return super().check_allowed(username, authentication) or bool(
            self.allowed_groups.intersection(groups)
        )

    def check_blocked_users(self, username, authentication=None):
        groups = (authentication or {}).get("groups") or []
        return super().check_blocked_users(
            username, authentication
        ) and self.blocked_groups.isdisjoint(groups)

    def refusal(self, message):
        """The page for somebody who may not come in; with whom to ask, where the site says so."""
        # Without a reason of its own the message would stand on the page twice.
        return web.HTTPError(403, f"{message} {self.contact}".strip(), reason="Forbidden")

    async def authenticate(self, handler, data=None):
        name = self.read_name(handler.request)
        data = self.read_data(handler.request)
        groups = await self.check_account(self.normalize_username(name))
        if self.groups_from == "sign-on":
            names = [self.group_names.get(item, item) for item in data]
            groups = [name for name in names if re.fullmatch(self.group_pattern, name)]
        return {"name": name, "auth_state": {"name": name, "data": data}, "groups": groups}

    def is_admin(self, handler, authentication):
        admin = super().is_admin(handler, authentication)
        if not admin and self.admin_groups:
            admin = not self.admin_groups.isdisjoint(authentication.get("groups") or [])
        return admin

    async def refresh_user(self, user, handler=None):
        # Away from the login URL the web server sends no header, and one that is there is never
        # a proof of who someone is; but one of another user ends this session. Plain True keeps
        # the auth_state and the groups of the login.
        values = header_values(handler.request, self.header_name) if handler else []
        if not all(self.normalize_username(value) == user.name for value in values):
            return False
        # Struck off a list since, or the account is gone: the session ends before its cookie does.
        groups = [group.name for group in user.groups]
        model = {"name": user.name, "groups": groups}
        try:
            await self.check_account(user.name)
        except web.HTTPError as error:
            # Nobody is signed out because the submit host cannot be asked.
            if error.status_code != 503:
                return False
        # Each start comes by here, and the hub's own work for it is a long piece. When a whole
        # course starts its servers in one moment, other requests are answered between them.
        async with self.turn:
            await asyncio.sleep(0)
        blocked = not self.check_blocked_users(user.name, model)
        return not blocked and bool(self.check_allowed(user.name, model))

    def read_name(self, request):
        """The one user name in the request. A proxy may have joined two headers by a comma."""
        values = header_values(request, self.header_name)
        if not any(values):
            raise web.HTTPError(
                401,
                "The web server did not say who you are. Sign in through its login page.",
                reason="Unauthorized",
            )
        if len(values) > 1 or "," in values[0]:
            raise self.refusal("The web server named more than one user. Sign in again.")
        name = values[0]
        # The pattern sees the lower-case name, and lower() turns one foreign letter into an ASCII
        # one (the Kelvin sign, into k): that would be somebody else's name.
        lookalike = not name.isascii() and name.lower().isascii()
        if name == UNSET or lookalike or not self.validate_username(self.normalize_username(name)):
            self.log.warning("Refused the user name %.40r", name)
            raise self.refusal(
                "The web server sent a user name that is not valid on this JupyterHub."
            )
        return name

    def read_data(self, request):
        values = header_values(request, self.data_header_name)
        if len(values) > 1:
            raise self.refusal("The web server sent the data about you twice. Sign in again.")
        items = [item.strip() for value in values for item in value.split(";")]
        return [item for item in items if item and item != UNSET]

    async def check_account(self, username):
        """Refuse accounts of the system, and unknown ones, which could not start a server.

        Return the account's groups.
        """
        try:
            uid, groups = await self.account(username)
        except KeyError:
            if self.require_account:
                self.log.warning("Refused %s, who has no account on this machine", username)
                raise self.refusal(
                    f"You signed in as {username}, but this machine has no account of that name. "
                    "Ask its administrators for one."
                ) from None
            return []
        if uid < self.minimum_uid or uid == NOBODY:
            self.log.warning("Refused %s, whose user id is %i", username, uid)
            raise self.refusal(
                f"{username} is an account of the system, which may not sign in here."
            )
        return groups

    async def account(self, username):
        """User id and groups of an account where jobs are submitted; KeyError if there is none."""
        wrapper = Wrapper.get()
        if wrapper.transport == "local":
            # Off the event loop, since a directory service may take its time to answer.
            return await asyncio.to_thread(local_account, username)
        # This machine may know nobody.
        cluster = next(iter(JobTables.get().clusters))
        try:
            account = await wrapper.account(cluster, username)
            return account["uid"], account["groups"]
        except SchedulerError as error:
            if error.code == NOT_ALLOWED:
                raise self.refusal(f"{username} may not start servers: {error}.") from None
            if UNKNOWN_USER.search(str(error)):
                raise KeyError(username) from None
            self.log.error("The submit host does not say who %s is: %s", username, error)
            raise web.HTTPError(
                503, "The cluster cannot be asked about your account at the moment. Try again soon."
            ) from None
