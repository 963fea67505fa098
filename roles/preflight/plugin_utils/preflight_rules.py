"""What an inventory must satisfy: plain rules over plain values.

Nothing here touches a machine or needs a running Ansible. `check` takes what one instance would be
deployed with and returns every problem it finds, not only the first.
"""

from __future__ import annotations

import difflib
import ipaddress
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.errors import ArgumentValueError

Path = tuple[str | int, ...]

# Stands for "there is no value": None is something an inventory can say.
MISSING: Any = type("Missing", (), {"__repr__": lambda self: "MISSING"})()

HUB_NAME = re.compile(r"[a-z][a-z0-9-]{0,20}")
ACCOUNT = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
BASE_URL = re.compile(r"/(?:[A-Za-z0-9_~-][A-Za-z0-9._~-]*/)*")
HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    r"(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)
HEADER = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
PROFILE_KEY = re.compile(r"[a-z0-9-]+")
PARTITION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
CLASS = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
MEMORY = re.compile(r"[1-9][0-9]*(?:[kmgt]b?)?", re.IGNORECASE)
COUNT = re.compile(r"[1-9][0-9]*")

ALIASES = ("local", "slurm", "torque", "pbs", "gridengine", "condor", "lsf", "moab")
PROFILE_FIELDS = ("name", "key", "spawner", "options", "groups", "default")
PROFILE_REQUIRED = ("name", "key", "spawner")

# Lowest and highest value of numbers: argument specs know no ranges.
RANGES: dict[str, tuple[float, float]] = {
    "batch_command_timeout": (1, 600),
    "gateway_api_port": (1, 65535),
    "gateway_http_port": (1, 65535),
    "gateway_https_port": (1, 65535),
    "gateway_max_request_workers": (128, 65536),
    "hub_concurrent_spawn_limit": (1, 100000),
    "hub_minimum_uid": (1, 2**32 - 2),
    "hub_start_timeout": (10, 86400),
    "preflight_disk_free_gb": (0, 1000000),
    "release_keep": (1, 1000),
    "slurm_cpus": (1, 100000),
    "slurm_memory_mb": (1, 2**40),
}
PORTS = ("gateway_http_port", "gateway_https_port", "gateway_api_port")

# What all instances of one machine share, so that the last one deployed would win.
SHARED_BY_MACHINE = (
    "gateway_max_request_workers",
    "gateway_ports_managed",
    "slurm_embedded",
    "slurm_partitions",
    "slurm_cpus",
    "slurm_memory_mb",
)
# What all instances under one server name share: they are parts of one virtual host.
SHARED_BY_SERVER = (
    "gateway_listen",
    "gateway_http_port",
    "gateway_https_port",
    "gateway_tls_certificate",
    "gateway_tls_key",
    "gateway_api_listen",
    "gateway_api_port",
)
COMPARED = (
    "hub_name",
    "hub_base_url",
    "hub_account",
    "gateway_server_name",
    *SHARED_BY_SERVER,
    *SHARED_BY_MACHINE,
)

# Headers that the gateway, Apache or browsers use for themselves.
RESERVED_HEADERS = re.compile(
    r"authorization|connection|content-(?:length|type)|cookie|forwarded|host|origin|referer|te"
    r"|transfer-encoding|upgrade|x-forwarded-\w+|x-real-ip|x-scheme"
)

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

SECRET_NAME = re.compile(
    r"token|passw|passphrase|secret|credential|(?:private|crypt|api|ssh)_?key", re.IGNORECASE
)
SECRET_TEXT = re.compile(r"-----BEGIN|PRIVATE KEY")
HIDDEN = "(not shown)"

TRAIT_TYPES: dict[str, type | tuple[type, ...]] = {
    "any": object,
    "bool": bool,
    "dict": Mapping,
    "float": (int, float),
    "int": int,
    "list": list,
    "str": str,
}
TYPE_NAMES = {
    "bool": "true or false",
    "dict": "a mapping (key: value)",
    "float": "a number",
    "int": "a whole number",
    "list": "a list",
    "path": "a path",
    "str": "text",
}


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where, what, and what would be right (both without a full stop)."""

    path: Path
    value: Any
    what: str
    remedy: str


@dataclass(frozen=True)
class Specs:
    """What the roles' argument specs say, merged: every variable under the role it is named for."""

    options: Mapping[str, Mapping]
    required: frozenset[str]
    roles: tuple[str, ...]

    def owner(self, name: str) -> str | None:
        """Return the role that a variable is named for, by the longest name that fits."""
        bare = name.removeprefix("__")
        fitting = [role for role in self.roles if bare.startswith(f"{role}_")]
        return max(fitting, key=len, default=None)


@dataclass
class Instance:
    """What one inventory host would be deployed with, and what is found wrong with it."""

    host: str
    values: Mapping[str, Any]
    # Variables whose value only the machine can tell: no rule judges them.
    unknown: frozenset[str] = frozenset()
    problems: list[Problem] = field(default_factory=list)

    def look(self, *path: str | int) -> Any:
        """Return the value at a path, MISSING where there is none."""
        value: Any = self.values
        for part in path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return MISSING
        return value

    def sound(self, *path: str | int) -> Any:
        """Return the value at a path unless it, or a part of it, is already known to be wrong."""
        for problem in self.problems:
            if problem.path[: len(path)] == path:
                return MISSING
        return self.look(*path)

    def report(self, path: Path, what: str, remedy: str, value: Any = None) -> None:
        """Remember a problem."""
        self.problems.append(
            Problem(path, self.look(*path) if value is None else value, what, remedy)
        )

    def strings(self, name: str) -> list[tuple[int, str]]:
        """Return the sound items of a list of strings, with their positions."""
        items = self.look(name)
        if not isinstance(items, list):
            return []
        sound = ((number, self.sound(name, number)) for number in range(len(items)))
        return [(number, item) for number, item in sound if isinstance(item, str)]


def merge_specs(by_role: Mapping[str, Mapping[str, Mapping]]) -> Specs:
    """Merge {role: {entry point: {options: …}}}; a role's own word on its variables counts."""
    roles = tuple(sorted(by_role))
    owner = Specs({}, frozenset(), roles).owner
    options: dict[str, Mapping] = {}
    required = set()
    for role, entry_points in by_role.items():
        for entry_point, body in entry_points.items():
            for name, attributes in (body.get("options") or {}).items():
                if owner(name) == role or name not in options:
                    options[name] = attributes
                if owner(name) == role and entry_point == "main" and attributes.get("required"):
                    required.add(name)
    return Specs(options, frozenset(required), roles)


def path_text(path: Path) -> str:
    """Write a path as an admin would: `hub_profiles[2].options.req_nprocs`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def value_text(path: Path, value: Any, hidden: bool = False) -> str:
    """Write a value for a message: short, on one line, and never a secret."""
    if hidden or any(isinstance(part, str) and SECRET_NAME.search(part) for part in path):
        return HIDDEN
    text = json.dumps(_without_secrets(value), ensure_ascii=False, default=str)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _without_secrets(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            str(key): HIDDEN if SECRET_NAME.search(str(key)) else _without_secrets(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_without_secrets(item) for item in value]
    if isinstance(value, str) and SECRET_TEXT.search(value):
        return HIDDEN
    return value


def message(problem: Problem, where: str, hidden: bool = False) -> str:
    """Write a problem as one line: place, variable, value, reason, remedy."""
    subject = f"{where} {path_text(problem.path)}"
    if problem.value is not MISSING:
        subject += f" = {value_text(problem.path, problem.value, hidden)}"
    return f"{subject}: {problem.what}. {problem.remedy}."


def suggestion(word: str, choices: Iterable[str], otherwise: str) -> str:
    """Return "Did you mean …?", or another advice where nothing is near."""
    near = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.65)
    return f'Did you mean "{near[0]}"? {otherwise}' if near else otherwise


# Variables nobody reads


def check_names(instance: Instance, specs: Specs, given: Mapping[str, Any]) -> None:
    """Refuse what carries a role's name and no role knows, and what is one slip away from known."""
    for name in given:
        owner = specs.owner(name)
        if name in specs.options or name.startswith("ansible_"):
            continue
        if owner and name.startswith("__"):
            instance.report(
                (name,), f"names with __ are the role {owner}'s own", "Remove it", given[name]
            )
        elif owner:
            own = [option for option in specs.options if specs.owner(option) == owner]
            instance.report(
                (name,),
                f"the role {owner} has no such variable",
                suggestion(name, own, f"Its variables stand in roles/{owner}/defaults/main.yml"),
                given[name],
            )
        else:
            near = difflib.get_close_matches(name, specs.options, n=1, cutoff=0.9)
            if near:
                instance.report(
                    (name,),
                    "no role reads this variable",
                    f'Did you mean "{near[0]}"? Otherwise give it a name of another look',
                    given[name],
                )


def check_calls(instance: Instance, given: Mapping[str, Any], arguments: Iterable[str]) -> None:
    """Refuse in the inventory what roles hand to each other."""
    for name in arguments:
        if name in given:
            instance.report(
                (name,),
                "roles set this when they call each other, for every call anew",
                "Remove it from the inventory",
                given[name],
            )


# Types, as the argument specs have them


def check_types(instance: Instance, specs: Specs, call_arguments: Iterable[str]) -> None:
    """Check each variable against its argument spec, and that required ones are there."""
    for name, attributes in sorted(specs.options.items()):
        if name in instance.values:
            if name == "hub_profiles" and isinstance(instance.values[name], list):
                continue  # has rules of its own, with better messages
            instance.problems.extend(_type_problems((name,), instance.values[name], attributes))
        elif name in specs.required and name not in {*call_arguments, *instance.unknown}:
            instance.report(
                (name,),
                "is not set and has no default",
                f"Set it in the inventory: {_first_sentence(attributes)}",
            )


def _first_sentence(attributes: Mapping) -> str:
    text = attributes.get("description") or "see the role's README"
    text = text if isinstance(text, str) else text[0]
    text = re.sub(r"\b[A-Z]\(([^)]*)\)", r"\1", text)  # the markup of argument specs
    return text.split(". ")[0].rstrip(".")


def _type_problems(path: Path, value: Any, attributes: Mapping) -> Iterator[Problem]:
    kind = attributes.get("type", "str")
    if kind == "raw":
        return
    wanted = TYPE_NAMES.get(kind, kind)
    if value is None:
        yield Problem(path, value, "is empty", f"Give it {wanted}, or remove it for the default")
    elif kind == "list":
        if not isinstance(value, list):
            yield Problem(
                path, value, "is not a list", "Write it as a list: [one, two], or one - item a line"
            )
            return
        item = {
            key: attributes[key] for key in ("choices", "options", "no_log") if key in attributes
        }
        item["type"] = attributes.get("elements", "raw")
        for number, element in enumerate(value):
            yield from _type_problems((*path, number), element, item)
    elif kind == "dict":
        if not isinstance(value, Mapping):
            yield Problem(path, value, f"is not {wanted}", "Write it as lines of key: value")
        elif attributes.get("options"):
            yield from _mapping_problems(path, value, attributes["options"])
    else:
        problem = _scalar_problem(path, value, kind, attributes.get("choices"))
        if problem:
            yield problem


def _mapping_problems(path: Path, value: Mapping, options: Mapping) -> Iterator[Problem]:
    for key, item in value.items():
        if key in options:
            yield from _type_problems((*path, key), item, options[key])
        else:
            yield Problem(
                (*path, key),
                item,
                "is not a field known here",
                suggestion(str(key), options, f"The fields are {', '.join(options)}"),
            )
    for key, attributes in options.items():
        if attributes.get("required") and key not in value:
            yield Problem(
                (*path, key), MISSING, "is missing", f"Add {key}: {_first_sentence(attributes)}"
            )


def _scalar_problem(path: Path, value: Any, kind: str, choices: list | None) -> Problem | None:
    wanted = TYPE_NAMES.get(kind, kind)
    choice = f"Use one of {', '.join(map(str, choices))}" if choices else f"Give it {wanted}"
    if isinstance(value, list | Mapping):
        return Problem(path, value, f"is not {wanted}", choice)
    # The validator would turn these into something the admin did not mean.
    if kind in ("str", "path") and isinstance(value, bool):
        return Problem(
            path, value, "YAML reads this word as true or false", "Put it in quotes if it is text"
        )
    if kind in ("str", "path") and not isinstance(value, str):
        what = "YAML reads this as a number, and text is wanted (12:00:00 becomes 43200)"
        return Problem(path, value, what, "Put it in quotes")
    if kind in ("int", "float") and isinstance(value, bool):
        return Problem(path, value, f"is not {wanted}", f"Give it {wanted}")
    spec: dict[str, Any] = {"type": kind}
    if choices:
        spec["choices"] = choices
    errors = ArgumentSpecValidator({"value": spec}).validate({"value": value}).errors.errors
    if not errors:
        return None
    if isinstance(errors[0], ArgumentValueError):
        listed = map(str, choices or ())
        return Problem(path, value, "is not a choice here", suggestion(str(value), listed, choice))
    return Problem(path, value, f"is not {wanted}", choice)


def check_ranges(instance: Instance) -> None:
    """Check numbers against their range, paths for being absolute."""
    for name, (low, high) in RANGES.items():
        value = instance.sound(name)
        if value is MISSING:
            continue
        if not low <= float(value) <= high:
            if name == "hub_minimum_uid" and float(value) < low:
                what = "would let root sign in"
                remedy = "Use the first user id of people, on Debian 1000"
            else:
                what = "is out of range"
                remedy = f"Use a number from {low} to {high}"
            instance.report((name,), what, remedy)
    days = instance.sound("hub_cookie_max_age_days")
    if days is not MISSING and not 0 < float(days) <= 3650:
        instance.report(
            ("hub_cookie_max_age_days",),
            "is out of range",
            "Use days above 0 and at most 3650; 0.5 is twelve hours",
        )


def check_paths(instance: Instance, specs: Specs) -> None:
    """Check that every path is absolute: nothing says what it would be relative to."""
    for name, attributes in specs.options.items():
        value = instance.sound(name)
        if attributes.get("type") != "path" or not isinstance(value, str):
            continue
        if SECRET_TEXT.search(value):
            instance.report(
                (name,),
                "is the content of a file, and a path is wanted",
                "Put the content into a file on the machine and give the file's path",
            )
        elif not value.startswith("/"):
            instance.report(
                (name,),
                "is not an absolute path" if value else "is empty",
                "Write the path on the machine from / on, or remove the line for the default",
            )


# The hub


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


# Profiles


def walltime(text: str, scheduler: str) -> float | None:
    """Return seconds for a walltime as the scheduler writes it, None where it is none."""
    hours = minutes = seconds = days = 0
    if match := re.fullmatch(r"([0-9]{1,5}):([0-5][0-9]):([0-5][0-9])", text):
        hours, minutes, seconds = map(int, match.groups())
    elif scheduler == "lsf" and (match := re.fullmatch(r"([0-9]{1,5}):([0-5][0-9])", text)):
        hours, minutes = map(int, match.groups())
    elif scheduler != "slurm":
        return None
    elif text.upper() in ("UNLIMITED", "INFINITE"):
        return math.inf
    elif re.fullmatch(r"[0-9]{1,7}", text):
        minutes = int(text)
    elif match := re.fullmatch(r"([0-9]{1,7}):([0-5][0-9])", text):
        minutes, seconds = map(int, match.groups())
    elif match := re.fullmatch(
        r"([0-9]{1,4})-([01]?[0-9]|2[0-3])(?::([0-5][0-9])(?::([0-5][0-9]))?)?", text
    ):
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    else:
        return None
    return days * 86400 + hours * 3600 + minutes * 60 + seconds or None


def _walltime_forms(scheduler: str) -> str:
    if scheduler == "slurm":
        return 'Use "12:00:00", "1-12:00:00", "90:00" (minutes) or "90" (minutes), in quotes'
    return 'Use hours, minutes and seconds in quotes: "12:00:00"'


def trait_problem(name: str, trait: Mapping[str, Any], value: Any) -> tuple[str, str] | None:
    """Return what is wrong with a value for a traitlet, and the remedy."""
    if name.endswith("_hook"):
        return (
            "is a Python function, which an inventory cannot hold",
            "Set it in jupyterhub_config.d instead",
        )
    kind = trait["type"]
    if value is None:
        if kind == "any" or trait["allow_none"]:
            return None
        return "is empty", "Give it a value, or remove it for the spawner's default"
    # Ansible's own types are subclasses; true is an int to Python, and not to an admin.
    fits = isinstance(value, TRAIT_TYPES[kind]) and (kind == "bool" or not isinstance(value, bool))
    if kind == "any" or fits:
        return None
    remedies = {
        "str": "Put it in quotes",
        "bool": "Write true or false without quotes",
        "int": "Write the number without quotes",
        "float": "Write the number without quotes",
        "list": "Write it as a list: [one, two]",
        "dict": "Write it as lines of key: value",
    }
    return f"is not {TYPE_NAMES[kind]}", remedies[kind]


class Profiles:
    """The rules for `hub_profiles`."""

    def __init__(self, instance: Instance, traits: Mapping[str, Mapping[str, Mapping]]):
        """`traits` is {alias: {trait: {"type": …, "allow_none": …}}}, types as in TRAIT_TYPES."""
        self.instance = instance
        self.traits = traits

    def check(self) -> None:
        """Check every profile, and all of them against each other."""
        profiles = self.instance.sound("hub_profiles")
        if not isinstance(profiles, list):
            return
        if not profiles:
            self.instance.report(
                ("hub_profiles",),
                "is empty, so that nobody could start a notebook",
                "Give at least one profile, or remove the line for the default ones",
            )
        for number, profile in enumerate(profiles):
            if isinstance(profile, Mapping):
                self._check_profile(("hub_profiles", number), profile)
            else:
                self.instance.report(
                    ("hub_profiles", number),
                    "is not a profile",
                    "Write it as lines of key: value, with at least name, key and spawner",
                )
        self._check_together(profiles)

    def _check_profile(self, path: Path, profile: Mapping) -> None:
        report = self.instance.report
        for name in PROFILE_REQUIRED:
            if name not in profile:
                report((*path, name), "is missing", f"Add {name}: every profile needs it", MISSING)
        for name in profile:
            if name not in PROFILE_FIELDS:
                report(
                    (*path, name),
                    "is no field of a profile",
                    suggestion(
                        str(name),
                        PROFILE_FIELDS,
                        f"The fields are {', '.join(PROFILE_FIELDS)};"
                        " settings of the spawner stand under options",
                    ),
                )
        name = profile.get("name", MISSING)
        if name is not MISSING and not (
            isinstance(name, str) and name.strip() and name.isprintable()
        ):
            report((*path, "name"), "is not one line of text", "Write what the user shall read")
        key = profile.get("key", MISSING)
        if key is not MISSING and not (isinstance(key, str) and PROFILE_KEY.fullmatch(key)):
            report(
                (*path, "key"),
                "is not made of small letters, digits and dashes alone",
                "Write it as mesabi2c4g12h, in quotes if it is a number",
            )
        groups = profile.get("groups", [])
        if not (isinstance(groups, list) and all(isinstance(item, str) for item in groups)):
            report((*path, "groups"), "is not a list of names", "Write it as [one, two]")
        elif groups == [] and "groups" in profile:
            report(
                (*path, "groups"),
                "is empty, so that nobody would see the profile",
                "Name a group, or remove groups to show the profile to everybody",
            )
        if not isinstance(profile.get("default", False), bool):
            report((*path, "default"), "is not true or false", "Write default: true, or remove it")
        self._check_spawner(path, profile)

    def _check_spawner(self, path: Path, profile: Mapping) -> None:
        report = self.instance.report
        spawner = profile.get("spawner", MISSING)
        known = ", ".join(ALIASES)
        if not isinstance(spawner, str):
            if spawner is not MISSING:
                report((*path, "spawner"), "is not a spawner's name", f"Use one of {known}")
            return
        options = profile.get("options", {})
        if not isinstance(options, Mapping):
            report(
                (*path, "options"),
                "is not a mapping of the spawner's settings",
                'Write it as {req_nprocs: "2"}, or remove it',
            )
            options = {}
        if "." in spawner:
            if not CLASS.fullmatch(spawner):
                report(
                    (*path, "spawner"),
                    "is not the name of a Python class",
                    "Write package.module.Class, or one of " + known,
                )
            return
        if spawner not in ALIASES:
            report(
                (*path, "spawner"),
                "is not a spawner known here",
                suggestion(
                    spawner,
                    ALIASES,
                    f"Use one of {known}, or a class as package.module.Class",
                ),
            )
            return
        enabled = self.instance.sound("batch_schedulers")
        if isinstance(enabled, list) and spawner not in enabled:
            report(
                (*path, "spawner"),
                "is not in batch_schedulers, so that nothing could be started by it",
                f"Add {spawner} to batch_schedulers, or use one of {', '.join(enabled)}",
            )
        self._check_traits((*path, "options"), spawner, options)
        self._check_requests((*path, "options"), spawner, options)

    def _check_traits(self, path: Path, alias: str, options: Mapping) -> None:
        traits = self.traits.get(alias)
        if traits is None:
            return
        for name, value in options.items():
            if name not in traits:
                self.instance.report(
                    (*path, name),
                    f"the spawner {alias} has no such setting",
                    suggestion(
                        str(name), traits, "JupyterHub's and batchspawner's pages list them"
                    ),
                )
            elif found := trait_problem(name, traits[name], value):
                what, remedy = found
                if name == "req_runtime" and isinstance(value, int):
                    what += " (YAML reads 12:00:00 without quotes as 43200)"
                self.instance.report((*path, name), what, remedy)

    def _check_requests(self, path: Path, alias: str, options: Mapping) -> None:
        """Check what is asked of the scheduler: the spawner takes any text, the scheduler not."""
        sound, report = self.instance.sound, self.instance.report
        for name in ("req_nprocs", "req_ngpus"):
            value = sound(*path, name)
            zero = name == "req_ngpus" and value == "0"
            if isinstance(value, str) and value and not zero and not COUNT.fullmatch(value):
                report((*path, name), "is not a whole number above 0", 'Write it as "2"')
        value = sound(*path, "req_memory")
        if isinstance(value, str) and value and not MEMORY.fullmatch(value):
            report((*path, "req_memory"), "is not an amount of memory", 'Write it as "4gb" or "4G"')
        value = sound(*path, "req_runtime")
        if isinstance(value, str) and value and walltime(value, alias) is None:
            report((*path, "req_runtime"), "is not a walltime", _walltime_forms(alias))

    def _check_together(self, profiles: list) -> None:
        first: dict[str, int] = {}
        default = None
        for number, profile in enumerate(profiles):
            if not isinstance(profile, Mapping):
                continue
            key = profile.get("key")
            if isinstance(key, str) and first.setdefault(key, number) != number:
                self.instance.report(
                    ("hub_profiles", number, "key"),
                    f"hub_profiles[{first[key]}] has the same key",
                    "Give each profile a key of its own",
                )
            if profile.get("default") is True:
                if default is None:
                    default = number
                else:
                    self.instance.report(
                        ("hub_profiles", number, "default"),
                        f"hub_profiles[{default}] is the default already",
                        "Keep default: true in one profile",
                    )


def check_asked_partitions(instance: Instance) -> None:
    """Check what Slurm profiles ask for against the partitions of the embedded Slurm.

    Not part of `check`: with slurm_embedded auto only the machine can tell whether it has a Slurm
    of the site's, whose partitions nobody here knows.
    """
    partitions, profiles = (instance.sound(name) for name in ("slurm_partitions", "hub_profiles"))
    if not (isinstance(partitions, list) and isinstance(profiles, list)):
        return
    by_name = {partition["name"]: partition for partition in partitions}
    usual = next((item for item in partitions if item.get("default")), None)
    for number, profile in enumerate(profiles):
        if profile["spawner"] != "slurm":
            continue
        path = ("hub_profiles", number, "options")
        options = profile.get("options", {})
        asked = options.get("req_partition")
        if asked and asked not in by_name:
            instance.report(
                (*path, "req_partition"),
                "the embedded Slurm has no such partition",
                suggestion(
                    asked,
                    by_name,
                    "Add it to slurm_partitions, or set slurm_embedded: never if the machine shall"
                    " use the site's Slurm",
                ),
            )
            continue
        partition = by_name[asked] if asked else usual
        runtime = walltime(options.get("req_runtime") or "", "slurm")
        if partition and runtime and runtime > walltime(partition["max_time"], "slurm"):
            instance.report(
                (*path, "req_runtime"),
                f"is longer than max_time {partition['max_time']} of the partition"
                f" {partition['name']}, so that the job would never start",
                "Ask for less, or raise max_time in slurm_partitions",
            )


# The gateway


def address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the IP address that a text is, None where it is none."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _is_any(text: str) -> bool:
    found = address(text)
    return found is not None and found.is_unspecified


def check_gateway(instance: Instance) -> None:
    """Check addresses, ports, names, TLS files and headers."""
    _check_listen(instance)
    workers = instance.sound("gateway_max_request_workers")
    if workers is not MISSING and int(workers) % 128:
        instance.report(
            ("gateway_max_request_workers",),
            "is not a multiple of 128, the threads of one Apache process",
            f"Use {int(workers) // 128 * 128 or 128} or {(int(workers) // 128 + 1) * 128}",
        )
    seen: dict[int, str] = {}
    for name in PORTS:
        port = instance.sound(name)
        if port is MISSING:
            continue
        if int(port) in seen:
            instance.report(
                (name,), f"{seen[int(port)]} is the same port", "Give each its own port"
            )
        seen.setdefault(int(port), name)
    name = instance.sound("gateway_server_name")
    if isinstance(name, str) and not HOST_NAME.fullmatch(name):
        instance.report(
            ("gateway_server_name",),
            "is not a host name",
            "Write the name alone, without https://, port or path, as hub.example.org",
        )
    _check_api_url(instance)
    _check_tls(instance)
    _check_headers(instance)


def _check_listen(instance: Instance) -> None:
    items = instance.strings("gateway_listen")
    if instance.sound("gateway_listen") == []:
        instance.report(
            ("gateway_listen",), "is empty, so that nobody could reach the hub", 'Use ["*"] for all'
        )
    remedy = 'Write IP addresses of the machine, or "*" for all of them'
    wild = [item for _, item in items if item == "*" or _is_any(item)]
    seen = set()
    for number, item in items:
        if item != "*" and address(item) is None:
            instance.report(("gateway_listen", number), "is not an IP address", remedy)
        elif item in seen:
            instance.report(("gateway_listen", number), "stands here twice", "Remove one of them")
        elif wild and item not in wild:
            instance.report(
                ("gateway_listen", number),
                f'"{wild[0]}" stands beside it and covers it already',
                f'Remove one of them; "{wild[0]}" listens on every address',
            )
        seen.add(item)
    reached = {
        "gateway_api_listen": "Write the address of the machine that compute nodes reach",
        "hub_notebook_listen": "Write 0.0.0.0, or 127.0.0.1 where hub and node are one machine",
    }
    for name, remedy in reached.items():
        item = instance.sound(name)
        if isinstance(item, str) and item != "*" and address(item) is None:
            instance.report((name,), "is not an IP address", remedy)


def _check_api_url(instance: Instance) -> None:
    text = instance.sound("gateway_api_url")
    if not isinstance(text, str):
        return
    remedy = "Write it as compute nodes see it: http://ADDRESS:PORT, nothing behind"
    try:
        url = urlsplit(text)
        good = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
        host = url.hostname or ""
        good = good and bool(HOST_NAME.fullmatch(host) or address(host))
    except ValueError:
        good = False
    if not good:
        instance.report(("gateway_api_url",), "is not an http or https address", remedy)
    elif url.path not in ("", "/") or url.query or url.fragment or url.username:
        instance.report(
            ("gateway_api_url",), "holds more than server and port, which the hub adds to", remedy
        )


def _check_tls(instance: Instance) -> None:
    pair = ("gateway_tls_certificate", "gateway_tls_key")
    for name, other in (pair, pair[::-1]):
        unset = instance.look(other) is MISSING and other not in instance.unknown
        if isinstance(instance.look(name), str) and unset:
            instance.report(
                (name,),
                f"{other} is not set, and neither is of use alone",
                f"Set {other} too, or neither for a self-signed certificate",
            )


def _check_headers(instance: Instance) -> None:
    def plain(name: str) -> str:
        return name.lower().replace("_", "-")

    names = ("gateway_header_user", "gateway_header_data")
    for name in names:
        value = instance.sound(name)
        if not isinstance(value, str):
            continue
        if not HEADER.fullmatch(value):
            instance.report(
                (name,),
                "is no name of a header",
                "Use letters, digits, _ and -, a letter first, as Remote_User",
            )
        elif RESERVED_HEADERS.fullmatch(plain(value)):
            instance.report(
                (name,), "this header has a use of its own", "Choose another, as Remote_User"
            )
    user, data = (instance.sound(name) for name in names)
    if isinstance(user, str) and isinstance(data, str) and plain(user) == plain(data):
        instance.report(
            (names[1],),
            "is the header of gateway_header_user too (case, _ and - make no difference)",
            "Use two names, as Remote_User and Remote_User_Data",
        )


# The batch system


def check_batch(instance: Instance) -> None:
    """Check the group that may submit, and the embedded Slurm's partitions."""
    group = instance.sound("batch_user_group")
    if group == "root":
        instance.report(
            ("batch_user_group",),
            "members of root never submit through the hub",
            "Name a group of ordinary users, or remove the line to let every user submit",
        )
    elif isinstance(group, str) and group and not re.fullmatch(r"[A-Za-z_][\w.-]{0,31}", group):
        instance.report(
            ("batch_user_group",), "is no name of a group", "Use a group's name, as hpcusers"
        )
    if instance.look("slurm_embedded") == "never":
        return
    partitions = instance.sound("slurm_partitions")
    if partitions == []:
        instance.report(
            ("slurm_partitions",),
            "is empty, so that the embedded Slurm could run no job",
            "Give at least one partition, or set slurm_embedded: never",
        )
    if isinstance(partitions, list):
        _check_partitions(instance, partitions)


def _check_partitions(instance: Instance, partitions: list[Mapping]) -> None:
    first: dict[str, int] = {}
    default = None
    for number, partition in enumerate(partitions):
        path = ("slurm_partitions", number)
        name = partition.get("name")
        if not isinstance(name, str) or not PARTITION.fullmatch(name) or name.upper() == "DEFAULT":
            instance.report(
                (*path, "name"),
                "is no name of a partition",
                "Use letters, digits, _ . and -; the word DEFAULT belongs to Slurm",
            )
        elif first.setdefault(name, number) != number:
            instance.report(
                (*path, "name"),
                f"slurm_partitions[{first[name]}] has the same name",
                "Give each partition a name of its own",
            )
        limit = partition.get("max_time")
        if isinstance(limit, str) and walltime(limit, "slurm") is None:
            instance.report(
                (*path, "max_time"),
                "is not a walltime",
                f"{_walltime_forms('slurm')}, or UNLIMITED",
            )
        if partition.get("default") is True:
            if default is None:
                default = number
            else:
                instance.report(
                    (*path, "default"),
                    f"slurm_partitions[{default}] is the default already",
                    "Keep default: true in one partition",
                )


# Several instances


def check_neighbour(instance: Instance, other: Instance) -> None:
    """Check an instance against another one on the same machine."""

    def same(name: str) -> bool:
        mine = instance.look(name)
        return mine is not MISSING and mine == other.look(name)

    def differ(names: Iterable[str]) -> Iterator[str]:
        for name in names:
            if instance.look(name) != other.look(name) and name not in unknown:
                yield name

    unknown = instance.unknown | other.unknown

    where = f"the host {other.host} on the same machine"
    if same("hub_name"):
        instance.report(
            ("hub_name",),
            f"{where} has this name too",
            "Give each hub of a machine a hub_name of its own",
        )
    elif same("hub_account"):
        instance.report(
            ("hub_account",),
            f"{where} runs its hub as this account too, and each could read the other's secrets",
            "Give each hub an account of its own, or remove the line for the default",
        )
    _check_neighbour_url(instance, other, where)
    for name in differ(SHARED_BY_MACHINE):
        instance.report(
            (name,),
            f"{where} has {_text_or_none(name, other)}, and the machine has one Apache and one"
            " batch system",
            f"Give both the same {name}",
        )
    if same("gateway_server_name"):
        for name in differ(SHARED_BY_SERVER):
            instance.report(
                (name,),
                f"{where} has {_text_or_none(name, other)} under the same gateway_server_name",
                f"Give both the same {name}, or another gateway_server_name",
            )


def _text_or_none(name: str, instance: Instance) -> str:
    value = instance.look(name)
    return "none" if value is MISSING else value_text((name,), value)


def _check_neighbour_url(instance: Instance, other: Instance, where: str) -> None:
    mine, theirs = instance.sound("hub_base_url"), other.sound("hub_base_url")
    if not (isinstance(mine, str) and isinstance(theirs, str)):
        return
    # The port for compute nodes has no server name: there, two hubs meet under any.
    server = instance.look("gateway_server_name") == other.look("gateway_server_name")
    api = all(
        instance.look(name) == other.look(name)
        for name in ("gateway_api_listen", "gateway_api_port")
    )
    if not (server or api):
        return
    place = "the same gateway_server_name" if server else "the same gateway_api_port"
    if mine == theirs:
        what = f"{where} uses this path too, under {place}"
    elif mine.startswith(theirs) or theirs.startswith(mine):
        what = f"{where} uses {theirs} under {place}, and one path lies inside the other"
    else:
        return
    instance.report(("hub_base_url",), what, "Give them two paths, as /jupyter/ and /jupyter-test/")


def check(
    instance: Instance,
    specs: Specs,
    given: Mapping[str, Any],
    traits: Mapping[str, Mapping[str, Mapping]],
    call_arguments: Iterable[str] = (),
) -> list[Problem]:
    """Return every problem of one instance.

    `given` holds the variables that the inventory or the command line sets, and only those.
    """
    call_arguments = tuple(call_arguments)
    check_names(instance, specs, given)
    check_calls(instance, given, call_arguments)
    check_types(instance, specs, call_arguments)
    check_ranges(instance)
    check_paths(instance, specs)
    check_hub(instance)
    check_gateway(instance)
    check_batch(instance)
    Profiles(instance, traits).check()
    if instance.look("slurm_embedded") == "always" and not any(
        problem.path[0] in ("hub_profiles", "slurm_partitions") for problem in instance.problems
    ):
        check_asked_partitions(instance)
    return instance.problems
