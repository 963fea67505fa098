"""Pages made from the specs are up to date, and every link leads somewhere."""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from tree import ROOT, files

PAGES = [path for path in files() if path.suffix == ".md"]
LINK = re.compile(r"!?\[[^\]]*\]\(<?([^)\s>]+)[^)]*\)|(?:href|src)=\"([^\"]+)\"")


def test_generated_pages_are_current() -> None:
    """docs/generate.py would change nothing."""
    command = [sys.executable, ROOT / "docs/generate.py", "--check"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_resolve(page: Path) -> None:
    """Relative links name files of the tree, and anchors headings of theirs."""
    broken = []
    for match in LINK.finditer(without_code(ROOT / page)):
        link = match[1] or match[2]
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (ROOT / page.parent / name).resolve() if name else ROOT / page
        if not target.exists():
            broken.append(f"{link}: no such file")
        elif anchor and (target.suffix != ".md" or anchor not in anchors(target)):
            broken.append(f"{link}: no such heading")
    assert not broken, "\n".join(broken)


def without_code(path: Path) -> str:
    """Return a page without its code blocks, which may show links that are none."""
    return re.sub(r"^(```|~~~).*?^\1", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)


@cache
def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as code hosts form them."""
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", without_code(path), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        number = 0
        while (name := f"{slug}-{number}" if number else slug) in found:
            number += 1
        found.add(name)
    return found
