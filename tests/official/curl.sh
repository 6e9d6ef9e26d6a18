#!/usr/bin/env bash
# What a REST user types, against the emulator at RUN_EMULATOR_HOST, and what has to come back. run.sh calls it.
set -euo pipefail

location=projects/acme/locations/asia-northeast1
api=http://$RUN_EMULATOR_HOST/v2/$location

# Ids, times and etags are new each time; everything else is compared.
settled() {
  sed -E -e 's/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/UUID/' -e 's/screenshot-[a-z0-9]{5}/EXECUTION/g' \
    -e 's/"[0-9T:-]+\.[0-9]+Z"/"TIME"/' -e 's/"etag": ".*"/"etag": "ETAG"/'
}

curl --fail-with-body --silent --show-error --output /dev/null \
  -X POST "$api/jobs?jobId=screenshot" -H 'Content-Type: application/json' -d '{
    "template": {"template": {"containers": [
      {"name": "screenshot", "image": "us-docker.pkg.dev/runjob/samples/echo"}
    ]}}
  }'

answer=$(curl --fail-with-body --silent --show-error \
  -X POST "$api/jobs/screenshot:run" -H 'Content-Type: application/json' -d '{
    "overrides": {
      "containerOverrides": [{"name": "screenshot", "args": ["https://example.com"]}],
      "taskCount": 2,
      "timeout": "300s"
    }
  }')
diff - <(settled <<<"$answer") <<'JSON'
{
  "metadata": {
    "@type": "type.googleapis.com/google.cloud.run.v2.Execution",
    "conditions": [
      {
        "lastTransitionTime": "TIME",
        "state": "CONDITION_PENDING",
        "type": "Completed"
      }
    ],
    "createTime": "TIME",
    "creator": "emulator@example.com",
    "etag": "ETAG",
    "generation": "1",
    "job": "screenshot",
    "launchStage": "GA",
    "logUri": "https://console.cloud.google.com/logs/viewer?project=acme&advancedFilter=resource.type%3D%22cloud_run_job%22%0Aresource.labels.job_name%3D%22screenshot%22%0Aresource.labels.location%3D%22asia-northeast1%22%0Alabels.%22run.googleapis.com/execution_name%22%3D%22EXECUTION%22",
    "name": "projects/acme/locations/asia-northeast1/jobs/screenshot/executions/EXECUTION",
    "parallelism": 2,
    "reconciling": true,
    "taskCount": 2,
    "template": {
      "containers": [
        {
          "args": [
            "https://example.com"
          ],
          "image": "us-docker.pkg.dev/runjob/samples/echo@sha256:250e6a065802f0214f57937b03489bf62abe7e2d5e54bcb78e44dcc2773bbbc4",
          "name": "screenshot",
          "resources": {
            "limits": {
              "cpu": "1000m",
              "memory": "512Mi"
            }
          }
        }
      ],
      "executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2",
      "maxRetries": 3,
      "serviceAccount": "836087675845-compute@developer.gserviceaccount.com",
      "timeout": "300s"
    },
    "uid": "UUID",
    "updateTime": "TIME"
  },
  "name": "projects/acme/locations/asia-northeast1/operations/UUID"
}
JSON

operation=$(sed -nE 's/^  "name": "(.*)"$/\1/p' <<<"$answer")
ended=$(curl --fail-with-body --silent --show-error \
  -X POST "http://$RUN_EMULATOR_HOST/v2/$operation:wait" -H 'Content-Type: application/json' -d '{"timeout": "60s"}')
grep -q '"done": true' <<<"$ended"
grep -q '"succeededCount": 2' <<<"$ended"
echo "curl: as expected"
