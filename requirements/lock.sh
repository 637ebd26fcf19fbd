#!/bin/sh
# Pins every package with the hashes of all its files. The environment's index settings are left out,
# so that the lock says the same wherever it is made.
set -eu
cd "$(dirname "$0")/.."
unset PIP_FIND_LINKS PIP_INDEX_URL PIP_EXTRA_INDEX_URL
export PIP_CONFIG_FILE=/dev/null CUSTOM_COMPILE_COMMAND="make lock"
compile="${COMPILE_WITH:-.venv/bin/pip-compile} --quiet --generate-hashes --allow-unsafe
         --no-emit-index-url --no-emit-find-links"

$compile --strip-extras pyproject.toml requirements/runtime.in -o requirements/runtime.txt "$@"
$compile --strip-extras --extra otel -c requirements/runtime.txt pyproject.toml requirements/runtime.in requirements/image.in \
    -o requirements/image.txt "$@"
# With their extras: pip takes `coverage` for none of what `coverage[toml]` asks.
$compile --no-strip-extras --extra dev --extra otel -c requirements/runtime.txt pyproject.toml requirements/runtime.in requirements/dev.in \
    -o requirements/dev.txt "$@"
.venv/bin/python requirements/sbom.py
if [ -f requirements/bench.in ]; then
    $compile --strip-extras -c requirements/runtime.txt requirements/bench.in -o requirements/bench.txt "$@"
fi
$compile --strip-extras requirements/generators.in -o requirements/generators.txt "$@"
