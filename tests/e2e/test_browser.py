"""The whole way in a real browser, from the sign-in to "signed out": what a user sees and does."""

import json

import pytest
from conftest import HUB, run_a_cell, shoot, sign_in, wait_until


def test_from_sign_in_to_signed_out(page, machine, password, session):
    session.stop_server()
    machine.run("sh", "-c", "rm -rf ~demo/Untitled*.ipynb ~demo/.jupyter/lab", check=True)

    # The door: a page of ours, not the browser's pop-up, wherever one wanted to go.
    page.goto(HUB)
    page.get_by_role("button", name="Sign in").wait_for()
    shoot(page, "01-sign-in")
    page.goto(f"{HUB}hub/token")
    sign_in(page, "not the password")
    page.get_by_text("User name or password is not right.").wait_for()
    shoot(page, "02-sign-in-failed")
    sign_in(page, password)
    page.wait_for_url(f"{HUB}hub/token")
    shoot(page, "03-where-one-wanted-to-go")

    # A server.
    page.goto(f"{HUB}hub/spawn")
    profiles = page.get_by_role("group", name="Select a profile")
    assert profiles.locator("label").all_inner_texts() == [
        "1 core, 1 GB, 1 hour",
        "2 cores, 2 GB, 8 hours",
    ]
    shoot(page, "04-spawn-form")
    profiles.get_by_label("1 core, 1 GB, 1 hour").check()
    page.get_by_role("button", name="Start").click()
    page.wait_for_url("**/hub/spawn-pending/demo**")
    page.wait_for_timeout(1000)
    shoot(page, "05-pending")
    page.wait_for_url("**/user/demo/lab**", timeout=60_000)
    assert machine.jobs() == [("demo", "RUNNING")]

    run_a_cell(page)
    shoot(page, "06-notebook")
    # Saving is an event that the server tells of.
    page.keyboard.press("Control+s")
    page.get_by_role("button", name="Rename and Save").click()
    wait_until(page, lambda: '"save"' in page.watch.received("/api/events/subscribe$"))

    # A terminal.
    page.locator(".lm-TabBar-addButton:visible").first.click()
    page.locator('.jp-LauncherCard[title*="terminal"]').click()
    page.locator(".jp-Terminal .xterm-screen").click()
    page.keyboard.type('echo "$(whoami) is on $(hostname)"\n')
    answer = f"demo is on {machine.output('hostname')}"
    wait_until(page, lambda: answer in page.watch.received("/terminals/websocket/"))
    page.wait_for_timeout(300)
    shoot(page, "07-terminal")

    # The end of it.
    page.goto(f"{HUB}hub/home")
    shoot(page, "08-control-panel")
    page.locator("#stop").click()
    page.get_by_role("button", name="Start My Server").wait_for()
    wait_until(page, lambda: machine.jobs() == [])
    page.goto(f"{HUB}hub/admin")
    page.get_by_text("403").wait_for()
    shoot(page, "09-forbidden")
    page.goto(f"{HUB}hub/home")
    page.get_by_role("button", name="Logout").click()
    page.get_by_role("heading", name="You are signed out").wait_for()
    shoot(page, "10-signed-out")
    for path in ["hub/home", "hub/spawn", "user/demo/lab"]:
        page.goto(HUB + path)
        page.get_by_label("Password").wait_for()
    page.go_back()
    assert "demo" not in page.inner_text("body")

    assert page.watch.complaints == []


# Name, and the address under which a browser asks for it.
NAMES = {"q?x.txt": "q%3Fx.txt", "50%2F.txt": "50%252F.txt", "a b#c.txt": "a%20b%23c.txt"}


@pytest.fixture
def files(machine, notebook):
    """Demo's home with files that take care to name."""
    for name in [*NAMES, "folder/deep.txt"]:
        machine.run(
            "sh", "-c", 'mkdir -p ~/folder && cat >"$HOME/$1"', "-", name, user="demo", text=name
        )
    notebook.fetch("user/demo/lab")
    yield notebook
    machine.run("sh", "-c", 'cd && rm -rf folder "$@"', "-", *NAMES, user="demo")


def test_awkward_file_names(files, page, password):
    for name, quoted in NAMES.items():
        contents = json.loads(files.fetch(f"user/demo/api/contents/{quoted}").text)
        assert (contents["name"], contents["content"]) == (name, name)
        assert files.fetch(f"user/demo/files/{quoted}").text == name
    # A slash may be written as %2F, as Lab does in places.
    assert files.fetch("user/demo/files/folder%2Fdeep.txt").text == "folder/deep.txt"
    # The browser's way.
    page.goto(f"{HUB}user/demo/lab/tree/q%3Fx.txt")
    sign_in(page, password)
    page.locator(".jp-FileEditor .cm-content").get_by_text("q?x.txt").wait_for()
    assert page.watch.complaints == []


# As small as a viewer takes it.
PDF = """%PDF-1.1
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]>>endobj
trailer<</Root 1 0 R>>
"""


def test_pdf_may_be_shown(machine, notebook, page, password):
    """Lab shows one as an object of its page, which a strict content policy would forbid."""
    machine.run("sh", "-c", 'cat >"$HOME/x.pdf"', user="demo", text=PDF)
    page.goto(f"{HUB}user/demo/lab/tree/x.pdf?reset")
    sign_in(page, password)
    page.locator(".jp-PDFContainer").wait_for()
    page.wait_for_timeout(2000)
    shoot(page, "11-pdf")
    machine.run("rm", "/home/demo/x.pdf")
    assert page.watch.complaints == []
