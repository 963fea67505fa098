"""A template that is none is refused before it is put into place."""

from pathlib import Path

import pytest

from hpc_gateway import check_template

TEMPLATES = Path(__file__).resolve().parents[2] / "templates"
OURS = [*TEMPLATES.glob("hub/*.html"), *TEMPLATES.glob("batch/*.sh")]


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_ours(path, capsys):
    assert check_template.main([str(path)]) == 0
    assert capsys.readouterr() == ("", "")


def test_no_template(tmp_path, capsys):
    path = tmp_path / "page.html"
    path.write_text("<p>\n{% if x %}\n{{ y }\n")
    assert check_template.main([str(path)]) == 1
    assert capsys.readouterr().err.startswith("line 3: unexpected '}'")
