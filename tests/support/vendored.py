"""The dashboard's vendored files: held to their hashes, and renewed from npm: `python -m tests.support.vendored [renew]`.

vendored.json names the packages, their versions, licences and files; SHA256SUMS holds the files' hashes, as `sha256sum -c` reads
them. Renewing takes the version that vendored.json names, and npm itself checks the package against its registry's hash.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

VENDOR = Path(__file__).parents[2] / "adapters" / "dashboard" / "static" / "vendor"
_SUMS = "SHA256SUMS"


def sums(folder: Path = VENDOR) -> str:
    """What SHA256SUMS should hold: every file that vendored.json names."""
    named = json.loads((folder / "vendored.json").read_text())
    files = sorted(ours for package in named.values() for ours in package["files"].values())
    return "".join(f"{hashlib.sha256((folder / file).read_bytes()).hexdigest()}  {file}\n" for file in files)


def wrong(folder: Path = VENDOR) -> bool:
    """Whether any file is another than SHA256SUMS says."""
    return sums(folder) != (folder / _SUMS).read_text()


def renew(folder: Path = VENDOR) -> None:
    """Take every package from npm anew, in the version that vendored.json names."""
    for name, package in json.loads((folder / "vendored.json").read_text()).items():
        for theirs, ours in package["files"].items():
            (folder / ours).write_bytes(_packed(name, package["version"])[theirs])
    (folder / _SUMS).write_text(sums(folder))


def _packed(name: str, version: str) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(
            ["npm", "pack", "--silent", f"{name}@{version}"], cwd=scratch, check=True, capture_output=True, text=True
        )
        packed = (Path(scratch) / done.stdout.strip().splitlines()[-1]).read_bytes()
    with tarfile.open(fileobj=io.BytesIO(packed)) as opened:
        found = {one.name: opened.extractfile(one) for one in opened.getmembers() if one.isfile()}
        return {path: file.read() for path, file in found.items() if file is not None}


if __name__ == "__main__":
    if sys.argv[1:] == ["renew"]:
        renew()
    raise SystemExit(1 if wrong() else 0)
