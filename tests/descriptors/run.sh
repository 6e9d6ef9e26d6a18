#!/usr/bin/env bash
# Compares the protos of this package, as build.rs compiles them, with those that Google publishes.
#
#   tests/descriptors/run.sh              the comparison; exit 1 when anything differs
#   tests/descriptors/run.sh --self-test  first proves that the comparison can fail
#
# Needs cargo, npm and Python 3.9 or newer with venv. Everything fetched lives in a temporary directory until the end.
set -euo pipefail
cd "$(dirname "$0")/../.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Packages of one registry from published.txt, their versions joined on with $2.
pinned() { awk -v registry="$1" -v at="$2" '$1 == registry { print $2 at $3 }' tests/descriptors/published.txt; }

cargo check --quiet --lib --no-default-features --message-format=json >"$work/cargo.json"

mapfile -t npm_packages < <(pinned npm @)
npm pack --silent --cache "$work/npm-cache" --pack-destination "$work" "${npm_packages[@]}" >/dev/null
mkdir "$work/npm"
for archive in "$work"/*.tgz; do
  tar -xzf "$archive" -C "$work/npm" --strip-components=3 package/build/protos
done

mapfile -t pypi_packages < <(pinned pypi ==)
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-cache-dir --disable-pip-version-check "${pypi_packages[@]}"

"$work/venv/bin/python" -B tests/descriptors/check.py --cargo-messages "$work/cargo.json" --npm "$work/npm" "$@"
