"""The rules of role preflight, each with a value it refuses and one it lets pass."""

import importlib
import json
import math
import sys
from pathlib import Path

import pytest
import yaml

ROLES = Path(__file__).resolve().parents[2] / "roles"
sys.path.append(str(ROLES / "preflight/plugin_utils"))
rules = importlib.import_module("preflight_rules")

TRAITS = {
    "slurm": {
        name: {"type": kind, "allow_none": name == "cpu_limit"}
        for name, kind in {
            "args": "list",
            "cmd": "any",
            "cpu_limit": "float",
            "cluster": "str",
            "debug": "bool",
            "environment": "dict",
            "pre_spawn_hook": "any",
            "req_memory": "str",
            "req_ngpus": "str",
            "req_nprocs": "str",
            "req_partition": "str",
            "req_runtime": "str",
            "start_timeout": "int",
        }.items()
    },
}


def load(path):
    return yaml.safe_load(path.read_text()) or {}


def specs():
    found = {
        path.parts[-3]: load(path)["argument_specs"]
        for path in ROLES.glob("*/meta/argument_specs.yml")
    }
    return rules.merge_specs(found)


SPECS = specs()
DEFAULTS = {
    name: value for path in ROLES.glob("*/defaults/main.yml") for name, value in load(path).items()
}
ACME = {
    "gateway_server_name": "hub.example.org",
    "gateway_acme_url": "https://acme.example.org/directory",
    "gateway_acme_contact": "admin@example.org",
}
OPENIDC = {
    "gateway_auth": "openidc",
    "gateway_openidc_metadata_url": "https://id.example.org/.well-known/openid-configuration",
    "gateway_openidc_client_id": "jupyterhub",
    "gateway_openidc_client_secret": "canary",
}
SHIBBOLETH = {
    "gateway_auth": "shibboleth",
    "gateway_shibboleth_idp_entity_id": "https://id.example.org/idp",
    "gateway_shibboleth_metadata": "https://id.example.org/metadata",
}
LDAP = {"gateway_auth": "ldap", "gateway_ldap_url": "ldaps://ldap.example.org/dc=x?uid"}
CALLS = ("packages_names", "release_kind", "release_root", "release_tools")


def instance(host="one", **variables):
    values = {**DEFAULTS, **variables}
    values.setdefault("hub_name", "main")
    if "hub_account" not in variables:
        values["hub_account"] = f"jupyterhub-{values['hub_name']}"
    return rules.Instance(host, values)


def messages(**variables):
    """Return the problems of an instance with these variables, as text."""
    found = rules.check(instance(**variables), SPECS, variables, TRAITS, CALLS)
    return [rules.message(problem, "here") for problem in found]


def profile(**fields):
    """Return a list with one profile; a field that is MISSING is left out."""
    whole = {"name": "One", "key": "one", "spawner": "slurm", **fields}
    return [{name: value for name, value in whole.items() if value is not rules.MISSING}]


def slurm(**options):
    return {"hub_profiles": profile(options=options)}


def partitions(*items):
    return {"slurm_embedded": "always", "slurm_partitions": list(items), **slurm()}


def test_defaults_are_sound():
    assert messages() == []


def test_table_of_traits_is_understood():
    table = json.loads((ROLES / "preflight/files/spawner_traits.json").read_text())
    assert set(table) == set(rules.ALIASES)
    kinds = {trait["type"] for traits in table.values() for trait in traits.values()}
    assert kinds <= set(rules.TRAIT_TYPES)
    found = rules.check(instance(), SPECS, {}, table, CALLS)
    assert found == []


ALPHA = {"name": "alpha", "scheduler": "slurm"}
BETA = {"name": "beta", "scheduler": "torque"}


def clusters(*items, **fields):
    """Return these clusters, and one profile of these fields."""
    return {"hub_clusters": list(items), "hub_profiles": profile(**fields)}


def alpha(**fields):
    """Return one cluster alpha of these fields, and a profile that names it."""
    return clusters({**ALPHA, **fields}, cluster="alpha")


def fields(**chosen):
    return {"hub_profiles": profile(fields=chosen)}


CORES = {"min": 1, "default": 2, "max": 4}
HOURS = {"min": "01:00:00", "default": "02:00:00", "max": "08:00:00"}


REFUSED = [
    # names and types
    ({"hub_profile": []}, "hub_profile", 'Did you mean "hub_profiles"'),
    ({"gateway_color": "red"}, "gateway_color", "roles/gateway/defaults/main.yml"),
    ({"__hub_state": 1}, "__hub_state", "role hub's own"),
    ({"gatway_listen": ["*"]}, "gatway_listen", 'Did you mean "gateway_listen"'),
    ({"release_kind": "hub"}, "release_kind", "Remove it from the inventory"),
    ({"hub_log_level": "LOUD"}, "hub_log_level", "DEBUG, INFO, WARNING, ERROR"),
    ({"hub_log_level": "INOF"}, "hub_log_level", 'Did you mean "INFO"'),
    ({"hub_name": None}, "hub_name", "is empty"),
    ({"hub_name": False}, "hub_name", "true or false. Put it in quotes"),
    ({"hub_name": 7}, "hub_name", "is wanted"),
    ({"hub_name": ["a"]}, "hub_name", "is not text"),
    ({"hub_start_timeout": "soon"}, "hub_start_timeout", "is not a whole number"),
    ({"hub_start_timeout": True}, "hub_start_timeout", "is not a whole number"),
    ({"hub_cookie_max_age_days": "x"}, "hub_cookie_max_age_days", "is not a number"),
    ({"gateway_ports_managed": "perhaps"}, "gateway_ports_managed", "is not true or false"),
    ({"hub_admin_users": "alice"}, "hub_admin_users", "is not a list"),
    ({"hub_admin_users": [1]}, "hub_admin_users[0]", "Put it in quotes"),
    ({"batch_commands": "qsub"}, "batch_commands", "is not a mapping"),
    ({"batch_schedulers": ["slrum"]}, "batch_schedulers[0]", 'Did you mean "slurm"'),
    # ranges and paths
    ({"release_keep": 0}, "release_keep", "from 1 to"),
    ({"hub_minimum_uid": 0}, "hub_minimum_uid", "would let root sign in"),
    ({"hub_minimum_uid": 2**33}, "hub_minimum_uid", "is out of range"),
    ({"gateway_https_port": 70000}, "gateway_https_port", "from 1 to 65535"),
    ({"gateway_https_port": 0}, "gateway_https_port", "from 1 to 65535"),
    ({"gateway_login_failures": -1}, "gateway_login_failures", "from 0 to 1000000"),
    ({"hub_cookie_max_age_days": 0}, "hub_cookie_max_age_days", "above 0"),
    ({"gateway_max_request_workers": 300}, "gateway_max_request_workers", "Use 256 or 384"),
    ({"release_python": "python3"}, "release_python", "is not an absolute path"),
    ({"release_python": ""}, "release_python", "is empty"),
    # the hub
    ({"hub_name": "a/b"}, "hub_name", "small letters"),
    ({"hub_name": "a" * 22}, "hub_name", "at most 21"),
    ({"hub_name": "Main"}, "hub_name", "small letters"),
    ({"hub_name": "main\n"}, "hub_name", "small letters"),
    ({"hub_name": "proxy-main"}, "hub_name", "proxy unit of another hub"),
    ({"hub_base_url": "jupyter"}, "hub_base_url", "begins and ends with /"),
    ({"hub_base_url": "/jupyter"}, "hub_base_url", "begins and ends with /"),
    ({"hub_base_url": "/a/../b/"}, "hub_base_url", "begins and ends with /"),
    ({"hub_base_url": "https://x/"}, "hub_base_url", "gateway_server_name"),
    ({"hub_account": "root"}, "hub_account", "never runs as root"),
    ({"hub_account": "Hub User"}, "hub_account", "is no name of an account"),
    ({"hub_username_pattern": "^[a-z"}, "hub_username_pattern", "not a regular expression"),
    ({"hub_username_pattern": "[a-z]+"}, "hub_username_pattern", "Begin it with ^"),
    ({"hub_username_pattern": "^[a-z]+"}, "hub_username_pattern", "end it with $"),
    ({"hub_username_pattern": "^.*$"}, "hub_username_pattern", "admits the empty name and 8 more"),
    ({"hub_username_pattern": "^.+$"}, "hub_username_pattern", "(null)"),
    ({"hub_username_pattern": "^[a-z.]+$"}, "hub_username_pattern", '".."'),
    ({"hub_username_pattern": "^[a-z]*$"}, "hub_username_pattern", "the empty name"),
    ({"hub_username_pattern": "^[a-z ]+$"}, "hub_username_pattern", "a space"),
    ({"hub_username_pattern": "^[a-z,]+$"}, "hub_username_pattern", "a comma"),
    ({"hub_username_pattern": "^[a-z;]+$"}, "hub_username_pattern", "a semicolon"),
    ({"hub_username_pattern": "^[a-z-]+$"}, "hub_username_pattern", "a dash"),
    ({"hub_username_pattern": "^a|b$"}, "hub_username_pattern", "a slash"),
    ({"hub_admin_users": ["root"]}, "hub_admin_users[0]", "root never signs in"),
    ({"hub_allowed_users": ["ann", "Bob"]}, "hub_allowed_users[1]", "does not match"),
    ({"hub_blocked_users": ["Eve"]}, "hub_blocked_users[0]", "does not match"),
    (
        {"hub_allowed_users": ["ann"], "hub_blocked_users": ["ann"]},
        "hub_allowed_users[0]",
        "stands in hub_blocked_users too",
    ),
    ({"hub_allowed_groups": ["staff"]}, "hub_allowed_groups", "list people in hub_allowed_users"),
    ({"hub_allowed_groups": "staff"}, "hub_allowed_groups", "is not a list"),
    (
        {"hub_allowed_groups": ["staff"], "hub_allowed_users": ["ann"]},
        "hub_allowed_groups",
        "so that this lets nobody in",
    ),
    ({"hub_notebook_listen": "eth0"}, "hub_notebook_listen", "is not an IP address"),
    ({"singleuser_default_url": "lab"}, "singleuser_default_url", "begins with /"),
    ({"gateway_site_name": "two\nlines"}, "gateway_site_name", "is not one line of text"),
    # profiles
    ({"hub_profiles": []}, "hub_profiles", "nobody could start a notebook"),
    ({"hub_profiles": {}}, "hub_profiles", "is not a list"),
    ({"hub_profiles": ["small"]}, "hub_profiles[0]", "is not a profile"),
    ({"hub_profiles": profile(name=rules.MISSING)}, "hub_profiles[0].name", "is missing"),
    ({"hub_profiles": profile(key=rules.MISSING)}, "hub_profiles[0].key", "is missing"),
    ({"hub_profiles": profile(spawner=rules.MISSING)}, "hub_profiles[0].spawner", "is missing"),
    ({"hub_profiles": profile(spawnr="x")}, "hub_profiles[0].spawnr", 'Did you mean "spawner"'),
    ({"hub_profiles": profile(name="")}, "hub_profiles[0].name", "is not one line"),
    ({"hub_profiles": profile(key="A b")}, "hub_profiles[0].key", "small letters"),
    ({"hub_profiles": profile(key=12)}, "hub_profiles[0].key", "in quotes if it is a number"),
    ({"hub_profiles": profile() * 2}, "hub_profiles[1].key", "hub_profiles[0] has the same key"),
    (
        {"hub_profiles": profile(default=True) + profile(key="two", default=True)},
        "hub_profiles[1].default",
        "hub_profiles[0] is the default already",
    ),
    ({"hub_profiles": profile(default="yes")}, "hub_profiles[0].default", "is not true or false"),
    ({"hub_profiles": profile(groups="staff")}, "hub_profiles[0].groups", "is not a list of names"),
    ({"hub_profiles": profile(groups=[])}, "hub_profiles[0].groups", "nobody would see"),
    ({"hub_profiles": profile(groups=["staff"])}, "hub_profiles[0].groups", "no groups reach"),
    ({"hub_profiles": profile(spawner=1)}, "hub_profiles[0].spawner", "is not a spawner's name"),
    ({"hub_profiles": profile(spawner="slrm")}, "hub_profiles[0].spawner", 'Did you mean "slurm"'),
    ({"hub_profiles": profile(spawner="a..B")}, "hub_profiles[0].spawner", "a Python class"),
    ({"hub_profiles": profile(spawner="torque")}, "hub_profiles[0].spawner", "Add torque to"),
    ({"hub_profiles": profile(options=["a"])}, "hub_profiles[0].options", "is not a mapping"),
    (slurm(req_nprcs="2"), "hub_profiles[0].options.req_nprcs", 'Did you mean "req_nprocs"'),
    (slurm(zzz=1), "hub_profiles[0].options.zzz", "the spawner slurm has no such setting"),
    (slurm(req_nprocs=2), "hub_profiles[0].options.req_nprocs", "is not text. Put it in quotes"),
    (slurm(req_nprocs="two"), "hub_profiles[0].options.req_nprocs", "is not a whole number"),
    (slurm(req_nprocs="0"), "hub_profiles[0].options.req_nprocs", "is not a whole number"),
    (slurm(req_ngpus="some"), "hub_profiles[0].options.req_ngpus", "is not a whole number"),
    (slurm(req_memory="lots"), "hub_profiles[0].options.req_memory", '"4gb" or "4G"'),
    (slurm(req_runtime="12h"), "hub_profiles[0].options.req_runtime", '"1-12:00:00"'),
    (
        {
            "batch_schedulers": ["pbs"],
            "hub_profiles": profile(spawner="pbs", options={"req_runtime": "90"}),
        },
        "hub_profiles[0].options.req_runtime",
        "is not a walltime. Use hours, minutes and seconds",
    ),
    (slurm(req_runtime=43200), "hub_profiles[0].options.req_runtime", "without quotes as 43200"),
    (slurm(req_memory=None), "hub_profiles[0].options.req_memory", "is empty"),
    (slurm(debug="no"), "hub_profiles[0].options.debug", "is not true or false"),
    (slurm(start_timeout="3"), "hub_profiles[0].options.start_timeout", "is not a whole number"),
    (slurm(start_timeout=3.5), "hub_profiles[0].options.start_timeout", "is not a whole number"),
    (slurm(args="-v"), "hub_profiles[0].options.args", "is not a list"),
    (slurm(environment="A=1"), "hub_profiles[0].options.environment", "is not a mapping"),
    (slurm(start_timeout=True), "hub_profiles[0].options.start_timeout", "is not a whole number"),
    (slurm(cpu_limit="1"), "hub_profiles[0].options.cpu_limit", "is not a number"),
    (slurm(pre_spawn_hook="f"), "hub_profiles[0].options.pre_spawn_hook", "jupyterhub_config.d"),
    (
        {"slurm_embedded": "always", **slurm(req_partition="shrt")},
        "hub_profiles[0].options.req_partition",
        'Did you mean "short"',
    ),
    (
        {"slurm_embedded": "always", **slurm(req_partition="short", req_runtime="01:00:01")},
        "hub_profiles[0].options.req_runtime",
        "longer than max_time 01:00:00 of the partition short",
    ),
    (
        {"slurm_embedded": "always", **slurm(req_runtime="90")},
        "hub_profiles[0].options.req_runtime",
        "longer than max_time 01:00:00 of the partition short",
    ),
    ({"hub_profiles": profile(category="")}, "hub_profiles[0].category", "is not one line of text"),
    ({"hub_profiles": profile(category="a\nb")}, "hub_profiles[0].category", "Write a heading"),
    ({"hub_profiles": profile(category=3)}, "hub_profiles[0].category", "is not one line of text"),
    (slurm(cluster="alpha"), "hub_profiles[0].options.cluster", "beside options"),
    # what users may choose
    ({"hub_profiles": profile(fields=[])}, "hub_profiles[0].fields", "is not a mapping of what"),
    (fields(), "hub_profiles[0].fields", "or remove it"),
    (
        {
            "batch_schedulers": ["local"],
            "hub_profiles": profile(spawner="local", fields={"cores": CORES}),
        },
        "hub_profiles[0].fields",
        "the spawner local asks no batch system",
    ),
    (fields(core=CORES), "hub_profiles[0].fields.core", 'Did you mean "cores"'),
    (fields(cores=4), "hub_profiles[0].fields.cores", "is not a mapping"),
    (fields(cores={"min": 1, "max": 4}), "hub_profiles[0].fields.cores.default", "is missing"),
    (fields(cores={**CORES, "step": 1}), "hub_profiles[0].fields.cores.step", "is no part of a"),
    (fields(cores={**CORES, "min": 0}), "hub_profiles[0].fields.cores.min", "above 0"),
    (fields(cores={**CORES, "min": True}), "hub_profiles[0].fields.cores.min", "above 0"),
    (fields(cores={**CORES, "max": "x"}), "hub_profiles[0].fields.cores.max", "Write it as 4"),
    (fields(cores={**CORES, "min": 5}), "hub_profiles[0].fields.cores.min", "is more than max"),
    (fields(cores={**CORES, "default": 5}), "hub_profiles[0].fields.cores.default", "not between"),
    (
        fields(memory={"min": "1", "default": "2G", "max": "4G"}),
        "hub_profiles[0].fields.memory.min",
        "is not an amount of memory with its unit",
    ),
    (
        fields(memory={"min": "2048M", "default": "1G", "max": "4G"}),
        "hub_profiles[0].fields.memory.default",
        "is not between min and max",
    ),
    (fields(walltime={**HOURS, "max": "8h"}), "hub_profiles[0].fields.walltime.max", "a walltime"),
    (fields(walltime={**HOURS, "max": "8:00"}), "hub_profiles[0].fields.walltime.max", "12:00:00"),
    (fields(walltime={**HOURS, "max": 28800}), "hub_profiles[0].fields.walltime.max", "43200"),
    (
        fields(walltime={**HOURS, "max": "1-00:00:00", "default": "24:00:01"}),
        "hub_profiles[0].fields.walltime.default",
        "is not between min and max",
    ),
    (
        {
            "slurm_embedded": "always",
            "hub_profiles": profile(options={"req_partition": "short"}, fields={"walltime": HOURS}),
        },
        "hub_profiles[0].fields.walltime.max",
        "longer than max_time 01:00:00 of the partition short",
    ),
    # clusters
    ({"hub_clusters": "alpha"}, "hub_clusters", "is not a list"),
    ({"hub_clusters": ["alpha"]}, "hub_clusters[0]", "is not a mapping"),
    ({"hub_clusters": [{"scheduler": "slurm"}]}, "hub_clusters[0].name", "is missing"),
    ({"hub_clusters": [{"name": "slurm"}]}, "hub_clusters[0].scheduler", "is missing"),
    ({"hub_clusters": [{**ALPHA, "name": "Alpha"}]}, "hub_clusters[0].name", "small letters"),
    ({"hub_clusters": [{**ALPHA, "name": "a" * 32}]}, "hub_clusters[0].name", "at most 31"),
    ({"hub_clusters": [{**ALPHA, "name": "local"}]}, "hub_clusters[0].name", "Use another word"),
    (clusters(ALPHA, ALPHA, cluster="alpha"), "hub_clusters[1].name", "has the same name"),
    (alpha(scheduler="slrum"), "hub_clusters[0].scheduler", 'Did you mean "slurm"'),
    (alpha(scheduler="local"), "hub_clusters[0].scheduler", "is not a choice"),
    (alpha(environment=["A"]), "hub_clusters[0].environment", "is not a mapping"),
    (alpha(environment={"A-B": "x"}), "hub_clusters[0].environment.A-B", "is no name of an"),
    (alpha(environment={"A": 6817}), "hub_clusters[0].environment.A", "is not text"),
    (alpha(environment={"A": "x\ny"}), "hub_clusters[0].environment.A", "is not one line"),
    (alpha(query_interval=0), "hub_clusters[0].query_interval", "from 1 to 300"),
    (alpha(query_interval=301), "hub_clusters[0].query_interval", "from 1 to 300"),
    (alpha(query_interval="often"), "hub_clusters[0].query_interval", "is not a number"),
    (alpha(commands={"sumbit": ["/x"]}), "hub_clusters[0].commands.sumbit", 'mean "submit"'),
    (alpha(commands={"submit": "/x"}), "hub_clusters[0].commands.submit", "is not a list of words"),
    (alpha(commands={"submit": ["x"]}), "hub_clusters[0].commands.submit", "an absolute path"),
    (alpha(commands={"cancel": []}), "hub_clusters[0].commands.cancel", "an absolute path"),
    (alpha(commands={"jobs": ["/x"]}), "hub_clusters[0].commands.jobs", "is not a list of lists"),
    (alpha(commands={"jobs": "/x"}), "hub_clusters[0].commands.jobs", "is not a list of lists"),
    ({"hub_profiles": profile(cluster=1)}, "hub_profiles[0].cluster", "is not a cluster's name"),
    (
        {"batch_schedulers": ["local"], "hub_profiles": profile(spawner="local", cluster="local")},
        "hub_profiles[0].cluster",
        "on the hub's own machine",
    ),
    (
        {"batch_schedulers": ["slurm"], **clusters(ALPHA, spawner="local")},
        "hub_profiles[0].spawner",
        "is not in batch_schedulers",
    ),
    (
        {"hub_profiles": profile(cluster="alpha")},
        "hub_profiles[0].cluster",
        "is not in batch_schedulers, and hub_clusters is empty. Use one of slurm",
    ),
    (clusters(ALPHA, BETA), "hub_profiles[0].cluster", "is missing, and no cluster is named slurm"),
    (clusters(BETA), "hub_profiles[0].spawner", "no cluster of hub_clusters has this scheduler"),
    (clusters(ALPHA, cluster="alfa"), "hub_profiles[0].cluster", 'Did you mean "alpha"'),
    (
        clusters(ALPHA, BETA, cluster="beta"),
        "hub_profiles[0].cluster",
        "the scheduler of the cluster beta is torque, not slurm. Use the spawner torque",
    ),
    (
        clusters(ALPHA, {**BETA, "name": "slurm"}),
        "hub_profiles[0].spawner",
        "the scheduler of the cluster slurm is torque, not slurm",
    ),
    (
        clusters(ALPHA, spawner="my.Spawner", cluster="beta"),
        "hub_profiles[0].cluster",
        "is not in hub_clusters",
    ),
    ({"hub_notebook_ports": "50000"}, "hub_notebook_ports", "is not a range of ports"),
    ({"hub_notebook_ports": "80-90"}, "hub_notebook_ports", "between 1024 and 65535"),
    ({"hub_notebook_ports": "50100-50000"}, "hub_notebook_ports", "the lower one first"),
    ({"hub_notebook_ports": "50000-70000"}, "hub_notebook_ports", "between 1024 and 65535"),
    ({"hub_notebook_ports": 50000}, "hub_notebook_ports", "Put it in quotes"),
    ({"hub_recover_jobs": "keep"}, "hub_recover_jobs", "Use one of adopt, cancel"),
    # the gateway
    ({"gateway_listen": []}, "gateway_listen", "nobody could reach"),
    ({"gateway_listen": ["eth0"]}, "gateway_listen[0]", "is not an IP address"),
    ({"gateway_listen": ["[::1]"]}, "gateway_listen[0]", "is not an IP address"),
    ({"gateway_listen": ["127.0.0.1"] * 2}, "gateway_listen[1]", "stands here twice"),
    ({"gateway_listen": ["*", "127.0.0.1"]}, "gateway_listen[1]", "covers it already"),
    ({"gateway_listen": ["0.0.0.0", "127.0.0.1"]}, "gateway_listen[1]", "covers it already"),
    ({"gateway_api_listen": "node"}, "gateway_api_listen", "is not an IP address"),
    ({"gateway_http_port": 443}, "gateway_https_port", "gateway_http_port is the same port"),
    ({"gateway_api_port": 443}, "gateway_api_port", "gateway_https_port is the same port"),
    ({"gateway_server_name": "https://a.b"}, "gateway_server_name", "is not a host name"),
    ({"gateway_server_name": "a_b"}, "gateway_server_name", "is not a host name"),
    ({"gateway_server_name": "a..b"}, "gateway_server_name", "is not a host name"),
    ({"gateway_api_url": "10.0.0.1:8081"}, "gateway_api_url", "http://ADDRESS:PORT"),
    ({"gateway_api_url": "ftp://a"}, "gateway_api_url", "is not an http or https address"),
    ({"gateway_api_url": "http://a:x"}, "gateway_api_url", "is not an http or https address"),
    ({"gateway_api_url": "http://a/hub"}, "gateway_api_url", "more than server and port"),
    ({"gateway_tls_key": "/k"}, "gateway_tls_key", "gateway_tls_certificate is not set"),
    ({"gateway_tls_certificate": "/c"}, "gateway_tls_certificate", "gateway_tls_key is not set"),
    (ACME | {"gateway_acme_url": "http://a.b/dir"}, "gateway_acme_url", "begins with https://"),
    (ACME | {"gateway_acme_url": 'https://a.b/"'}, "gateway_acme_url", "begins with https://"),
    (ACME | {"gateway_acme_contact": ""}, "gateway_acme_contact", "gateway_acme_url needs it"),
    (ACME | {"gateway_acme_contact": "admin"}, "gateway_acme_contact", "is no address of mail"),
    (ACME | {"gateway_acme_url": ""}, "gateway_acme_contact", "gateway_acme_url is not set"),
    (ACME | {"gateway_http_port": 8080}, "gateway_http_port", "asks at port 80"),
    (ACME | {"gateway_server_name": "localhost"}, "gateway_server_name", "not a name to certify"),
    (ACME | {"gateway_server_name": "Hub.test"}, "gateway_server_name", "in small letters"),
    ({"gateway_header_user": "Remote User"}, "gateway_header_user", "is no name of a header"),
    ({"gateway_header_user": "Cookie"}, "gateway_header_user", "has a use of its own"),
    ({"gateway_header_user": "X_Real_IP"}, "gateway_header_user", "has a use of its own"),
    ({"gateway_auth": "ldap"}, "gateway_ldap_url", "gateway_auth: ldap needs it"),
    ({"gateway_auth": "cas", "gateway_cas_url": ""}, "gateway_cas_url", "gateway_auth: cas needs"),
    (
        OPENIDC | {"gateway_openidc_client_secret": ""},
        "gateway_openidc_client_secret",
        "gateway_auth: openidc needs it, and it is not set. Write its password there",
    ),
    (
        OPENIDC | {"gateway_openidc_metadata_url": "http://id.example.org/x"},
        "gateway_openidc_metadata_url",
        "no address that begins with https://",
    ),
    (
        OPENIDC | {"gateway_openidc_client_id": 'a" b'},
        "gateway_openidc_client_id",
        "Apache would read",
    ),
    *(
        (
            OPENIDC | {"gateway_openidc_client_secret": secret},
            "gateway_openidc_client_secret",
            "Have another one made",
        )
        for secret in ("exec:id", "a\nb", "a${B}")
    ),
    (
        OPENIDC | {"gateway_openidc_user_claim": "a b"},
        "gateway_openidc_user_claim",
        "is not one name",
    ),
    ({"gateway_auth_check_url": "https://a b"}, "gateway_auth_check_url", "http:// or https://"),
    ({"hub_subdomains": True}, "hub_subdomains", "names below one without a dot"),
    ({"hub_subdomains": "yes"}, "hub_subdomains", "names below one without a dot"),
    ({"gateway_csp_hub": 'img-src "self"'}, "gateway_csp_hub", "holds a quote"),
    ({"hub_group_names": {"urn:x": "a b"}}, "hub_group_names.urn:x", "is no name of a group"),
    ({"hub_group_names": {"urn:x": 1}}, "hub_group_names.urn:x", "is no name of a group"),
    (OPENIDC | {"gateway_auth_data": ["a;b"]}, "gateway_auth_data[0]", "is not one name"),
    (
        OPENIDC | {"gateway_auth_domains": ["@example.org"]},
        "gateway_auth_domains[0]",
        "is not the name of a domain",
    ),
    ({"gateway_auth": "gssapi", "gateway_auth_data": ["x"]}, "gateway_auth_data", "but the name"),
    (LDAP | {"gateway_ldap_url": "ldap.example.org"}, "gateway_ldap_url", "ldap:// or ldaps://"),
    (LDAP | {"gateway_ldap_url": "ldaps://[x"}, "gateway_ldap_url", "ldap:// or ldaps://"),
    (LDAP | {"gateway_ldap_bind_dn": "cn=a"}, "gateway_ldap_bind_password", "is empty while"),
    (LDAP | {"gateway_ldap_bind_password": "b"}, "gateway_ldap_bind_dn", "is empty while"),
    (
        {"gateway_auth": "cas", "gateway_cas_url": "https://cas.example.org/cas"},
        "gateway_cas_url",
        "does not end with a slash",
    ),
    (OPENIDC | {"hub_allowed_groups": ["staff"]}, "hub_allowed_groups", "empty gateway_auth_data"),
    (
        SHIBBOLETH | {"gateway_shibboleth_metadata": ""},
        "gateway_shibboleth_metadata",
        "gateway_auth: shibboleth needs it",
    ),
    (
        SHIBBOLETH | {"gateway_shibboleth_metadata": "http://id.example.org/metadata"},
        "gateway_shibboleth_metadata",
        "neither an https address nor a path",
    ),
    ({"gateway_auth": "extra"}, "gateway_auth_extra", "gateway_auth: extra needs it"),
    ({"gateway_header_data": "remote-user"}, "gateway_header_data", "gateway_header_user too"),
    # the batch system
    ({"batch_user_group": "root"}, "batch_user_group", "never submit"),
    ({"batch_user_group": "a b"}, "batch_user_group", "is no name of a group"),
    ({"batch_transport": "ssh"}, "batch_transport", "batch_submit_host names none"),
    ({"batch_transport": "ssh", "batch_submit_host": ""}, "batch_transport", "names none"),
    (
        {
            "batch_transport": "ssh",
            "batch_submit_host": "submit",
            "batch_schedulers": ["slurm", "local"],
        },
        "batch_schedulers",
        "local starts servers on the hub's machine",
    ),
    ({"slurm_partitions": []}, "slurm_partitions", "is empty"),
    (partitions({"max_time": "1"}), "slurm_partitions[0].name", "is missing"),
    (partitions({"name": "a", "max_time": 90}), "slurm_partitions[0].max_time", "in quotes"),
    (
        partitions({"name": "a", "max_time": "1", "defalt": True}),
        "slurm_partitions[0].defalt",
        'Did you mean "default"',
    ),
    (
        partitions({"name": "a", "max_time": "1"}, {"name": "a", "max_time": "1"}),
        "slurm_partitions[1].name",
        "slurm_partitions[0] has the same name",
    ),
    (partitions({"name": "DEFAULT", "max_time": "1"}), "slurm_partitions[0].name", "Slurm"),
    (partitions({"name": "a b", "max_time": "1"}), "slurm_partitions[0].name", "no name of a"),
    (partitions({"name": "a", "max_time": "12h"}), "slurm_partitions[0].max_time", "or UNLIMITED"),
    (
        partitions(
            {"name": "a", "max_time": "1", "default": True},
            {"name": "b", "max_time": "1", "default": True},
        ),
        "slurm_partitions[1].default",
        "slurm_partitions[0] is the default already",
    ),
]


@pytest.mark.parametrize(
    ("variables", "path", "fragment"), REFUSED, ids=[f"{row[1]}-{row[2]}"[:60] for row in REFUSED]
)
def test_refused(variables, path, fragment):
    found = messages(**variables)
    matching = [text for text in found if text.startswith((f"here {path} = ", f"here {path}: "))]
    assert len(found) == 1
    assert matching == found
    assert fragment in found[0]
    assert found[0].endswith(".")


ACCEPTED = [
    {"hub_start_timeout": "300"},  # -e hub_start_timeout=300 is text
    {"hub_base_url": "/"},
    {"hub_base_url": "/a/b.c/"},
    {"hub_username_pattern": r"\A[a-z][a-z0-9._@]*\Z"},
    {"hub_blocked_users": ["root"]},
    {"hub_allowed_groups": [], "hub_allowed_users": ["ann"]},
    {"gateway_listen": ["*"]},
    {"gateway_listen": ["::1", "192.0.2.1"]},
    {"gateway_server_name": "hub.example.org"},
    {"gateway_api_url": "https://[2001:db8::1]:8081/"},
    {"gateway_tls_certificate": "/c", "gateway_tls_key": "/k"},
    ACME,
    ACME | {"gateway_http_port": "80"},
    OPENIDC | {"gateway_auth_data": ["groups"], "hub_allowed_groups": ["staff"]},
    LDAP | {"gateway_ldap_bind_dn": "cn=a", "gateway_ldap_bind_password": "b"},
    {"gateway_auth": "cas", "gateway_cas_url": "https://cas.example.org/cas/"},
    OPENIDC | {"gateway_openidc_client_secret": 'a "quoted" $secret'},
    SHIBBOLETH,
    SHIBBOLETH | {"gateway_shibboleth_metadata": "/etc/shibboleth/idp.xml"},
    {"gateway_auth": "shibboleth", "gateway_shibboleth_managed": False},
    {"gateway_auth": "extra", "gateway_auth_extra": {"directives": "AuthType X"}},
    {"gateway_auth": "gssapi", "gateway_auth_domains": ["example.org"]},
    {"batch_user_group": "hpc-users"},
    {"batch_transport": "ssh", "batch_submit_host": "submit"},
    {"hub_profiles": profile(spawner="my.module.Spawner", options={"anything": 1})},
    {"batch_schedulers": ["slurm", "local"], "hub_profiles": profile(spawner="local")},
    {"slurm_embedded": "never", "slurm_partitions": [], **slurm(req_partition="siteonly")},
    {"slurm_embedded": "always", **slurm(req_partition="long", req_runtime="12:00:00")},
    slurm(cpu_limit=None, cmd=["a", "b"], debug=True, start_timeout=3, req_ngpus="0"),
    slurm(cpu_limit=1, cmd=None, args=["-v"], environment={"A": "1"}),
    slurm(req_runtime="", req_memory="", req_nprocs="16"),
    *(slurm(req_memory=memory) for memory in ("4gb", "4G", "4096M", "4096", "1t")),
    *(slurm(req_runtime=time) for time in ("1-00:00:00", "10:00", "90", "2-12", "UNLIMITED")),
    {"site_color": "red", "ansible_user": "root"},
    {"hub_profiles": profile(category="Large jobs", fields={"cores": CORES, "walltime": HOURS})},
    fields(cores={"min": "1", "default": "1", "max": "1"}),
    fields(memory={"min": "512mb", "default": "1gb", "max": "2tb"}),
    fields(walltime={"min": "30", "default": "30", "max": "2-00:00:00"}),
    {"hub_profiles": profile(cluster="slurm")},
    {"hub_notebook_ports": "50000-50100", "hub_recover_jobs": "cancel"},
    # The scheduler of a cluster need not be in batch_schedulers.
    {"batch_schedulers": [], **clusters(BETA, spawner="torque", cluster="beta")},
    clusters({**ALPHA, "name": "slurm"}),
    clusters(ALPHA, spawner="my.Spawner"),
    clusters(ALPHA, spawner="my.Spawner", cluster="alpha"),
    {"batch_schedulers": ["local"], **clusters(ALPHA, spawner="local")},
    alpha(
        environment={"SLURM_CONF": "/etc/slurm/alpha.conf"},
        query_interval=2.5,
        commands={"submit": ["/opt/x", "-a"], "jobs": [["/opt/x"], ["/opt/y"]], "capacity": []},
    ),
    # Another Slurm than the embedded one.
    {
        "slurm_embedded": "always",
        "hub_clusters": [{**ALPHA, "environment": {"SLURM_CONF": "/x"}}],
        "hub_profiles": profile(cluster="alpha", options={"req_partition": "elsewhere"}),
    },
]


@pytest.mark.parametrize("variables", ACCEPTED, ids=str)
def test_accepted(variables):
    assert messages(**variables) == []


def test_groups_of_a_sign_on_that_brings_them():
    """The rules are about PAM alone: whether there is another sign-on, the choices say."""
    variables = {
        "gateway_auth": "other",
        "hub_allowed_groups": ["staff"],
        "hub_profiles": profile(groups=["staff"]),
    }
    (problem,) = messages(**variables)
    assert problem.startswith('here gateway_auth = "other": is not a choice')


@pytest.mark.parametrize(
    ("text", "scheduler", "seconds"),
    [
        ("12:00:00", "torque", 43200),
        ("12:00:00", "slurm", 43200),
        ("1-12:00:00", "slurm", 129600),
        ("1-12", "slurm", 129600),
        ("1-12:30", "slurm", 131400),
        ("90:00", "slurm", 5400),
        ("90", "slurm", 5400),
        ("infinite", "slurm", math.inf),
        ("8:30", "lsf", 30600),
        ("90", "pbs", None),
        ("1-12:00:00", "pbs", None),
        ("8:30", "torque", None),
        ("00:60:00", "torque", None),
        ("00:00:00", "torque", None),
        ("1-24:00:00", "slurm", None),
        ("12h", "slurm", None),
        ("", "slurm", None),
    ],
)
def test_walltime(text, scheduler, seconds):
    assert rules.walltime(text, scheduler) == seconds


def test_all_problems_are_found_at_once():
    assert len(messages(hub_name="a/b", gateway_listen=["x"], release_keep=0, hub_x=1)) == 4


def test_option_only_a_caller_knows():
    options = {"hub_x": {"type": "str"}}
    found = rules.merge_specs({"a": {"main": {"options": options}}, "hub": {"main": {}}})
    assert set(found.options) == {"hub_x"}


@pytest.mark.parametrize("name", ["slurm_partitions", "hub_profiles"])
def test_partitions_not_compared_while_a_list_is_wrong(name):
    wrong = instance(**{name: "x"})
    rules.check_asked_partitions(wrong)
    assert wrong.problems == []


def test_required_variable_without_default():
    found = rules.merge_specs(
        {"site": {"main": {"options": {"site_token": {"required": True, "description": ["A. B"]}}}}}
    )
    bare = rules.Instance("one", {})
    rules.check_types(bare, found, ())
    assert [rules.message(problem, "x") for problem in bare.problems] == [
        "x site_token: is not set and has no default. Set it in the inventory: A."
    ]
    called = rules.Instance("one", {})
    rules.check_types(called, found, ("site_token",))
    waiting = rules.Instance("one", {}, frozenset({"site_token"}))
    rules.check_types(waiting, found, ())
    assert called.problems == waiting.problems == []


def test_longest_role_name_owns_a_variable():
    found = rules.merge_specs({"log": {"main": {}}, "log_shipping": {"main": {}}})
    assert found.owner("log_shipping_target") == "log_shipping"
    assert found.owner("__log_shipping_target") == "log_shipping"
    assert found.owner("log_level") == "log"
    assert found.owner("other_level") is None


def test_own_spec_counts():
    own, foreign = {"type": "int"}, {"type": "str", "required": True}
    found = rules.merge_specs(
        {
            "a": {"main": {"options": {"b_x": foreign}}},
            "b": {"main": {"options": {"b_x": own}}},
            "c": {"main": {"options": {"b_x": foreign}}},
        }
    )
    assert found.options["b_x"] is own
    assert found.required == frozenset()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("hub_api_token",), "canary"),
        (("hub_profiles", 0, "options", "environment", "PASSWORD"), "canary"),
        (("gateway_tls_key",), "-----BEGIN PRIVATE KEY-----canary"),
        (("x",), {"secret": "canary", "list": [{"passphrase": "canary"}]}),
    ],
)
def test_secrets_are_not_shown(path, value):
    text = rules.message(rules.Problem(path, value, "what", "remedy"), "here")
    assert "canary" not in text
    assert rules.HIDDEN in text


def test_path_of_a_keytab_is_no_secret():
    text = rules.message(rules.Problem(("gateway_gssapi_keytab",), "/k", "w", "r"), "here")
    assert text == 'here gateway_gssapi_keytab = "/k": w. r.'


def test_value_from_a_vault_is_not_shown():
    assert "canary" not in rules.message(rules.Problem(("x",), "canary", "w", "r"), "h", True)


def test_key_content_instead_of_a_path_is_not_shown():
    (found,) = messages(
        gateway_tls_certificate="/c", gateway_tls_key="-----BEGIN PRIVATE KEY-----\ncanary"
    )
    assert "canary" not in found
    assert "is the content of a file" in found


def test_long_values_are_cut():
    assert len(rules.value_text(("x",), "y" * 500)) == 100


def neighbours(mine, theirs):
    """Return what is wrong with one host beside another on its machine."""
    apart = {"hub_name": "test", "hub_base_url": "/test/"}
    one, two = instance("one", **{**apart, **mine}), instance("two", **theirs)
    rules.check_neighbour(one, two)
    return [rules.message(problem, "here") for problem in one.problems]


def test_two_good_instances():
    assert neighbours({}, {}) == []


@pytest.mark.parametrize(
    ("mine", "theirs", "path", "fragment"),
    [
        ({"hub_name": "main"}, {}, "hub_name", "the host two on the same machine"),
        ({"hub_account": "hub"}, {"hub_account": "hub"}, "hub_account", "other's secrets"),
        ({"hub_base_url": "/jupyter/"}, {}, "hub_base_url", "uses this path too"),
        ({"hub_base_url": "/jupyter/test/"}, {}, "hub_base_url", "lies inside the other"),
        ({"hub_base_url": "/"}, {}, "hub_base_url", "lies inside the other"),
        (
            {"hub_base_url": "/jupyter/", "gateway_server_name": "b.example.org"},
            {},
            "hub_base_url",
            "under the same gateway_api_port",
        ),
        (
            {"gateway_tls_certificate": "/c", "gateway_tls_key": "/k"},
            {"gateway_tls_certificate": "/d", "gateway_tls_key": "/k"},
            "gateway_tls_certificate",
            'has "/d"',
        ),
        (ACME | {"gateway_acme_url": "https://b.test/"}, ACME, "gateway_acme_url", "has "),
        ({"gateway_api_port": 9000}, {}, "gateway_api_port", "has 8081"),
        (
            SHIBBOLETH | {"gateway_server_name": "b.example.org", "gateway_api_port": 9000},
            SHIBBOLETH | {"gateway_shibboleth_metadata": "/m"},
            "gateway_shibboleth_metadata",
            "has one shibd",
        ),
        (OPENIDC, OPENIDC, "gateway_auth", "one set of settings of openidc for each name"),
        ({"slurm_embedded": "never"}, {}, "slurm_embedded", "one batch system"),
        ({"slurm_cpus": 2}, {}, "slurm_cpus", "has none"),
    ],
)
def test_neighbours(mine, theirs, path, fragment):
    (found,) = neighbours(mine, theirs)
    assert found.startswith(f"here {path} = ")
    assert fragment in found


def test_certificate_files_and_acme_exclude_each_other():
    files = {"gateway_tls_certificate": "/c", "gateway_tls_key": "/k"}
    found = messages(**ACME, **files)
    assert len(found) == 2
    for name, text in zip(files, found, strict=True):
        assert f"{name} = " in text
        assert "gateway_acme_url is set too" in text


def test_acme_brings_no_certificate_for_names_of_users():
    (found,) = messages(**ACME, hub_subdomains=True)
    assert "hub_subdomains = true: gateway_acme_url is set" in found


def test_neighbours_under_two_server_names_may_differ():
    mine = {"gateway_server_name": "b.example.org", "gateway_api_port": 9000}
    assert neighbours(mine | {"hub_base_url": "/jupyter/"}, {}) == []


def test_files_that_a_sign_on_needs():
    assert rules.sign_on_files(instance()) == {}
    assert rules.sign_on_files(instance(**SHIBBOLETH)) == {}
    local = SHIBBOLETH | {"gateway_shibboleth_metadata": "/m"}
    assert rules.sign_on_files(instance(**local)) == {"gateway_shibboleth_metadata": "/m"}
    own = local | {"gateway_shibboleth_managed": False}
    assert rules.sign_on_files(instance(**own)) == {}
    keytab = {"gateway_gssapi_keytab": "/etc/apache2/http.keytab"}
    assert rules.sign_on_files(instance(gateway_auth="gssapi")) == keytab


def test_neighbours_under_one_name_may_have_two_sign_ons():
    assert neighbours(OPENIDC, LDAP) == []
    assert neighbours(LDAP, LDAP) == []


def test_neighbour_with_a_wrong_path():
    assert neighbours({"hub_base_url": 1}, {}) == []


def test_neighbour_value_only_the_machine_knows():
    one, two = instance("one", hub_name="test", hub_base_url="/t/", slurm_cpus=2), instance("two")
    two.unknown = frozenset({"slurm_cpus"})
    rules.check_neighbour(one, two)
    assert one.problems == []


def test_port_pair_not_judged_while_one_is_wrong():
    assert len(messages(gateway_http_port="x", gateway_https_port=80)) == 1
