#!/usr/bin/env bash
# Opens the page of a small benchmark in headless Chromium: every plot is drawn, inside the window, at both widths and in
# both colour schemes, and nothing is loaded. With --screenshot=FILE the wide light page is kept. Needs Debian's chromium.
set -euo pipefail
cd "$(dirname "$0")/../.."

if ! command -v chromium > /dev/null; then
  echo 'SKIPPED: there is no chromium (apt-get install chromium)'
  exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# A snap or a container may not see other directories; the page and the profile are side by side.
cargo run --locked --quiet -- bench --quiet --rounds=5 --round=30ms --in-flight=1,16 --distance=0,5ms --output="$work/report" > /dev/null
python3 tests/page/check.py "$work" "${1:-}"
