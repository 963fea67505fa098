"""A person to sign in as, made only where there is none."""

import crypt
from pathlib import Path

import pytest

MAKE = (Path(__file__).parents[3] / "roles/demo_account/files/make-account").read_text()


@pytest.fixture
def make(host):
    """Return a function that runs the role's script for an account name."""
    return lambda name: host.run("sh -c %s make-account %s 1000", MAKE, name)


def test_ordinary_account_with_home(host):
    user = host.user("demo")
    assert user.uid >= 1000
    assert host.file(user.home).user == "demo"


def test_password_in_a_file_of_root_alone_and_right(host):
    file = host.file("/root/demo-password")
    assert (file.user, file.mode) == ("root", 0o600)
    password = file.content_string.strip()
    assert len(password) >= 16
    assert crypt.crypt(password, host.user("demo").password) == host.user("demo").password


def test_a_machine_with_an_account_gets_no_other(host, make):
    done = make("second")
    assert done.rc == 0
    assert done.stdout == ""
    assert not host.user("second").exists
    assert not host.file("/root/second-password").exists


def test_another_account_of_that_name_is_left_alone(host, make):
    host.check_output("getent passwd taken || useradd --system taken")
    before = host.user("taken").password
    assert make("taken").stdout == ""
    assert host.user("taken").password == before


def test_interrupted_before_the_password_was_set(host, make):
    old = host.file("/root/demo-password").content_string
    host.check_output("usermod --password '!' demo")
    assert "made demo" in make("demo").stdout
    hashed = host.user("demo").password
    assert crypt.crypt(old.strip(), hashed) == hashed
