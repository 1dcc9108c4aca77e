"""No machine needs a compiler: every package that requirements.txt pins has a wheel for each platform and Python that we name.

Asks the package index that uv or pip is set up with once, for the names of all wheels, and fetches none. Which of them a
machine would take is asked of `packaging`, as pip itself does. In CI alone, unless OFFHOOK_TEST_WHEELS is set.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from tests.support.needed import may_lack, require
from tests.support.processes import REPOSITORY
from tests.support.waiting import HANGS_AFTER_SECONDS

FILE = REPOSITORY / "requirements.txt"
PYTHONS = [(3, 11), (3, 12), (3, 13), (3, 14)]
Pin = tuple[str, str]  # name and version
Wheels = dict[Pin, set[Tag]]  # what the wheels of each are for
DID_NOT_ASK = 2  # how uv ends where it could not ask; 1 says that the index has no such thing


def linux(machine: str, *tags: str) -> list[str]:
    return [f"{tag}_{machine}" for tag in tags]


# glibc 2.28 is that of Debian 10 and RHEL 8; musl 1.2 of Alpine 3.13; macOS 12 of 2021.
_GLIBC = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_26", "manylinux_2_17", "manylinux2014")
_MUSL = ("musllinux_1_2", "musllinux_1_1")
PLATFORMS = {
    "manylinux x86_64": linux("x86_64", *_GLIBC),
    "manylinux aarch64": linux("aarch64", *_GLIBC),
    "musllinux x86_64": linux("x86_64", *_MUSL),
    "musllinux aarch64": linux("aarch64", *_MUSL),
    "macosx x86_64": list(mac_platforms((12, 0), "x86_64")),
    "macosx arm64": list(mac_platforms((12, 0), "arm64")),
}


def pinned(platform: str) -> list[Pin]:
    """What requirements.txt pins for a machine of this kind."""
    system, machine = platform.split()
    known = {"sys_platform": "darwin" if system == "macosx" else "linux", "platform_machine": machine}
    pins = re.findall(r"^([A-Za-z][^\\\n]*)", FILE.read_text(), re.MULTILINE)  # their hashes stand in lines below
    wanted = [each for each in map(Requirement, pins) if each.marker is None or each.marker.evaluate(known)]
    return [(canonicalize_name(each.name), str(each.specifier).removeprefix("==")) for each in wanted]


def wheels_named(text: str) -> Wheels:
    """All wheels whose names stand in what uv writes."""
    found: Wheels = {}
    for name in set(re.findall(r"[\w.+]+-[\w.+!]+(?:-\d\w*)?-[\w.]+-[\w.]+-[\w.]+\.whl", text)):
        try:
            project, version, _, tags = parse_wheel_filename(name)
        except InvalidWheelFilename:
            continue
        found.setdefault((project, str(version)), set()).update(tags)
    return found


def without_wheel(wanted: list[Pin], known: Wheels, python: tuple[int, int], platforms: list[str]) -> set[str]:
    """Those that a machine of this kind would have to build."""
    takes = {
        *cpython_tags(python, platforms=platforms),
        *compatible_tags(python, f"cp{python[0]}{python[1]}", platforms),
    }
    return {name for name, version in wanted if not known.get((name, version), set()) & takes}


def index_of_pip() -> list[str]:
    """The index that pip is set up with, for uv, which reads what is said to itself alone. Where nothing is said both take PyPI."""
    if {"UV_DEFAULT_INDEX", "UV_INDEX_URL"} & os.environ.keys():
        return []
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True).stdout
    said = dict(re.findall(r"^(global|install|:env:)\.index-url='(.+)'$", listed, re.MULTILINE))
    last_word = [said[place] for place in (":env:", "install", "global") if place in said]
    return ["--default-index", last_word[0]] if last_word else []


def ask_index(file: Path, folder: Path) -> Wheels:
    """The wheels of all that the file pins, for any machine: uv writes them all down where it pins for every one. That takes it half
    a second, where pip would read each version that there ever was. Leaves the test out where the index does not answer.
    """
    is_asked = os.environ.get("CI") == "true" or os.environ.get("OFFHOOK_TEST_WHEELS")
    require(is_asked, "the package index is asked in CI alone, or with OFFHOOK_TEST_WHEELS=1")
    lock = folder / "pylock.toml"
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--system-certs", "--no-deps", "--no-build"]
    command += ["--universal", "--python-version", ".".join(map(str, PYTHONS[0])), *index_of_pip()]
    env = {"UV_HTTP_RETRIES": "1", "UV_HTTP_TIMEOUT": "10", **os.environ}
    try:
        done = subprocess.run(
            [*command, "--format", "pylock.toml", "--output-file", str(lock), str(file)],
            env=env,
            capture_output=True,
            text=True,
            timeout=HANGS_AFTER_SECONDS,
        )
    except subprocess.TimeoutExpired:
        may_lack(None, "package index", "it does not answer")
    is_let_in = not re.search("401 Unauthorized|403 Forbidden", done.stderr)
    may_lack(done.returncode != DID_NOT_ASK and is_let_in, "package index", done.stderr)
    assert done.returncode == 0, done.stderr  # a version that is not there, or one that has no wheel for anybody
    return wheels_named(lock.read_text())


def test_every_package_has_a_wheel_for_every_platform_and_python(tmp_path: Path) -> None:
    known = ask_index(FILE, tmp_path)
    assert all(len(pinned(platform)) > 30 for platform in PLATFORMS)
    absent = {
        f"{platform}, Python {python[0]}.{python[1]}": found
        for platform, tags in PLATFORMS.items()
        for python in PYTHONS
        if (found := without_wheel(pinned(platform), known, python, tags))
    }
    assert absent == {}


def test_only_machines_for_which_pysqlite3_has_a_wheel_are_asked_to_have_it() -> None:
    asked = {platform for platform in PLATFORMS if "pysqlite3" in dict(pinned(platform))}
    assert asked == {"manylinux x86_64", "musllinux x86_64", "macosx arm64"}


def test_a_wheel_counts_for_the_machines_that_its_name_says() -> None:
    said = "x/fast-1.0-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl, y/pure-2.0-py3-none-any.whl"
    known, wanted = wheels_named(said), [("fast", "1.0"), ("pure", "2.0")]
    assert without_wheel(wanted, known, (3, 12), PLATFORMS["manylinux x86_64"]) == set()
    assert without_wheel(wanted, known, (3, 12), PLATFORMS["musllinux x86_64"]) == {"fast"}
    assert without_wheel(wanted, known, (3, 13), PLATFORMS["manylinux x86_64"]) == {"fast"}
    assert without_wheel([("fast", "1.1")], known, (3, 12), PLATFORMS["manylinux x86_64"]) == {"fast"}


@pytest.mark.unit
def test_each_python_is_named_to_ci_to_the_soak_and_to_whoever_installs_it() -> None:
    every = [f"{major}.{minor}" for major, minor in PYTHONS]
    of = {name: (REPOSITORY / name).read_text() for name in ("pyproject.toml", ".github/workflows/ci.yml", "Makefile")}
    assert re.findall(r'"Programming Language :: Python :: (3\.\d+)"', of["pyproject.toml"]) == every
    [matrix] = re.findall(r"python: \[(.*)\]", of[".github/workflows/ci.yml"])
    assert re.findall(r'"(3\.\d+)"', matrix) == every
    assert re.findall(r"for version in ([^;]*); do sh tests/on_python.sh", of["Makefile"]) == [" ".join(every)]
