#!/usr/bin/env python3
"""Pack the inputs of a release on the control machine and name it by their digest.

Usage: ``pack.py KIND PYTHON MACHINE OUTPUT`` where KIND is ``hub`` or ``notebook``, PYTHON the
target's ``X.Y`` and MACHINE its architecture. Writes ``OUTPUT/<kind>-<id>.tar`` unless it is there
and prints ``{"id": ..., "archive": ...}``. The same inputs give the same id everywhere.
"""

import hashlib
import io
import json
import pathlib
import sys
import tarfile

FILES = pathlib.Path(__file__).resolve().parent
ROOT = FILES.parents[2]


def inputs(kind):
    """Return {name in the archive: path} of everything a release of this kind is made of."""
    found = {
        "build": FILES / "build",
        "tools/requirements.lock": FILES / "tools/requirements.lock",
        "requirements.lock": FILES / kind / "requirements.lock",
    }
    if kind == "notebook":
        for name in ("page_config.json", "notebook-server"):
            found[name] = FILES / kind / name
    if kind == "hub":
        for name in ("package.json", "package-lock.json"):
            found[name] = FILES / kind / name
        found["hpc_gateway/pyproject.toml"] = ROOT / "pyproject.toml"
        for path in (ROOT / "src").rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc":
                found[f"hpc_gateway/{path.relative_to(ROOT)}"] = path
    return dict(sorted(found.items()))


def pack(kind, python, machine, output):
    """Write the archive unless it is there; return its id and path."""
    contents = {name: path.read_bytes() for name, path in inputs(kind).items()}
    digest = hashlib.sha256(f"{kind} {python} {machine}\n".encode())
    for name, content in contents.items():
        digest.update(f"{name} {len(content)}\n".encode() + content)
    identifier = digest.hexdigest()[:16]
    archive = output / f"{kind}-{identifier}.tar"
    if not archive.exists():
        about = {"id": identifier, "kind": kind, "python": python, "machine": machine}
        contents["RELEASE.json"] = json.dumps(about, indent=2).encode() + b"\n"
        output.mkdir(parents=True, exist_ok=True)
        unfinished = archive.with_suffix(".new")
        with tarfile.open(unfinished, "w") as tar:
            for name, content in contents.items():
                entry = tarfile.TarInfo(f"{identifier}/{name}")
                entry.size, entry.mode = len(content), 0o755 if name == "build" else 0o644
                tar.addfile(entry, io.BytesIO(content))
        unfinished.rename(archive)
    return {"id": identifier, "archive": str(archive)}


if __name__ == "__main__":
    print(json.dumps(pack(*sys.argv[1:4], pathlib.Path(sys.argv[4]))))
