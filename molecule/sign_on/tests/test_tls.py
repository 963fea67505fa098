"""TLS as people meet it, with a certificate that the site gives."""

import subprocess

import pytest
from walk import ADDRESSES, GATEWAY, ROOT, Browser, machine


def authority(tmp_path):
    """The certificate authority of the gateway's certificate, as a file here."""
    path = tmp_path / "ca.crt"
    path.write_text(machine(GATEWAY).file("/etc/ssl/test-ca/ca.crt").content_string)
    return str(path)


def test_certificate_is_the_given_one(tmp_path):
    with Browser() as browser:
        browser.verify = authority(tmp_path)
        assert browser.open("hub/health").status_code == 200


@pytest.mark.parametrize(
    ("path", "policy"),
    [
        ("hub/health", "default-src 'self'; script-src 'self' 'unsafe-inline'"),
        ("gateway/sign-in.html", "form-action 'self'; frame-ancestors 'none'"),
        ("user/nobody/api", "script-src 'self' https: data:"),
        ("services/echo/x", "script-src 'self' https: data:"),
    ],
)
def test_what_browsers_are_told(path, policy):
    with Browser() as browser:
        headers = browser.open(path, allow_redirects=False).headers
    assert policy in headers["Content-Security-Policy"]
    assert headers["Strict-Transport-Security"] == "max-age=63072000"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "strict-origin-when-cross-origin"


def test_mozillas_intermediate_configuration(tmp_path):
    """Protocols, ciphers, curves, certificate: judged by a program that is not ours."""
    command = [
        ROOT / ".venv-sslyze/bin/sslyze",
        "--mozilla_config=intermediate",
        f"--certinfo_ca_file={authority(tmp_path)}",
        f"--sni={GATEWAY}",
        f"{ADDRESSES[GATEWAY]}:443",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert f"{ADDRESSES[GATEWAY]}:443: OK - Compliant" in done.stdout, done.stdout[-2000:]
    assert done.returncode == 0
