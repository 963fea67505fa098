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
        ("/var/lib/jupyterhub/main", "jupyterhub-main", "jupyterhub-main", 0o750),
        (SECRETS, "jupyterhub-main", "jupyterhub-main", 0o700),
        ("/run/jupyterhub/main/hub", "jupyterhub-main", "jupyterhub-main", 0o700),
        ("/run/jupyterhub/main/proxy", "jupyterhub-main", "www-data", 0o2750),
    ],
)
def test_directory(host, path, owner, group, mode):
    directory = host.file(path)
    assert (directory.user, directory.group, directory.mode) == (owner, group, mode)


@pytest.mark.parametrize("name", ["cookie_secret", "hub.env", "proxy.env", "routes_token"])
def test_secret_is_the_accounts_alone(host, name):
    file = host.file(f"{SECRETS}/{name}")
    assert (file.user, file.mode) == ("jupyterhub-main", 0o600)
    assert file.size >= 64


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
