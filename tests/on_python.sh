#!/bin/sh
# The unit tests on one Python version, in a virtual environment of its own: sh tests/on_python.sh 3.13
set -eu
version=$1
python="python$version"
if ! "$python" --version >/dev/null 2>&1; then # pyenv hides those that are not chosen
    for found in "$HOME"/.pyenv/versions/"$version"*/bin/python; do python=$found; done
fi
"$python" --version >/dev/null 2>&1 || { echo "No Python $version on this machine: its unit tests are left out."; [ "${CI:-}" = true ] && exit 1; exit 0; }
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
"$python" -m venv "$here/venv"
"$here/venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
echo "Unit tests on $("$here/venv/bin/python" --version)"
"$here/venv/bin/python" -m pytest -m "unit and not soak" -q -p no:cacheprovider --hypothesis-profile random
