"""Several instances on one machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .problems import MISSING, Instance, value_text

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
    "hub_subdomains",
    "gateway_listen",
    "gateway_http_port",
    "gateway_https_port",
    "gateway_tls_certificate",
    "gateway_tls_key",
    "gateway_acme_url",
    "gateway_acme_contact",
    "gateway_api_listen",
    "gateway_api_port",
)


# Sign-ons whose module has one set of settings for a whole virtual host.
ONE_BY_SERVER = ("openidc", "cas", "shibboleth")


# What all instances with this sign-on share: the machine has one shibd.
SHARED_BY_SHIBBOLETH = (
    "gateway_shibboleth_managed",
    "gateway_shibboleth_entity_id",
    "gateway_shibboleth_idp_entity_id",
    "gateway_shibboleth_metadata",
    "gateway_shibboleth_user_attribute",
    # The life of its sessions.
    "hub_cookie_max_age_days",
)


COMPARED = (
    "gateway_auth",
    "hub_name",
    "hub_base_url",
    "hub_account",
    "gateway_server_name",
    *SHARED_BY_SERVER,
    *SHARED_BY_SHIBBOLETH,
    *SHARED_BY_MACHINE,
)


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
    if same("gateway_auth") and instance.look("gateway_auth") == "shibboleth":
        for name in differ(SHARED_BY_SHIBBOLETH):
            instance.report(
                (name,),
                f"{where} has {_text_or_none(name, other)}, and the machine has one shibd",
                f"Give both the same {name}",
            )
    if same("gateway_server_name"):
        for name in differ(SHARED_BY_SERVER):
            instance.report(
                (name,),
                f"{where} has {_text_or_none(name, other)} under the same gateway_server_name",
                f"Give both the same {name}, or another gateway_server_name",
            )
        kind = instance.look("gateway_auth")
        if kind in ONE_BY_SERVER and same("gateway_auth") and "gateway_auth" not in unknown:
            instance.report(
                ("gateway_auth",),
                f"{where} has it too under the same gateway_server_name, and Apache has one"
                f" set of settings of {kind} for each name",
                "Give one of them another gateway_server_name, or another sign-on",
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
