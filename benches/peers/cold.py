"""A cold start of several clients over a TLS proxy that is far away: from the start of a process to its accepted RunJob.

    python3 benches/peers/cold.py [--runs=5] [--way-ms=50] [--debug]

Each client starts with a service account's key, with a metadata server, and with a fixed token, at no distance and at
`--way-ms` each way. Clients take turns. The difference by the time of a round trip is the number of round trips; the time is
that of the whole process. Needs what run.py needs, and openssl. `--debug` builds faster; the round trips are the same.
"""

import argparse
import asyncio
import json
import os
import ssl
import statistics
import subprocess
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import prepare

ROOT = Path(__file__).parents[2]
JOB = "projects/demo/locations/us-central1/jobs/echo"
KINDS = ("key", "metadata", "token")


def certificates(work):
    """An authority, and a server of the name localhost."""
    ca, leaf = ["-keyout", work / "ca.key", "-out", work / "ca.pem"], ["-keyout", work / "key.pem", "-out", work / "csr.pem"]
    made = ["-newkey", "rsa:2048", "-nodes", "-subj"]
    (work / "ext").write_text("subjectAltName=DNS:localhost")
    sign = ["-CA", work / "ca.pem", "-CAkey", work / "ca.key", "-CAcreateserial", "-extfile", work / "ext", "-days", "2"]
    for command in (["req", "-x509", *made, "/CN=peers", *ca, "-days", "2"], ["req", *made, "/CN=localhost", *leaf],
                    ["x509", "-req", "-in", work / "csr.pem", *sign, "-out", work / "cert.pem"]):
        subprocess.run(["openssl", *map(str, command)], check=True, capture_output=True)


class Metadata(BaseHTTPRequestHandler):
    def do_GET(self):
        token = {"access_token": "canary", "expires_in": 3600, "token_type": "Bearer"}
        text = token if "/token" in self.path else {"scopes": [], "email": "a@b.c", "aliases": []}
        if "project-id" in self.path or "universe" in self.path:
            text = None
        body = json.dumps(text).encode() if text else b"googleapis.com" if "universe" in self.path else b"demo"
        self.send_response(200)
        kind = "application/json" if text else "text/plain"
        for name, value in {"content-type": kind, "content-length": len(body), "metadata-flavor": "Google"}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


async def carry(reader, writer, way):
    """Bytes arrive a way later, however many are under way."""
    queue = asyncio.Queue()

    async def arrive():
        while True:
            due, data = await queue.get()
            await asyncio.sleep(due - time.monotonic())
            if not data:
                writer.close()
                return
            writer.write(data)

    task = asyncio.create_task(arrive())
    try:
        while data := await reader.read(1 << 16):
            queue.put_nowait((time.monotonic() + way, data))
    except OSError:
        pass
    queue.put_nowait((time.monotonic() + way, b""))
    await asyncio.gather(task, return_exceptions=True)


async def far(to, way):
    """The port at which the port `to` is a way further away."""

    async def connected(reader, writer):
        # The system has shaken hands over TCP already, at no distance: that round trip is made up for here.
        await asyncio.sleep(2 * way)
        back, there = await asyncio.open_connection("127.0.0.1", to)
        await asyncio.gather(carry(reader, there, way), carry(back, writer, way), return_exceptions=True)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    return server.sockets[0].getsockname()[1]


async def in_tls(work, to):
    """The port at which the plaintext port `to` is behind TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(work / "cert.pem", work / "key.pem")
    context.set_alpn_protocols(["h2", "http/1.1"])

    async def connected(reader, writer):
        back, there = await asyncio.open_connection("127.0.0.1", to)
        await asyncio.gather(carry(reader, there, 0), carry(back, writer, 0), return_exceptions=True)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    return server.sockets[0].getsockname()[1]


def ports(work, neutral, ways):
    """A port of the neutral server behind TLS for each distance."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    done = lambda work: asyncio.run_coroutine_threadsafe(work, loop).result(30)
    inner = done(in_tls(work, neutral))
    return {way: done(far(inner, way)) for way in ways}


def clients(work, debug):
    """The command of each client, called with HOST:PORT and the kind of its credentials."""
    profile = "debug" if debug else "release"
    rust, runjob, python = prepare.rust_peers(profile), prepare.program(profile), prepare.python_peer(work)
    plain = lambda command: lambda port, kind: [*command, f"localhost:{port}", "token" if kind == "token" else "adc"]
    token = work / "token"
    token.write_text("canary")

    def program(port, kind):
        flags = [f"--access-token-file={token}"] if kind == "token" else []
        return [runjob, "execute", JOB, f"--endpoint=https://localhost:{port}", *flags]

    return runjob, {
        "runjob, library": plain([rust / "ours"]),
        "runjob, program": program,
        "google-cloud-run-v2, Rust (REST)": plain([rust / "official"]),
        "google-cloud-run, Python (gRPC)": plain([*python, "grpc"]),
        "google-cloud-run, Python (REST)": plain([*python, "rest"]),
    }


def environment(work, kind, metadata):
    """Nothing of this machine's but the path, and the credentials of this kind."""
    ca = str(work / "ca.pem")
    own = {"PATH": os.environ["PATH"], "HOME": str(work), "CLOUDSDK_CONFIG": str(work), "SSL_CERT_FILE": ca,
           "REQUESTS_CA_BUNDLE": ca}
    if kind == "key":
        key = {"type": "service_account", "client_email": "a@b.c", "private_key_id": "1", "project_id": "demo",
               "client_id": "1", "private_key": (ROOT / "src/auth/tests/key.pem").read_text(),
               "token_uri": "https://oauth2.googleapis.com/token", "universe_domain": "googleapis.com"}
        (work / "key.json").write_text(json.dumps(key))
        (work / "key.json").chmod(0o600)
        own["GOOGLE_APPLICATION_CREDENTIALS"] = str(work / "key.json")
    if kind == "metadata":
        own |= {"GCE_METADATA_HOST": metadata, "GCE_METADATA_IP": metadata}
    return own


def timed(command, own):
    begun = time.perf_counter()
    ran = subprocess.run(list(map(str, command)), env=own, capture_output=True, text=True)
    if ran.returncode:
        raise RuntimeError(ran.stderr[-600:])
    return (time.perf_counter() - begun) * 1e3


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--way-ms", type=float, default=50)
    parser.add_argument("--debug", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        certificates(work)
        program, commands = clients(work, args.debug)
        server = subprocess.Popen([program, "bench", "--serve=neutral", "--quiet"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        neutral = int(server.stdout.readline().rsplit(":", 1)[1])
        metadata = ThreadingHTTPServer(("127.0.0.1", 0), Metadata)
        threading.Thread(target=metadata.serve_forever, daemon=True).start()
        near, far_away = ways = (0, args.way_ms / 1e3)
        by_way = ports(work, neutral, ways)
        print("| credentials | client | round trips | ms | to ours |\n|---|---|---|---|---|")
        for kind in KINDS:
            own = environment(work, kind, f"127.0.0.1:{metadata.server_port}")
            times = {name: {way: [] for way in ways} for name in commands}
            failed = {}
            for number in range(args.runs + 1):
                for way in ways:
                    for name, command in commands.items():
                        if name in failed:
                            continue
                        try:
                            took = timed(command(by_way[way], kind), own)
                        except RuntimeError as error:
                            failed[name] = error
                            continue
                        # The first run warms up what the system keeps in memory.
                        if number > 0:
                            times[name][way].append(took)
            ours = statistics.median(times["runjob, library"][far_away])
            for name, found in times.items():
                if name in failed:
                    print(f"| {kind} | {name} | - | - | failed: {str(failed[name]).strip().splitlines()[-1][:120]} |", flush=True)
                    continue
                distant = statistics.median(found[far_away])
                # By the fastest runs: what else the machine does makes a run slower, and never faster.
                trips = (min(found[far_away]) - min(found[near])) / (2 * args.way_ms)
                print(f"| {kind} | {name} | {trips:.1f} | {distant:.0f} | {distant / ours:.2f} |", flush=True)
        server.stdin.close()
        server.wait()


main()
