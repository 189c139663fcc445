#!/bin/sh
# Make .venv with exactly the locked packages and this project in it. With the argument `bench` it is
# .venv-bench, with what the bench measures beside ours, with `node` .venv-node, with Node.js for
# clients and servers that are no Python. Safe to run again.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "approvals needs Python 3.11 or newer as '$python'; set PYTHON to one." >&2
    exit 1
fi
venv=.venv
lock=requirements-dev.lock
if [ "$#" -gt 0 ]; then
    venv=.venv-$1
    lock=requirements-$1.lock
fi
stamp=$venv/.bootstrapped
want=$(cat "$lock" pyproject.toml scripts/bootstrap.sh | cksum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then
    exit 0
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "This Python cannot make virtual environments; on Debian: apt install python3-venv" >&2
    exit 1
fi
echo "Setting up $venv; this takes a moment the first time." >&2
"$python" -m venv --clear "$venv"
export PIP_DISABLE_PIP_VERSION_CHECK=1 UV_PYTHON_DOWNLOADS=never UV_SYSTEM_CERTS=1
pip="$venv/bin/python -m pip install --quiet"
# uv is several times faster; where it cannot work (it ignores pip's settings) pip reads the same lock.
if $pip "uv==0.13.8" 2>/dev/null &&
    "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --require-hashes -r "$lock" 2>/dev/null; then
    :
else
    $pip --require-hashes -r "$lock"
fi
if [ "$venv" = .venv ]; then
    $pip --no-deps --no-build-isolation --editable .
fi
echo "$want" > "$stamp"
