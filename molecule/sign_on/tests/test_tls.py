"""TLS as people meet it, with a certificate that the site gives."""

import subprocess

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
