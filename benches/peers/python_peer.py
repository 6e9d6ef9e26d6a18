"""Google's Python client, over gRPC or REST: `python_peer.py grpc|rest HOST:PORT [once|token|adc]`. The protocol is that of src/lib.rs."""

import json
import os
import sys
import threading
import time
from pathlib import Path

import google.auth
import grpc
from google.auth.credentials import AnonymousCredentials
from google.cloud import run_v2
from google.oauth2.credentials import Credentials
from google.cloud.run_v2.services.jobs import transports

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
JOB = "projects/demo/locations/us-central1/jobs/echo"


def connect(kind, address):
    if kind == "grpc":
        return run_v2.JobsClient(transport=transports.JobsGrpcTransport(channel=grpc.insecure_channel(address)))
    return run_v2.JobsClient(
        transport=transports.JobsRestTransport(host=address, url_scheme="http", credentials=AnonymousCredentials())
    )


def connect_as(kind, address, token):
    """Over TLS, with this token or Application Default Credentials."""
    credentials = Credentials(token) if token else google.auth.default(scopes=[SCOPE])[0]
    if kind == "rest":
        return run_v2.JobsClient(transport=transports.JobsRestTransport(host=address, credentials=credentials))
    # The transport would make the same channel, with gRPC's own roots and none beside.
    roots = grpc.ssl_channel_credentials(Path(os.environ["SSL_CERT_FILE"]).read_bytes())
    if hasattr(credentials, "with_always_use_jwt_access"):
        credentials = credentials.with_always_use_jwt_access(True)
    channel = transports.JobsGrpcTransport.create_channel(address, credentials=credentials, ssl_credentials=roots)
    return run_v2.JobsClient(transport=transports.JobsGrpcTransport(channel=channel))


def start(client):
    container = run_v2.RunJobRequest.Overrides.ContainerOverride(args=["hello"])
    overrides = run_v2.RunJobRequest.Overrides(container_overrides=[container])
    return client.run_job(run_v2.RunJobRequest(name=JOB, overrides=overrides)).operation.name


def serve(client, width, seconds):
    latencies, failed = [], []
    began, processor = time.perf_counter(), time.process_time()

    def call():
        while time.perf_counter() - began < seconds:
            begun = time.perf_counter()
            try:
                client.get_operation({"name": start(client)})
                latencies.append((time.perf_counter() - begun) * 1e6)
            except Exception as error:
                failed.append(error)

    callers = [threading.Thread(target=call) for _ in range(width)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    if failed:
        print(failed[0], file=sys.stderr)
    return {
        "latencies_us": latencies,
        "failed": len(failed),
        "seconds": time.perf_counter() - began,
        "cpu_us": (time.process_time() - processor) * 1e6,
    }


def main():
    once = sys.argv[3] if len(sys.argv) > 3 else None
    if once in ("token", "adc"):
        start(connect_as(sys.argv[1], sys.argv[2], "canary" if once == "token" else None))
        return
    client = connect(sys.argv[1], sys.argv[2])
    if once:
        start(client)
        return
    for line in sys.stdin:
        width, milliseconds = map(int, line.split())
        print(json.dumps(serve(client, width, milliseconds / 1e3)), flush=True)


main()
