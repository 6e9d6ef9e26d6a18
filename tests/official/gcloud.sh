#!/usr/bin/env bash
# What a user of gcloud types, unchanged, against the emulator at RUN_EMULATOR_HOST: each command's exit status, and one
# field of what it prints. run.sh calls it. Skipped where there is no gcloud.
set -euo pipefail

if ! command -v gcloud >/dev/null; then
  echo "SKIPPED: gcloud is not installed" >&2
  exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo no-token >"$work/token"

# gcloud puts the region in front of the host, us-central1-localhost, which no resolver knows: the emulator is the proxy as well.
export CLOUDSDK_CONFIG=$work/config CLOUDSDK_AUTH_ACCESS_TOKEN_FILE=$work/token CLOUDSDK_CORE_DISABLE_PROMPTS=1
export CLOUDSDK_CORE_PROJECT=demo CLOUDSDK_RUN_REGION=us-central1 CLOUDSDK_CORE_DISABLE_USAGE_REPORTING=true
export http_proxy=http://$RUN_EMULATOR_HOST no_proxy=
for api in RUN SERVICEUSAGE CLOUDRESOURCEMANAGER LOGGING; do
  export "CLOUDSDK_API_ENDPOINT_OVERRIDES_$api=http://localhost:${RUN_EMULATOR_HOST##*:}/"
done

image=us-docker.pkg.dev/runjob/samples
checks=0 failures=0

# expect STATUS TEXT COMMAND...: the exit status, and a text within what is printed.
expect() {
  local status=0 expected=$1 text=$2 output
  shift 2
  output=$(gcloud "$@" 2>&1) || status=$?
  checks=$((checks + 1))
  if [[ $status != "$expected" || $output != *"$text"* ]]; then
    failures=$((failures + 1))
    printf 'gcloud %s\n  expected status %s and "%s", got status %s and:\n%s\n' "$*" "$expected" "$text" "$status" "$output" >&2
  fi
}

# The newest execution of a job.
newest() { gcloud run jobs executions list --job="$1" --limit=1 --format='value(name)' 2>/dev/null; }

expect 0 'successfully been created' run jobs create g1 --image="$image/echo" --labels=team=a --set-env-vars=A=1
expect 1 'already exists' run jobs create g1 --image="$image/echo"
expect 0 g1 run jobs list --format='value(name)'
expect 0 g1 run jobs list --region=us-central1 --format='value(name)'
expect 0 'a;1' run jobs describe g1 \
  --format='value[separator=";"](metadata.labels.team, spec.template.spec.template.spec.containers[0].env[0].value)'
expect 0 'successfully been updated' run jobs update g1 --tasks=2 --max-retries=0 --task-timeout=5m
expect 0 '2;0;300' run jobs describe g1 --format='value[separator=";"](spec.template.spec.taskCount,
  spec.template.spec.template.spec.maxRetries, spec.template.spec.template.spec.timeoutSeconds)'

expect 0 'has successfully completed' run jobs execute g1 --wait --args=hello,world --tasks=3 --update-env-vars=B=2 \
  --task-timeout=60s
execution=$(newest g1)
expect 0 '3;3' run jobs executions describe "$execution" --format='value[separator=";"](spec.taskCount, status.succeededCount)'
expect 0 'hello world' run jobs logs read g1 --limit=20
expect 0 Succeeded run jobs executions tasks list --execution="$execution" --succeeded \
  --format='value(metadata.labels["run.googleapis.com/runningState"])'
expect 0 '1' run jobs executions tasks describe "$execution-task1" --format='value(status.index)'

expect 0 'successfully been created' run jobs create g2 --image="$image/fail" --max-retries=0
expect 1 'The execution failed' run jobs execute g2 --wait
expect 0 NonZeroExitCode run jobs executions describe "$(newest g2)" --format='value(status.conditions[].reason)'

expect 0 'successfully been created' run jobs create g3 --image="$image/sleep" --args=60
expect 0 'g3-' run jobs execute g3 --async --format='value(metadata.name)'
expect 0 '' run jobs executions cancel "$(newest g3)"
expect 0 Cancelled run jobs executions describe "$(newest g3)" --format='value(status.conditions[].reason)'
expect 0 '' run jobs executions delete "$(newest g3)"
expect 0 'Listed 0' run jobs executions list --job=g3

expect 0 user:ada@example.com run jobs add-iam-policy-binding g1 --member=user:ada@example.com --role=roles/run.invoker
expect 0 roles/run.invoker run jobs get-iam-policy g1 --format='value(bindings.role)'
expect 0 'etag' run jobs remove-iam-policy-binding g1 --member=user:ada@example.com --role=roles/run.invoker

expect 0 'successfully been deployed' run jobs deploy g4 --image="$image/echo" --tasks=2
expect 0 'successfully been deployed' run jobs deploy g4 --image="$image/echo" --tasks=5
expect 0 5 run jobs describe g4 --format='value(spec.template.spec.taskCount)'
gcloud run jobs describe g4 --format=export >"$work/g4.yaml"
sed -i 's/taskCount: 5/taskCount: 7/' "$work/g4.yaml"
expect 0 'successfully been updated' run jobs replace "$work/g4.yaml"
expect 0 7 run jobs describe g4 --format='value(spec.template.spec.taskCount)'

for job in g1 g2 g3 g4; do
  expect 0 '' run jobs delete "$job"
done
expect 1 'Cannot find job' run jobs describe g1

echo "gcloud: $((checks - failures)) of $checks commands did as expected."
[[ $failures == 0 ]]
