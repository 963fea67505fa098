"""Account, directories and secrets of one hub."""

import pytest

SECRETS = "/var/lib/jupyterhub/main/secrets"


def test_account_is_a_system_account_that_cannot_sign_in(host):
    user = host.user("jupyterhub-main")
    assert 0 < user.uid < 1000
    assert user.shell == "/usr/sbin/nologin"
    assert user.password.startswith(("!", "*"))


@pytest.mark.parametrize(
    ("path", "owner", "group", "mode"),
    [
        ("/opt/jupyterhub/main", "root", "root", 0o755),
        ("/etc/jupyterhub/main", "root", "root", 0o755),
        ("/etc/jupyterhub/main/jupyterhub_config.d", "root", "jupyterhub-main", 0o750),
        ("/etc/jupyterhub/main/templates/batch", "root", "root", 0o755),
        ("/etc/jupyterhub/main/templates/hub", "root", "root", 0o755),
        ("/var/lib/jupyterhub/main", "root", "jupyterhub-main", 0o1770),
        (SECRETS, "root", "jupyterhub-main", 0o750),
        ("/run/jupyterhub/main/hub", "jupyterhub-main", "jupyterhub-main", 0o700),
        ("/run/jupyterhub/main/proxy", "jupyterhub-main", "www-data", 0o2750),
    ],
)
def test_directory(host, path, owner, group, mode):
    directory = host.file(path)
    assert (directory.user, directory.group, directory.mode) == (owner, group, mode)


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("cookie_secret", "jupyterhub-main"),
        ("routes_token", "jupyterhub-main"),
        ("hub.env", "root"),
        ("proxy.env", "root"),
    ],
)
def test_secret_is_its_readers_alone(host, name, owner):
    file = host.file(f"{SECRETS}/{name}")
    assert (file.user, file.mode) == (owner, 0o600)
    assert file.size >= 64


@pytest.mark.parametrize(
    "trick",
    [
        "ln -sf /etc/shadow {0}/routes_token",
        "mv {0} {0}.old",
        "rm {0}/hub.env",
        "mv /var/lib/jupyterhub/main /var/lib/jupyterhub/x",
    ],
)
def test_the_account_cannot_change_what_root_reads(host, trick):
    """What root opens in a directory of the account could be a link to anything."""
    command = trick.format(SECRETS)
    assert host.run("runuser -u jupyterhub-main -- sh -c %s", command).rc != 0
    assert host.run("runuser -u jupyterhub-main -- touch /var/lib/jupyterhub/main/x").rc == 0


def test_hub_and_proxy_share_one_token(host):
    hub = host.file(f"{SECRETS}/hub.env").content_string.splitlines()
    proxy = host.file(f"{SECRETS}/proxy.env").content_string.splitlines()
    assert proxy[0].startswith("CONFIGPROXY_AUTH_TOKEN=")
    assert proxy[0] in hub
    token = host.file(f"{SECRETS}/routes_token").content_string
    assert f"JUPYTERHUB_ROUTES_TOKEN={token}" in hub


def test_run_directories_come_back_after_a_reboot(host):
    host.check_output("rm -rf /run/jupyterhub && systemd-tmpfiles --create")
    assert host.file("/run/jupyterhub/main/hub").mode == 0o700


def test_nobody_else_reads_a_secret(host):
    assert host.run("runuser -u nobody -- cat %s/hub.env", SECRETS).rc != 0
