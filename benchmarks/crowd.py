"""Many users who start a server at the same moment: part (b) of benchmarks/spawn."""

import math
import statistics
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from lab import log, percentile

# Seconds within which the hub's API answers meanwhile.
BOUND = 1.0
# Seconds between two questions.
PACE = 0.2


class Sampler(threading.Thread):
    """Asks a hub for each of these paths at fixed moments, however it has answered before."""

    def __init__(self, hub, paths):
        """Begin with nothing asked."""
        super().__init__(daemon=True)
        self.hub, self.taken, self.stopped = hub, {path: [] for path in paths}, threading.Event()

    def run(self):
        """Ask until it is stopped."""
        due = time.monotonic()
        with ThreadPoolExecutor(300) as pool:
            while not self.stopped.wait(max(0, due - time.monotonic())):
                for path in self.taken:
                    pool.submit(self.ask, path, due)
                due += PACE

    def ask(self, path, due):
        """Ask once; an answer that is none took for ever."""
        try:
            said = self.hub.ask("GET", path)[0]
        except OSError as error:
            said = repr(error)
        self.taken[path].append(time.monotonic() - due if said == 200 else math.inf)
        if said != 200:
            log(f"hub/{path} after {time.monotonic() - due:.1f} s: {said}")

    def stop(self):
        """Stop, and return what each path took."""
        self.stopped.set()
        self.join()
        return self.taken


def start(machine, hub, people, profile):
    """Start all at once, on the hub whose jobs the machine lists; then stop them.

    Return the seconds until all were ready, those of the API meanwhile, and whom it failed.
    """
    earlier = {job for job, _, _ in machine.jobs()}
    paths = ["health", "api/", f"api/users/{people[0]}"]
    sampler = Sampler(hub, paths)
    sampler.start()
    begin = time.monotonic()
    try:
        hub.start(people, {"profile": profile}, 600)
        seconds = time.monotonic() - begin
    finally:
        asked = sampler.stop()
    # Every job there was, that of a start which was tried again too.
    jobs = [job for job in machine.jobs() if job[0] not in earlier and job[1] in people]
    of_hub = {
        user["name"]: user["servers"][""]["state"]["child_state"]["job_id"]
        for user in hub.users("ready")
        if user["name"] in people
    }
    right = {user: number for number, user, state in jobs if state == "RUNNING"}
    lost = [user for user in people if user not in of_hub or right.get(user) != of_hub[user]]
    doubled = [user for user, count in Counter(user for _, user, _ in jobs).items() if count > 1]
    hub.stop(people)
    return seconds, asked, lost, doubled


def table(people, seconds, asked, lost, doubled):
    """Return the lines of the table, and whether the bounds are kept."""
    everything = [taken for each in asked.values() for taken in each]
    p95 = percentile(everything, 0.95)
    lines = [
        f"| {len(people)} starts at once | figure | at most | |",
        "| --- | ---: | ---: | --- |",
        f"| until all were ready, s | {seconds:.1f} | | |",
        f"| lost | {len(lost)} | 0 | {' '.join(lost)} |",
        f"| doubled | {len(doubled)} | 0 | {' '.join(doubled)} |",
        f"| hub API meanwhile, 95th percentile of {len(everything)}, s | {p95:.3f} | {BOUND} "
        f"| {'kept' if p95 <= BOUND else 'MISSED'} |",
    ]
    for path, taken in asked.items():
        words = "hub/api/users/NAME" if "users" in path else f"hub/{path}"
        lines.append(
            f"| of it {words}: median, 95th percentile, slowest | {statistics.median(taken):.3f}, "
            f"{percentile(taken, 0.95):.3f}, {max(taken):.3f} | | |"
        )
    return lines, not lost and not doubled and p95 <= BOUND
