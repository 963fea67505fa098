"""A thousand open websockets, and the hub answers as if they were not there."""

import asyncio
import json
import resource
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import ARTIFACTS, BASE, TLS
from websockets.asyncio.client import connect

WEBSOCKETS = 1000
# Handshakes at a time: a thousand users do not come in the same instant.
AT_ONCE = 50
SECONDS = 60
ANSWERS = 20
LIMIT = 0.3
# Each reload leaves a process of Apache behind for as long as one of its websockets is open.
RELOADS, KEPT = 12, 200


@pytest.fixture
def many_files():
    """Each websocket is an open file of ours."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, WEBSOCKETS + 1000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def open_all(token, count=WEBSOCKETS):
    turn = asyncio.Semaphore(AT_ONCE)

    async def open_one():
        async with turn:
            return await connect(
                f"wss://localhost{BASE}user/demo/api/events/subscribe",
                additional_headers={"Authorization": f"token {token}"},
                ssl=TLS,
                open_timeout=30,
                proxy=None,
            )

    return await asyncio.gather(*[open_one() for _ in range(count)])


async def health():
    """Seconds until a new client has its answer."""
    begin = time.perf_counter()
    reader, writer = await asyncio.open_connection("localhost", 443, ssl=TLS)
    writer.write(f"GET {BASE}hub/health HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
    answer = await reader.read()
    seconds = time.perf_counter() - begin
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    return seconds


async def alive(websocket):
    """The notebook server itself answers a ping, through all that lies between."""
    await (await websocket.ping())


async def measure(token):
    begin = time.perf_counter()
    websockets = await open_all(token)
    opened = time.perf_counter() - begin
    try:
        answers = [await health() for _ in range(ANSWERS)]
        await asyncio.gather(*[alive(websocket) for websocket in websockets])
    finally:
        await asyncio.gather(*[websocket.close() for websocket in websockets])
    return {
        "websockets": len(websockets),
        "seconds_to_open": round(opened, 2),
        "health_p50": round(statistics.median(answers), 4),
        "health_max": round(max(answers), 4),
    }


async def reload_again_and_again(token, reload):
    websockets = await open_all(token, KEPT)
    slowest = 0
    try:
        for _ in range(RELOADS):
            await reload()
            slowest = max(slowest, await health())
        await asyncio.gather(*[alive(websocket) for websocket in websockets])
    finally:
        await asyncio.gather(*[websocket.close() for websocket in websockets])
    return slowest


def test_reloads_drop_no_websocket(machine, notebook, many_files, capsys):
    token = notebook.api("users/demo/tokens", {"expires_in": 300}, "POST")["token"]
    with ThreadPoolExecutor(1) as pool:
        # Its thread stays outside of the container's network, since it is there before.
        pool.submit(int).result()

        async def reload():
            command = ("systemctl", "reload", "apache2")
            await asyncio.get_running_loop().run_in_executor(pool, machine.run, *command)
            # It says yes at once, and starts over in the second that follows.
            await asyncio.sleep(1)

        with machine.network():
            work = reload_again_and_again(token, reload)
            slowest = asyncio.run(asyncio.wait_for(work, SECONDS))
    with capsys.disabled():
        print(f"\n{RELOADS} reloads under {KEPT} websockets; hub/health: max {slowest:.4f} s")
    assert slowest < LIMIT


def test_health_answers_beside_a_thousand_websockets(machine, notebook, many_files, capsys):
    token = notebook.api("users/demo/tokens", {"expires_in": 300}, "POST")["token"]
    with machine.network():
        figures = asyncio.run(asyncio.wait_for(measure(token), SECONDS))
    (ARTIFACTS / "load.json").write_text(json.dumps(figures, indent=2) + "\n")
    with capsys.disabled():
        print(
            f"\n{figures['websockets']} websockets, opened in {figures['seconds_to_open']} s; "
            f"hub/health: p50 {figures['health_p50']} s, max {figures['health_max']} s"
        )
    assert figures["websockets"] == WEBSOCKETS
    assert figures["health_max"] < LIMIT
