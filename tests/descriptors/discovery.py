"""What the REST interface of Cloud Run jobs has and the compiled protos do not, according to its discovery document.

Knows the document and the elements of check.py. The emulator reads the same list, and accepts just these fields.
"""

import json
from importlib import resources
from pathlib import Path

LIST = Path(__file__).parents[2] / "proto/rest_only.txt"
PREFIX = "GoogleCloudRunV2"
PACKAGE = ".google.cloud.run.v2."


def document():
    """The document as google-api-python-client ships it."""
    documents = resources.files("googleapiclient.discovery_cache") / "documents"
    return json.loads((documents / "run.v2.json").read_text())


def differences(ours, document):
    """One line for each element that the list has and the document does not, or the other way round."""
    found, listed = set(rest_only(ours, document)), set(read())
    if f"# revision {document['revision']}" not in LIST.read_text():
        yield f"{LIST.name}: the document is of revision {document['revision']} now"
    for line in sorted(found - listed):
        yield f"{line}: only in the discovery document, and not in {LIST.name}"
    for line in sorted(listed - found):
        yield f"{line}: in {LIST.name}, but not found"


def read():
    return [line for line in LIST.read_text().splitlines() if line and not line.startswith("#")]


def rest_only(ours, document):
    """Fields as `field Message.name type`, enum values as `value Message.field NAME`, methods as `method id`."""
    jobs = document["resources"]["projects"]["resources"]["locations"]["resources"]["jobs"]
    schemas, seen, todo = document["schemas"], set(), []
    known = {facets["option (google.api.http)"] for facets in ours.values() if "option (google.api.http)" in facets}
    for method in methods(jobs):
        if not any(f'"/{method["path"].split("{")[0]}' in rule and custom_verb(method) in rule for rule in known):
            yield f"method {method['id']}"
        todo += [method[part]["$ref"] for part in ("request", "response") if part in method]
    while todo:
        schema = todo.pop()
        if schema in seen or not schema.startswith(PREFIX):
            continue
        seen.add(schema)
        message = find(ours, schema.removeprefix(PREFIX))
        if message is None:
            continue
        fields = {facets["json name"]: facets for path, facets in ours.items() if is_field(path, facets, message)}
        for name, prop in schemas[schema].get("properties", {}).items():
            item = prop.get("items", prop)
            todo += [item["$ref"]] if "$ref" in item else []
            where = f"{schema.removeprefix(PREFIX)}.{name}"
            if name not in fields:
                yield f"field {where} {prop.get('type', 'object')}"
                continue
            values = f"{fields[name]['type name']}.".removeprefix(".")
            for value in item.get("enum", []):
                if values + value not in ours:
                    yield f"value {where} {value}"


def methods(resource):
    yield from resource.get("methods", {}).values()
    for nested in resource.get("resources", {}).values():
        yield from methods(nested)


def custom_verb(method):
    return method["path"].rpartition("}")[2] if ":" in method["path"] else ""


def find(ours, name):
    messages = [path for path, facets in ours.items() if facets["kind"] == "message"]
    return next((path for path in messages if f".{path}".startswith(PACKAGE) and path.endswith(f".{name}")), None)


def is_field(path, facets, message):
    return facets["kind"] == "field" and path.rpartition(".")[0] == message
