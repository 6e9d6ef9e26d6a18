"""Builds and installs peers. Knows no measurement."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def rust_peers(profile="release"):
    """The folder with the peers in Rust, built in this profile."""
    target = ROOT / "target" / "peers"
    flags = ["--release"] if profile == "release" else []
    command = ["cargo", "build", *flags, "--quiet", "--manifest-path", HERE / "Cargo.toml", "--target-dir", target]
    subprocess.run(command, check=True)
    return target / profile


def program(profile="release"):
    """The program of this project, built in this profile."""
    flags = ["--release"] if profile == "release" else []
    subprocess.run(["cargo", "build", *flags, "--locked", "--quiet", "--bin", "runjob"], cwd=ROOT, check=True)
    return ROOT / "target" / profile / "runjob"


def python_peer(work):
    """The command of the peer in Python, with Google's client installed in this folder."""
    subprocess.run([sys.executable, "-m", "venv", work / "venv"], check=True)
    requirements = [line for line in (ROOT / "tests/official/python/requirements.txt").read_text().splitlines()
                    if line and not line.startswith(("#", "pytest"))]
    subprocess.run([work / "venv/bin/pip", "install", "--quiet", "--disable-pip-version-check", *requirements], check=True)
    return [work / "venv/bin/python", HERE / "python_peer.py"]
