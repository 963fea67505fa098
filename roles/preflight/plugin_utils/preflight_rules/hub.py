"""The hub: its name, path and account, and who may sign in."""

from __future__ import annotations

import re

from .problems import MISSING, Instance
from .sign_on import brings_no_groups

HUB_NAME = re.compile(r"[a-z][a-z0-9-]{0,20}")


ACCOUNT = re.compile(r"[a-z_][a-z0-9_-]{0,31}")


BASE_URL = re.compile(r"/(?:[A-Za-z0-9_~-][A-Za-z0-9._~-]*/)*")


# Names no pattern of user names may admit; each is a trick against sudo, paths or headers.
FORGED_NAMES = {
    "": "the empty name",
    "(null)": '"(null)", which Apache sends when nobody has signed in',
    "..": '".."',
    "../x": '"../x"',
    "a/b": 'names with a slash, as "a/b"',
    "a b": 'names with a space, as "a b"',
    "a,b": 'names with a comma, as "a,b" (two headers joined)',
    "a;b": 'names with a semicolon, as "a;b"',
    "-a": 'names that begin with a dash, as "-a" (an option to sudo)',
}


def check_hub(instance: Instance) -> None:
    """Check name, address prefix, account and who may sign in."""
    name = instance.sound("hub_name")
    if isinstance(name, str):
        if not HUB_NAME.fullmatch(name):
            instance.report(
                ("hub_name",),
                "becomes part of paths, units and an account, and so may hold only small letters,"
                " digits and dashes, a letter first, at most 21 in all",
                "Use a short word, as main or test",
            )
        elif name.startswith("proxy-"):
            instance.report(
                ("hub_name",),
                f"its unit jupyterhub-{name}.service would be the proxy unit of another hub",
                'Use a name that does not begin with "proxy-"',
            )
    url = instance.sound("hub_base_url")
    if isinstance(url, str) and not BASE_URL.fullmatch(url):
        instance.report(
            ("hub_base_url",),
            "is not a path that begins and ends with /, made of letters, digits and . _ ~ -",
            "Write only the path, as /jupyter/; the server stands in gateway_server_name",
        )
    _check_hub_account(instance)
    _check_username_pattern(instance)
    _check_users(instance)
    _check_groups(instance)
    _check_ports(instance)
    url = instance.sound("singleuser_default_url")
    if isinstance(url, str) and not re.fullmatch(r"/[^\s\"'\\]*", url):
        instance.report(
            ("singleuser_default_url",),
            "is not a path that begins with /",
            "Use /lab, or /tree for the classic pages",
        )
    title = instance.sound("gateway_site_name")
    if isinstance(title, str) and not (title.strip() and title.isprintable()):
        instance.report(
            ("gateway_site_name",), "is not one line of text", "Use a title of a few words"
        )


def _check_hub_account(instance: Instance) -> None:
    account = instance.sound("hub_account")
    if instance.sound("hub_name") is MISSING:
        return  # the default account is named after the hub
    if account == "root":
        instance.report(
            ("hub_account",),
            "the hub never runs as root",
            "Remove the line: an account of the hub's own is made",
        )
    elif isinstance(account, str) and not ACCOUNT.fullmatch(account):
        instance.report(
            ("hub_account",),
            "is no name of an account",
            "Use small letters, digits, _ and -, at most 32, or remove the line for the default",
        )


def _check_username_pattern(instance: Instance) -> None:
    path = ("hub_username_pattern",)
    text = instance.sound(*path)
    if not isinstance(text, str):
        return
    usual = "The default is '^[a-z_][a-z0-9_-]{0,31}$'"
    try:
        pattern = re.compile(text)
    except re.error as error:
        instance.report(path, f"is not a regular expression ({error})", usual)
        return
    if not text.startswith(("^", r"\A")) or not text.endswith(("$", r"\Z")):
        instance.report(
            path,
            "is not anchored, so that a name need only begin with or contain what it describes",
            f"Begin it with ^ and end it with $. {usual}",
        )
        return
    # `search`, so that "^a|b$", anchored on one side of the bar each, does not slip through.
    forged = [text for name, text in FORGED_NAMES.items() if pattern.search(name)]
    if forged:
        more = f" and {len(forged) - 1} more such" if len(forged) > 1 else ""
        instance.report(path, f"admits {forged[0]}{more}", usual)


def _check_users(instance: Instance) -> None:
    text = instance.sound("hub_username_pattern")
    pattern = re.compile(text) if isinstance(text, str) else None
    lists = ("hub_admin_users", "hub_allowed_users", "hub_blocked_users")
    for name in lists:
        for number, user in instance.strings(name):
            if user == "root" and name != "hub_blocked_users":
                instance.report((name, number), "root never signs in", "Remove it from the list")
            elif pattern and not pattern.fullmatch(user):
                instance.report(
                    (name, number),
                    "does not match hub_username_pattern, so that this user could never sign in",
                    "Correct the name, or widen hub_username_pattern",
                )
    blocked = {user for _, user in instance.strings("hub_blocked_users")}
    for name in lists[:2]:
        for number, user in instance.strings(name):
            if user in blocked:
                instance.report(
                    (name, number),
                    "stands in hub_blocked_users too",
                    "Take the user out of one of the two lists",
                )


def _check_groups(instance: Instance) -> None:
    """Refuse a list of groups that no sign-on fills: it would let nobody in."""
    groups = instance.sound("hub_allowed_groups")
    if isinstance(groups, list) and groups and (why := brings_no_groups(instance)):
        instance.report(
            ("hub_allowed_groups",),
            f"{why}, so that this lets nobody in",
            "Remove it, and list people in hub_allowed_users",
        )


def _check_ports(instance: Instance) -> None:
    text = instance.sound("hub_notebook_ports")
    if not isinstance(text, str) or not text:
        return
    match = re.fullmatch(r"([0-9]{1,5})-([0-9]{1,5})", text)
    if not match or not 1024 <= int(match[1]) < int(match[2]) <= 65535:
        instance.report(
            ("hub_notebook_ports",),
            "is not a range of ports between 1024 and 65535, the lower one first",
            'Write it as "50000-50100", or remove the line for any free port',
        )
