"""The packages that were asked for are there, and nothing that they merely recommend."""

import pytest


@pytest.mark.parametrize("name", ["tree", "sl"])
def test_installed(host, name):
    assert host.package(name).is_installed
