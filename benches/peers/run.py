"""Other clients beside ours, in turns, against one neutral server: prepares them, runs them, and prints one table.

    python3 benches/peers/run.py [--rounds=5] [--round-ms=300] [--in-flight=1,16,64,512]

Needs cargo, Python 3 with venv, and for the clients that need them npm and curl. What cannot be prepared is named and left
out. Knows how a peer is installed and called; what a peer measures is in the peer.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import prepare

HERE = Path(__file__).parent
JOB = "projects/demo/locations/us-central1/jobs/echo"
COLD_STARTS = 5


def rust(_work):
    folder = prepare.rust_peers()
    return {
        "runjob (gRPC)": [folder / "ours"],
        "google-cloud-run-v2, Rust (REST)": [folder / "official"],
        "gcloud-sdk, Rust (gRPC)": [folder / "sdk"],
        "google-run2, Rust (REST)": [folder / "generated"],
    }


def python(work):
    peer = prepare.python_peer(work)
    return {"google-cloud-run, Python (gRPC)": [*peer, "grpc"], "google-cloud-run, Python (REST)": [*peer, "rest"]}


def node(work):
    folder = work / "node"
    folder.mkdir()
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder, "@google-cloud/run@4.2.0", "google-gax@6"]
    subprocess.run(command, check=True)
    # Without it, the client looks for the metadata server of Google's machines first, which no other client does here.
    os.environ |= {"PEERS_NODE": str(folder), "METADATA_SERVER_DETECTION": "none"}
    peer = ["node", HERE / "node_peer.mjs"]
    return {"@google-cloud/run, Node (gRPC)": [*peer, "grpc"], "@google-cloud/run, Node (REST)": [*peer, "rest"]}


class Peer:
    """A client in a process of its own, which waits for rounds."""

    def __init__(self, command, address):
        self.process = subprocess.Popen([*map(str, command), address], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def round(self, width, milliseconds):
        self.process.stdin.write(f"{width} {milliseconds}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError("the peer has ended")
        return json.loads(answer)

    def memory(self):
        """The most that was in memory, in MB. Only Linux tells."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def cold_start(command):
    """The median time from the start of the process to its end, after one accepted start, in ms."""
    times = []
    for _ in range(COLD_STARTS):
        begun = time.perf_counter()
        subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
        times.append((time.perf_counter() - begun) * 1e3)
    return statistics.median(times)


def curl(address):
    url = f"http://{address}/v2/{JOB}:run"
    body = '{"overrides":{"containerOverrides":[{"args":["hello"]}]}}'
    return ["curl", "--silent", "--fail", "--header", "content-type: application/json", "--data", body, url]


def row(name, width, rounds):
    calls = [latency for one in rounds for latency in one["latencies_us"]]
    failed = sum(one["failed"] for one in rounds)
    if not calls:
        return f"| {width} | {name} | - | - | - | {failed} |"
    rate = statistics.median(len(one["latencies_us"]) / one["seconds"] for one in rounds)
    cpu = sum(one["cpu_us"] for one in rounds) / (len(calls) + failed)
    return f"| {width} | {name} | {statistics.median(calls):.0f} | {rate:.0f} | {cpu:.0f} | {failed} |"


def ratio(one, other):
    """The median over the rounds of the ratio of median latencies."""
    pairs = [(a["latencies_us"], b["latencies_us"]) for a, b in zip(one, other)]
    ratios = [statistics.median(a) / statistics.median(b) for a, b in pairs if a and b]
    return f" {statistics.median(ratios):.2f} |" if ratios else " - |"


def measure(peers, widths, count, milliseconds):
    print("| in flight | client | p50 µs | calls/s | CPU µs/call | failed | p50 to ours |\n|---|---|---|---|---|---|---|")
    for width in widths:
        rounds = {name: [] for name in peers}
        for number in range(count + 1):
            for name, peer in peers.items():
                found = peer.round(width, milliseconds)
                # The first round warms up.
                if number > 0:
                    rounds[name].append(found)
        ours = next(iter(rounds.values()))
        for name, found in rounds.items():
            print(row(name, width, found) + ratio(found, ours), flush=True)


def prepared(work):
    commands = {}
    for prepare in (rust, python, node):
        try:
            commands |= prepare(work)
        except (OSError, subprocess.CalledProcessError) as error:
            if prepare is rust:
                raise
            print(f"LEFT OUT: {prepare.__name__}: {error}", file=sys.stderr)
    return commands


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--round-ms", type=int, default=300)
    parser.add_argument("--in-flight", default="1,16,64,512")
    args = parser.parse_args()
    widths = [int(width) for width in args.in_flight.split(",")]
    program = prepare.program()
    with tempfile.TemporaryDirectory() as work:
        commands = prepared(Path(work))
        server = Peer([program, "bench", "--serve=neutral"], "--quiet")
        address = server.process.stdout.readline().strip()
        peers = {name: Peer(command, address) for name, command in commands.items()}
        measure(peers, widths, args.rounds, args.round_ms)
        cold = {name: cold_start([*command, address, "once"]) for name, command in commands.items()}
        if shutil.which("curl"):
            cold["curl (REST)"] = cold_start(curl(address))
        print("\n| client | process start to accepted start, ms | most memory, MB |\n|---|---|---|")
        for name, milliseconds in cold.items():
            print(f"| {name} | {milliseconds:.1f} | {f'{peers[name].memory():.0f}' if name in peers else '-'} |")
        for peer in [*peers.values(), server]:
            peer.close()


main()
