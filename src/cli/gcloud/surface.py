"""Writes what gcloud has below `gcloud run jobs`, for surface.tsv: python3 surface.py > surface.tsv

Reads the table of commands that an installed Google Cloud SDK completes by. Flags that gcloud hides are not in it.
"""

import pathlib
import runpy
import shutil
import time

sdk = pathlib.Path(shutil.which("gcloud")).resolve().parent.parent
version = (sdk / "VERSION").read_text().strip()
tree = runpy.run_path(str(sdk / "data/cli/gcloud_completions.py"))["STATIC_COMPLETION_CLI_TREE"]


def rows(node, path):
    if node.get("commands"):
        for name, child in sorted(node["commands"].items()):
            yield from rows(child, f"{path} {name}")
        return
    for flag, takes in sorted(node["flags"].items()) or [("-", "-")]:
        yield path, flag, "no value" if takes == "bool" else "value"


print(f"# Google Cloud SDK {version}, read on {time.strftime('%Y-%m-%d')} by surface.py")
print("# command below `gcloud run`; flag; whether it takes a value. The command * is every one.")
for row in rows({"flags": tree["flags"]}, "*"):
    print("\t".join(row))
for row in rows(tree["commands"]["run"]["commands"]["jobs"], "jobs"):
    print("\t".join(row))
