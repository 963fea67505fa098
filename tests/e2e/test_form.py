"""The spawn form in a browser: by keyboard alone, on a phone, by a link, and against cheats."""

import http.client
import json
import re
import urllib.parse

import pytest
from conftest import BASE, HUB, shoot, sign_in, wait_until

# What no profile of the local inventory has, added by hand as an admin would.
ADDITION = "/etc/jupyterhub/main/jupyterhub_config.d/50-form.py"
CONFIGURATION = """
c = get_config()
c.GatewayProfilesSpawner.profile_categories = {"medium": "Larger"}
c.GatewayProfilesSpawner.profile_fields = {
    "medium": {
        "cores": {"min": 1, "default": 2, "max": 2},
        "memory": {"min": "256M", "default": "512M", "max": "1G"},
        "walltime": {"min": "00:10:00", "default": "01:00:00", "max": "08:00:00"},
    },
}
"""
FIELDS = ("Cores", "Memory", "Time")
SMALL, MEDIUM = "1 core, 1 GB, 1 hour", "2 cores, 2 GB, 8 hours"


@pytest.fixture(scope="module", autouse=True)
def hub(machine):
    """The hub with a heading and choices."""
    machine.run("tee", ADDITION, text=CONFIGURATION)
    machine.run("systemctl", "restart", "jupyterhub-main")
    yield
    machine.run("rm", ADDITION)
    machine.run("systemctl", "restart", "jupyterhub-main")


@pytest.fixture(autouse=True)
def _no_server(hub, session):
    session.stop_server()
    yield
    session.stop_server()


@pytest.fixture
def form(page, password):
    """The form, on a page of somebody who has just signed in."""
    return open_form(page, password)


def open_form(page, password):
    page.goto(f"{HUB}hub/spawn")
    sign_in(page, password)
    page.get_by_role("heading", name="Server Options").wait_for()
    return page


def asked(machine):
    """What the jobs ask for: (user, cores, minutes until they end)."""
    lines = machine.output("squeue", "--noheader", "--format=%u %C %l").splitlines()
    return [tuple(line.split()) for line in lines]


def test_by_keyboard_alone(page, password, machine, session):
    # What was started last is what the form opens with.
    session.start_server()
    session.stop_server()
    form = open_form(page, password)
    assert form.evaluate("document.activeElement.value") == "small"
    assert not form.get_by_label("Cores", exact=True).is_visible()
    form.keyboard.press("ArrowDown")
    assert form.get_by_label(MEDIUM).is_checked()
    for label, text in zip(FIELDS, ["1", "600M", "75"], strict=True):
        form.keyboard.press("Tab")
        assert form.evaluate("document.activeElement.labels[0].innerText") == label
        # All that stands there is selected, and so replaced.
        form.keyboard.press("Control+a")
        form.keyboard.type(text)
    shoot(form, "form-01-choices")
    form.keyboard.press("Tab")
    assert form.evaluate("document.activeElement.innerText") == "Start"
    form.keyboard.press("Enter")
    form.wait_for_url("**/hub/spawn-pending/demo**")
    wait_until(form, lambda: asked(machine) == [("demo", "1", "1:15:00")])
    session.wait_for(lambda server: server and server["ready"], 60)
    assert form.watch.complaints == []

    # The next time it opens as it was left.
    session.stop_server()
    again = form.context.new_page()
    again.goto(f"{HUB}hub/spawn")
    assert again.get_by_label(MEDIUM).is_checked()
    values = [again.get_by_label(name, exact=True).input_value() for name in FIELDS]
    assert values == ["1", "600M", "75"]


def test_a_bad_value_does_not_leave_the_browser(form, machine):
    form.get_by_label(MEDIUM).check()
    form.get_by_label("Cores", exact=True).fill("3")
    form.get_by_role("button", name="Start").click()
    assert form.evaluate("document.activeElement.validity.rangeOverflow")
    # One of a profile that is not selected does not count.
    form.get_by_label(SMALL).check()
    assert form.evaluate("document.querySelector('#spawn_form').checkValidity()")
    assert asked(machine) == []


def test_everything_has_a_name(form):
    form.get_by_label(MEDIUM).check()
    inputs = form.evaluate(
        """[...document.querySelectorAll('#spawn_form input')].map(input => ({
            names: [...input.labels].map(label => label.innerText.trim()),
            hints: (input.getAttribute('aria-describedby') || '').split(' ').map(
                id => document.getElementById(id)?.innerText),
        }))"""
    )
    assert [input["names"] for input in inputs] == [
        [SMALL],
        [MEDIUM],
        ["Cores"],
        ["Memory"],
        ["Time"],
    ]
    assert all(all(input["hints"]) for input in inputs)
    assert "1 core · 1 GB · 1 hour · queue short" in inputs[0]["hints"]
    for name in ("Select a profile", "Larger"):
        assert form.get_by_role("group", name=name, exact=True).count() == 1
    headings = form.locator("legend:visible").all_inner_texts()
    assert headings[:2] == ["Select a profile", "Larger"]


def test_how_soon(form):
    # The scheduler is asked when the form is shown; what it says is there the next time.
    def answered():
        form.reload()
        return "cores free" in form.inner_text("#spawn_form")

    wait_until(form, answered)
    assert re.search(r"Now: .*\d+ of \d+ cores? free", form.inner_text("#spawn_form"))
    shoot(form, "form-02-how-soon")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(form, scheme):
    form.emulate_media(color_scheme=scheme)
    form.set_viewport_size({"width": 360, "height": 740})
    form.get_by_label(MEDIUM).check()
    shoot(form, f"form-03-phone-{scheme}")
    assert form.evaluate("document.documentElement.scrollWidth") <= 360
    for box in [item.bounding_box() for item in form.locator("#spawn_form input:visible").all()]:
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360


def test_without_javascript(chromium, password, machine):
    context = chromium.new_context(ignore_https_errors=True, java_script_enabled=False)
    page = context.new_page()
    open_form(page, password)
    page.get_by_label(MEDIUM).check()
    page.get_by_label("Cores", exact=True).fill("2")
    page.get_by_label("Time", exact=True).fill("02:30:00")
    page.get_by_role("button", name="Start").click()
    wait_until(page, lambda: asked(machine) == [("demo", "2", "2:30:00")])
    context.close()


@pytest.mark.parametrize(
    ("link", "job"),
    [
        ("profile=small", ("demo", "1", "1:00:00")),
        ("profile=medium&cores=1&walltime=00:20:00", ("demo", "1", "20:00")),
    ],
)
def test_link(page, password, machine, link, job):
    page.goto(f"{HUB}hub/spawn?{link}")
    sign_in(page, password)
    page.wait_for_url("**/hub/spawn-pending/demo**")
    wait_until(page, lambda: asked(machine) == [job])


REFUSED = [
    ({"profile": "medium", "cores": "3"}, "Cores: 3 is not within 1 to 2 cores"),
    ({"profile": "medium", "memory": "2G"}, "Memory: 2G is not within 256 MB to 1 GB"),
    ({"profile": "medium", "walltime": "9:00:00"}, "Time: 9:00:00 is not within 10 minutes to 8"),
    ({"profile": "medium", "cores": "2 --exclusive"}, "is not a whole number"),
    ({"profile": "small", "cores": "1"}, "These options cannot be set here: cores"),
    ({"profile": "huge"}, "There is no profile"),
]


@pytest.mark.parametrize(("options", "words"), REFUSED, ids=str)
def test_a_value_beyond_the_bounds_is_refused(session, machine, options, words):
    token = {"X-XSRFToken": session.cookie("_xsrf")}
    names = {"profile": "profile"}
    fields = {names.get(name, f"{name}:{options['profile']}"): options[name] for name in options}
    replies = {
        "form": session.fetch("hub/spawn", urllib.parse.urlencode(fields), headers=token),
        "link": session.fetch(f"hub/spawn?{urllib.parse.urlencode(options)}"),
        "api": session.fetch(
            "hub/api/users/demo/server",
            json.dumps(options),
            headers={**token, "Content-Type": "application/json"},
        ),
    }
    for way, reply in replies.items():
        assert reply.status == http.client.BAD_REQUEST, way
        assert words in reply.text, way
    assert f'action="{BASE}hub/spawn' in replies["form"].text
    assert asked(machine) == []
