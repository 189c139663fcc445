#!/bin/sh
# Write the lock files anew: hashes of every package, and no host name in them.
set -eu
cd "$(dirname "$0")/.."
export UV_PYTHON_DOWNLOADS=never UV_SYSTEM_CERTS=1
compile=".venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header"
$compile pyproject.toml -o requirements.lock
$compile pyproject.toml --group dev -o requirements-dev.lock
$compile --group bench -o requirements-bench.lock
$compile --group node -o requirements-node.lock
if grep -l '://' requirements*.lock; then
    echo "a lock file names a host" >&2
    exit 1
fi
