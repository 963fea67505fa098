"""The gateway: addresses, ports, names, TLS files and headers."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from .problems import MISSING, Instance

HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    r"(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)


# What ends a word in quotes in Apache's configuration, or stands for something else there.
NOT_PLAIN = re.compile(r'["\\\x00-\x1f]|\$\{')


MAIL = re.compile(rf"[A-Za-z0-9._+-]+@{HOST_NAME.pattern}")


HEADER = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


PORTS = ("gateway_http_port", "gateway_https_port", "gateway_api_port")


# Headers that the gateway, Apache or browsers use for themselves.
RESERVED_HEADERS = re.compile(
    r"authorization|connection|content-(?:length|type)|cookie|forwarded|host|origin|referer|te"
    r"|transfer-encoding|upgrade|x-forwarded-\w+|x-real-ip|x-scheme"
)


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
    _check_subdomains(instance)
    _check_acme(instance)
    _check_headers(instance)


def address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the IP address that a text is, None where it is none."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _is_any(text: str) -> bool:
    found = address(text)
    return found is not None and found.is_unspecified


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


def is_url(value: str, schemes: tuple[str, ...]) -> bool:
    """Say whether a text is an address with one of the schemes and a host name."""
    try:
        url = urlsplit(value)
        plain = url.scheme in schemes and not re.search(r"\s", value)
        return plain and bool(HOST_NAME.fullmatch(url.hostname or ""))
    except ValueError:
        return False


def _subdomains(instance: Instance) -> bool:
    # On the command line a truth is a text.
    return str(instance.sound("hub_subdomains")).lower() in ("true", "yes", "on", "1")


def _check_subdomains(instance: Instance) -> None:
    name = instance.sound("gateway_server_name")
    if _subdomains(instance) and isinstance(name, str) and "." not in name:
        instance.report(
            ("hub_subdomains",),
            f"is true, and no certificate covers the names below one without a dot, {name}",
            "Write the whole name of the machine as gateway_server_name, or leave it false",
        )


def _check_acme(instance: Instance) -> None:
    url, contact = (instance.sound(f"gateway_acme_{end}") for end in ("url", "contact"))
    if contact and isinstance(contact, str) and not MAIL.fullmatch(contact):
        instance.report(
            ("gateway_acme_contact",), "is no address of mail", "Write it as admin@example.org"
        )
    if contact and not url and "gateway_acme_url" not in instance.unknown:
        instance.report(
            ("gateway_acme_contact",),
            "gateway_acme_url is not set, and it is of no use alone",
            "Set gateway_acme_url too, or neither",
        )
    if not isinstance(url, str) or not url:
        return
    if NOT_PLAIN.search(url) or not is_url(url, ("https",)):
        instance.report(
            ("gateway_acme_url",),
            "is no address that begins with https://, in plain letters",
            "Write the directory's address, as https://acme.example.org/directory",
        )
    if contact == "" and "gateway_acme_contact" not in instance.unknown:
        instance.report(
            ("gateway_acme_contact",),
            "gateway_acme_url needs it, and it is not set",
            "Write an address that the authority may write to, as admin@example.org",
        )
    for name in ("gateway_tls_certificate", "gateway_tls_key"):
        if instance.look(name) is not MISSING:
            instance.report(
                (name,),
                "gateway_acme_url is set too, and the certificate can come from one place alone",
                f"Remove {name}, or gateway_acme_url",
            )
    if str(instance.sound("gateway_http_port")) not in ("80", str(MISSING)):
        instance.report(
            ("gateway_http_port",),
            "gateway_acme_url is set, and an ACME server asks at port 80",
            "Use 80, or certificate files",
        )
    if _subdomains(instance):
        instance.report(
            ("hub_subdomains",),
            "gateway_acme_url is set, and it brings no certificate for *.<gateway_server_name>",
            "Use certificate files, or leave hub_subdomains false",
        )
    name = instance.sound("gateway_server_name")
    if isinstance(name, str) and (name == "localhost" or name != name.lower()):
        instance.report(
            ("gateway_server_name",),
            "gateway_acme_url is set, and this is not a name to certify",
            "Write the name under which the ACME server finds this machine, in small letters",
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
