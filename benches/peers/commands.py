"""Commands of the program beside the same lines of gcloud, and on an execution of 10,000 tasks: prints two tables.

    python3 benches/peers/commands.py [--runs=5] [--program=target/release/runjob]

Both call one emulator, in turns. Needs cargo unless a program is named, and for the columns that need them gcloud and strace;
what is not there is named and left out. Knows how a command is measured; what it does is the emulator's.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import prepare

REGION = "us-central1"
TASKS = 10_000
LINES = ["execute echo --async", "list"]


class Emulator:
    """The program as an emulator whose tasks succeed at once."""

    def __init__(self, program):
        flags = ["--listen=127.0.0.1:0", "--runtime=simulated", "--clock=fast"]
        self.process = subprocess.Popen([program, "emulator", *flags], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.address = self.process.stdout.readline().strip().split("=", 1)[1]

    def close(self):
        self.process.terminate()
        self.process.wait()


def ours(address, work):
    return {"PATH": os.environ["PATH"], "RUN_EMULATOR_HOST": address, "XDG_STATE_HOME": str(work)}


def gclouds(address, work):
    """gcloud puts the region before the host, which no resolver knows: the emulator is the proxy as well."""
    (work / "token").write_text("no-token\n")
    host = f"http://localhost:{address.rsplit(':', 1)[1]}/"
    return {
        "PATH": os.environ["PATH"], "HOME": str(work), "CLOUDSDK_CONFIG": str(work / "config"),
        "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(work / "token"), "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_PROJECT": "demo", "CLOUDSDK_RUN_REGION": REGION, "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
        "http_proxy": f"http://{address}", "no_proxy": "",
        **{f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{api}": host for api in ("RUN", "SERVICEUSAGE", "CLOUDRESOURCEMANAGER")},
    }


def run(command, env):
    """Seconds, processor seconds and the most memory in MB, of the command and all that it starts."""
    begun = time.perf_counter()
    child = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise RuntimeError(f"{command}: status {child.returncode}: {said.decode(errors='replace')}")
    return time.perf_counter() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def syscalls(command, env, work):
    if not shutil.which("strace"):
        return None
    counts = work / "counts"
    subprocess.run(["strace", "-f", "-c", "-o", counts, *command], env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    total = re.search(r"^\s*100\.00\s+\S+\s+(?:\S+\s+)?(\d+)\s+(?:\d+\s+)?total$", counts.read_text(), re.MULTILINE)
    return int(total[1])


def beside_gcloud(program, address, work, runs):
    if not shutil.which("gcloud"):
        print("LEFT OUT: gcloud is not installed", file=sys.stderr)
        return
    sides = [("runjob jobs", [program, "jobs"], ours(address, work)), ("gcloud run jobs", ["gcloud", "run", "jobs"], gclouds(address, work))]
    print("| command | time, ms | CPU, ms | most memory, MB | system calls | CPU to ours |\n|---|---|---|---|---|---|")
    for line in LINES:
        commands = [(f"{name} {line}", [*words, *line.split()], env) for name, words, env in sides]
        found = {name: [] for name, *_ in commands}
        for number in range(runs + 1):
            for name, command, env in commands:
                measured = run(command, env)
                # The first run fills caches.
                if number > 0:
                    found[name].append(measured)
        one, other = found.values()
        for name, command, env in commands:
            seconds, cpu, memory = map(statistics.median, zip(*found[name]))
            ratio = statistics.median(theirs[1] / mine[1] for mine, theirs in zip(one, other)) if found[name] is other else 1
            calls = syscalls(command, env, work)
            print(f"| `{name}` | {seconds * 1e3:.0f} | {cpu * 1e3:.1f} | {memory:.0f} | {calls or '-'} | {ratio:.0f} |", flush=True)


def ten_thousand_tasks(program, address, work, runs):
    env = ours(address, work)
    started = subprocess.run([program, "execute", "echo", f"--tasks={TASKS}", "--wait=started", "--quiet"],
                             env=env, check=True, capture_output=True, text=True).stdout
    name = re.search(r"projects/\S+", started)[0]
    subprocess.run([program, "wait", name], env=env, check=True, capture_output=True)
    print(f"\n| of {TASKS:,} tasks | time, ms | CPU, ms | most memory, MB |\n|---|---|---|---|")
    for line in ("describe {}", "describe {} --timeline", "tasks list {} --filter=failed", "tasks list {} --format=json"):
        found = [run([program, *line.format(name).split()], env) for _ in range(runs)]
        seconds, cpu, memory = map(statistics.median, zip(*found))
        print(f"| `runjob {line.format('EXECUTION')}` | {seconds * 1e3:.0f} | {cpu * 1e3:.0f} | {memory:.0f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--program", type=Path)
    args = parser.parse_args()
    program = args.program or prepare.program()
    emulator = Emulator(program.resolve())
    try:
        with tempfile.TemporaryDirectory() as work:
            beside_gcloud(str(program.resolve()), emulator.address, Path(work), args.runs)
            ten_thousand_tasks(str(program.resolve()), emulator.address, Path(work), args.runs)
    finally:
        emulator.close()


main()
