#!/usr/bin/env bash
# Runs against an emulator of this build: curl.sh, gcloud.sh where gcloud is installed, recorded exchanges of the real service
# where there are any, and the tests of node/ and python/, which speak through Google's own clients. Arguments go to pytest:
# tests/official/run.sh -k cancelled
#
# Needs cargo, curl, Python 3.9 or newer with venv, and Node.js 18 or newer with npm. Everything fetched lives in a temporary directory until the end.
set -euo pipefail
cd "$(dirname "$0")/../.."

work=$(mktemp -d)
emulator=
finish() {
  if [[ -n $emulator ]]; then
    kill "$emulator" 2>/dev/null || true
    wait "$emulator" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap finish EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-cache-dir --disable-pip-version-check \
  --requirement tests/official/python/requirements.txt
cp -r tests/official/node "$work/node"
(cd "$work/node" && npm install --silent --no-audit --no-fund --no-package-lock --cache="$work/npm")

cargo build --quiet
mkfifo "$work/ready"
# On Unix cargo replaces itself by the program, so this process is the emulator.
cargo run --quiet -- emulator --listen=127.0.0.1:0 --image=us-docker.pkg.dev/cloudrun/container/hello=/bin/true \
  >"$work/ready" 2>"$work/emulator.log" &
emulator=$!
exec 3<"$work/ready"
if ! IFS='=' read -r -t 30 name address <&3 || [[ $name != RUN_EMULATOR_HOST ]]; then
  echo "the emulator did not say where it listens; its log:" >&2
  cat "$work/emulator.log" >&2
  exit 1
fi

export RUN_EMULATOR_HOST=$address PYTHONDONTWRITEBYTECODE=1
tests/official/curl.sh
tests/official/gcloud.sh

# Not part of the package: exchanges of others with the real service, and a script that replays them.
recordings=../shared/recordings
if [[ -f $recordings/replay.py ]]; then
  python3 "$recordings/replay.py" "$recordings"/*.log
else
  echo "SKIPPED: there are no recordings of the service in $recordings" >&2
fi

# A client's tests, and what the emulator has to say when they fail.
clients() {
  local status=0
  "$@" || status=$?
  if [[ $status != 0 ]]; then
    echo "the emulator's log ends with:" >&2
    tail -n 40 "$work/emulator.log" >&2
    exit "$status"
  fi
}
clients node --test --test-reporter=spec "$work/node/client.test.mjs"
clients "$work/venv/bin/python" -m pytest -p no:cacheprovider --quiet "$@" tests/official/python
