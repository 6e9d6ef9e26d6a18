#!/usr/bin/env bash
# Signs in with the same credentials files by Google's own google-auth and by this build, and compares what both ask of the
# token servers and show to the service. All servers are made by the script, on loopback.
#
# Needs cargo, and Python 3.9 or newer with venv. Everything fetched lives in a temporary directory until the end.
set -euo pipefail
cd "$(dirname "$0")/../.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-cache-dir --disable-pip-version-check --requirement tests/credentials/requirements.txt
cargo build --quiet
program=$(cargo metadata --format-version 1 --no-deps | python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')/debug/runjob
PYTHONDONTWRITEBYTECODE=1 "$work/venv/bin/python" tests/credentials/compare.py "$program" "$work"
