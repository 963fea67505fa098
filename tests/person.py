"""What a person does with a hub, in one call; run inside the machine by the hub's own Python.

Usage: ``person.py PREFIX USER PASSWORD ACTION [ARGUMENT]``; the password is never kept. Prints one
JSON object with the address arrived at (``url``), the HTTP ``status`` and what the action adds:
``sign-in``; ``start PROFILE`` (waits until the server is ready or has failed: ``ready``);
``stop``; ``server`` (status of the notebook server's API); ``get PATH``.
"""

import json
import sys
import time

import requests
import urllib3

urllib3.disable_warnings()
PREFIX, USER, PASSWORD, ACTION, *REST = sys.argv[1:]
HUB = f"https://localhost{PREFIX}hub/"

session = requests.Session()
session.verify = False
session.trust_env = False
# As a browser says it: the hub's cross-site checks look at these.
session.headers["Sec-Fetch-Mode"] = "navigate"
session.headers["Sec-Fetch-Site"] = "same-origin"


def sign_in():
    """Sign in by the form and return the last response."""
    page = session.get(f"{HUB}home", timeout=30)
    form = {"httpd_username": USER, "httpd_password": PASSWORD}
    return session.post(page.url, data=form, timeout=30)


def xsrf():
    """Return the hub's cross-site token."""
    return next(c.value for c in session.cookies if c.name == "_xsrf" and c.path.endswith("hub/"))


def model():
    """Return the user's model from the API."""
    answer = session.get(f"{HUB}api/user", headers={"X-XSRFToken": xsrf()}, timeout=30)
    answer.raise_for_status()
    return answer.json()


def start(profile):
    """Start a server and wait until it is ready or the start has failed."""
    token = xsrf()
    answer = session.post(
        f"{HUB}spawn", params={"_xsrf": token}, data={"profile": profile}, timeout=60
    )
    result = {"ready": False, "page": answer.text}
    for _ in range(120):
        server = model()["servers"].get("")
        if not server:
            break
        if server["ready"]:
            result["ready"] = True
            break
        time.sleep(0.5)
    return answer, result


def stop():
    """Stop the server and wait until it is gone."""
    path = f"{HUB}api/users/{USER}/server"
    answer = session.delete(path, headers={"X-XSRFToken": xsrf()}, timeout=60)
    for _ in range(120):
        if not model()["servers"]:
            break
        time.sleep(0.5)
    return answer


last, more = sign_in(), {}
if ACTION == "start":
    last, more = start(*REST)
elif ACTION == "stop":
    last = stop()
elif ACTION == "server":
    # The page first: it gives the browser the server's own cookie.
    session.get(f"https://localhost{PREFIX}user/{USER}/lab", timeout=30)
    last = session.get(f"https://localhost{PREFIX}user/{USER}/api/status", timeout=30)
elif ACTION == "get":
    last = session.get(f"https://localhost{PREFIX}{REST[0]}", timeout=30)
print(json.dumps({"status": last.status_code, "url": last.url, "page": last.text, **more}))
