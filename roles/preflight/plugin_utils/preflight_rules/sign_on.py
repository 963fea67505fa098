"""How people sign in: what each kind of sign-on must be told before Apache is touched."""

from __future__ import annotations

import re

from .gateway import HOST_NAME, NOT_PLAIN, is_url
from .problems import MISSING, Instance

# What has no default and cannot be guessed, and what it is.
REQUIRED = {
    "ldap": {"gateway_ldap_url": "the directory, as ldaps://ldap.example.org/BASE?uid"},
    "openidc": {
        "gateway_openidc_metadata_url": "the provider's discovery document, as"
        " https://id.example.org/.well-known/openid-configuration",
        "gateway_openidc_client_id": "the name of this service at the provider",
        "gateway_openidc_client_secret": "its password there",
    },
    "cas": {"gateway_cas_url": "the CAS server, as https://cas.example.org/cas/"},
    "shibboleth": {
        "gateway_shibboleth_idp_entity_id": "the entity ID of the site's identity provider",
        "gateway_shibboleth_metadata": "its metadata, an https address or a file on the target",
    },
    "extra": {"gateway_auth_extra": "directives of Apache that say who somebody is"},
}

URLS = {
    "gateway_ldap_url": ("ldap", "ldaps"),
    "gateway_openidc_metadata_url": ("https",),
    "gateway_cas_url": ("https",),
    "gateway_auth_check_url": ("http", "https"),
}

QUOTED = (
    "gateway_ldap_url",
    "gateway_ldap_bind_dn",
    "gateway_openidc_metadata_url",
    "gateway_openidc_client_id",
    "gateway_cas_url",
    "gateway_auth_check_url",
    "gateway_csp_hub",
    "gateway_csp_notebook",
)

# Passwords may hold quotes; but no variables of Apache, and none is a command to run.
SECRETS = ("gateway_ldap_bind_password", "gateway_openidc_client_secret")
NO_SECRET = re.compile(r"[\x00-\x1f]|\$\{|\Aexec:")

# Names of attributes, claims and variables.
WORDS = (
    "gateway_ldap_user_attribute",
    "gateway_openidc_user_claim",
    "gateway_shibboleth_user_attribute",
)
GROUP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def check_sign_on(instance: Instance) -> None:
    """Check the settings of the chosen sign-on."""
    kind = instance.sound("gateway_auth")
    if not isinstance(kind, str):
        return
    required = REQUIRED.get(kind, {})
    if kind == "shibboleth" and instance.sound("gateway_shibboleth_managed") is False:
        required = {}
    for name, what in required.items():
        if instance.sound(name) in (MISSING, "", {}) and name not in instance.unknown:
            instance.report(
                (name,), f"gateway_auth: {kind} needs it, and it is not set", f"Write {what}"
            )
    what = 'holds a quote, a backslash, a control character or "${"'
    _check_text(instance, QUOTED, NOT_PLAIN, what, "Use a value without them")
    what = 'holds a control character or "${", or begins with "exec:"'
    _check_text(instance, SECRETS, NO_SECRET, what, "Have another one made")
    for name, schemes in URLS.items():
        value = instance.sound(name)
        if isinstance(value, str) and value and not is_url(value, schemes):
            instance.report(
                (name,),
                f"is no address that begins with {' or '.join(f'{s}://' for s in schemes)}",
                "Write it with its scheme and host",
            )
    place = instance.sound("gateway_shibboleth_metadata")
    if isinstance(place, str) and place and not place.startswith(("/", "https://")):
        instance.report(
            ("gateway_shibboleth_metadata",),
            "is neither an https address nor a path from / on",
            "Write https://..., or the path of a file on the target",
        )
    url = instance.sound("gateway_cas_url")
    if isinstance(url, str) and url and not url.endswith("/"):
        instance.report(("gateway_cas_url",), "does not end with a slash", f"Write {url}/")
    for name in WORDS:
        value = instance.sound(name)
        if isinstance(value, str) and not WORD.fullmatch(value):
            instance.report((name,), "is not one name", "Use letters, digits, _ and -")
    for number, item in instance.strings("gateway_auth_data"):
        if not WORD.fullmatch(item):
            instance.report(
                ("gateway_auth_data", number), "is not one name", "Use letters, digits, _ and -"
            )
    for number, item in instance.strings("gateway_auth_domains"):
        if not HOST_NAME.fullmatch(item):
            instance.report(
                ("gateway_auth_domains", number),
                "is not the name of a domain",
                "Write what stands behind the @, as example.org",
            )
    _check_group_names(instance)
    _check_data(instance, kind)
    _check_password(instance)


def _check_text(
    instance: Instance, names: tuple[str, ...], wrong: re.Pattern[str], what: str, remedy: str
) -> None:
    for name in names:
        value = instance.sound(name)
        if isinstance(value, str) and wrong.search(value):
            instance.report((name,), f"{what}, which Apache would read as something else", remedy)


def sign_on_files(instance: Instance) -> dict[str, str]:
    """Return the files that have to be on the machine, by variable."""
    kind, files = instance.look("gateway_auth"), {}
    if kind == "gssapi":
        files["gateway_gssapi_keytab"] = instance.look("gateway_gssapi_keytab")
    metadata = instance.look("gateway_shibboleth_metadata")
    managed = instance.look("gateway_shibboleth_managed") is not False
    if kind == "shibboleth" and managed and str(metadata).startswith("/"):
        files["gateway_shibboleth_metadata"] = metadata
    return files


def _check_group_names(instance: Instance) -> None:
    names = instance.sound("hub_group_names")
    for item, name in names.items() if isinstance(names, dict) else ():
        if not isinstance(name, str) or not GROUP.fullmatch(name):
            instance.report(
                ("hub_group_names", item),
                "is no name of a group",
                "Use letters, digits, _, . and -, at most 64 of them",
            )


def _check_data(instance: Instance, kind: str) -> None:
    data = instance.sound("gateway_auth_data")
    if isinstance(data, list) and data and kind in ("pam", "gssapi"):
        instance.report(
            ("gateway_auth_data",),
            f"gateway_auth: {kind} knows nothing of a user but the name",
            "Remove it",
        )


def _check_password(instance: Instance) -> None:
    pair = ("gateway_ldap_bind_dn", "gateway_ldap_bind_password")
    for name, other in (pair, pair[::-1]):
        if instance.sound(name) and instance.sound(other) == "" and other not in instance.unknown:
            instance.report(
                (other,), f"is empty while {name} is set", f"Set both, or neither: remove {name}"
            )


def brings_no_groups(instance: Instance) -> str:
    """Say why people sign in without the hub learning their groups; empty if it does."""
    if instance.sound("hub_groups_from") == "account":
        return ""
    kind = instance.sound("gateway_auth")
    if kind in ("pam", "gssapi"):
        return f"with gateway_auth: {kind} no groups reach the hub"
    if kind is not MISSING and instance.sound("gateway_auth_data") == []:
        return "with an empty gateway_auth_data no groups reach the hub"
    return ""
