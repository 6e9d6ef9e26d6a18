"""Compares our compiled protos with the published ones, element by element and in both directions.

An element is a file, message, field, oneof, enum, enum value, extension, service or method. It is known by its full
name and has facets: number, type, one for each option, and so on. Every difference is one line. What is left out on
purpose stands in the lists below; anything else that only one side has is a difference.

Knows descriptors, and nothing of how the packages came to this machine: run.sh fetches them.
"""

import argparse
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import proto
from google.cloud import run_v2
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, unknown_fields
from google.protobuf.descriptor_pb2 import FieldDescriptorProto

import discovery
import self_test

# Published elements that we do without.
LEFT_OUT = {
    # Resources other than jobs, executions and tasks.
    "google/cloud/run/v2/build.proto",
    "google/cloud/run/v2/container_status.proto",
    "google/cloud/run/v2/instance.proto",
    "google/cloud/run/v2/instance_split.proto",
    "google/cloud/run/v2/revision.proto",
    "google/cloud/run/v2/revision_template.proto",
    "google/cloud/run/v2/service.proto",
    "google/cloud/run/v2/status.proto",
    "google/cloud/run/v2/traffic_target.proto",
    "google/cloud/run/v2/worker_pool.proto",
    "google/cloud/run/v2/worker_pool_revision_template.proto",
    # Settings of Google's own client generators, in google/api/client.proto.
    "google.api.BatchingConfigProto",
    "google.api.BatchingDescriptorProto",
    "google.api.BatchingSettingsProto",
    "google.api.ClientLibraryDestination",
    "google.api.ClientLibraryOrganization",
    "google.api.ClientLibrarySettings",
    "google.api.CommonLanguageSettings",
    "google.api.CppSettings",
    "google.api.DotnetSettings",
    "google.api.FlowControlLimitExceededBehaviorProto",
    "google.api.GoSettings",
    "google.api.JavaSettings",
    "google.api.MethodSettings",
    "google.api.NodeSettings",
    "google.api.PhpSettings",
    "google.api.Publishing",
    "google.api.PythonSettings",
    "google.api.RubySettings",
    "google.api.SelectiveGapicGeneration",
    "google.api.api_version",
}

# Names that other languages give to packages and classes.
OPTIONS_LEFT_OUT = {
    "cc_enable_arenas",
    "csharp_namespace",
    "go_package",
    "java_multiple_files",
    "java_outer_classname",
    "java_package",
    "objc_class_prefix",
    "php_namespace",
    "ruby_package",
}

# Where the packages themselves disagree, we follow npm. The one on PyPI leaves how this list is encoded to the default.
PYPI_DIFFERS = {"google.api.field_behavior: option packed: ours False, published not set"}

# Published files that have another name in some package.
FILE_NAMES = {
    "google/longrunning/operations_proto.proto": "google/longrunning/operations.proto",
    "google/cloud/run_v2/types/k8s_min.proto": "google/cloud/run/v2/k8s.min.proto",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cargo-messages", type=Path, required=True, help="what cargo --message-format=json wrote")
    parser.add_argument("--npm", type=Path, required=True, help="the build/protos of the npm packages, joined")
    parser.add_argument("--self-test", action="store_true", help="also prove that the comparison can fail")
    args = parser.parse_args()

    descriptors = our_descriptors(args.cargo_messages)
    ours = elements(decode(descriptors))
    files = {name for name, facets in ours.items() if facets["kind"] == "file"}
    npm = elements(decode(from_npm(args.npm, files)))
    pypi = elements(decode(from_site_packages(files)))
    python = elements(decode(from_python_classes()))

    lines = [line + " (npm)" for line in differences(ours, npm)]
    second_opinion = [line for line in differences(within(ours, pypi), pypi) if line not in PYPI_DIFFERS]
    lines += [line + " (PyPI protos)" for line in second_opinion]
    lines += [line + " (PyPI classes)" for line in differences(as_python(ours), as_python(python))]
    lines += [line + " (REST)" for line in discovery.differences(ours, discovery.document())]
    lines += [f"{name}: on the list of what is left out, but not published" for name in sorted(LEFT_OUT - npm.keys())]
    if args.self_test:
        lines += self_test.unnoticed_in_rest(ours, discovery.document(), discovery.differences)
        lines += self_test.unnoticed(lambda: decode(descriptors), lambda files: differences(elements(files), npm))

    for line in lines:
        print(line)
    for source, published in [("npm", npm), ("PyPI protos", pypi), ("PyPI classes", as_python(python))]:
        print(f"Compared with {source}: {counts(ours, published)}.")
    print(f"Compared with the discovery document: {len(discovery.read())} elements exist in REST only.")
    print(f"{len(lines)} differences." if lines else "No difference.")
    return 1 if lines else 0


# Where descriptors come from: each of these gives an encoded FileDescriptorSet.


def our_descriptors(cargo_messages):
    """What build.rs wrote, found through what cargo said about it."""
    for line in cargo_messages.read_text().splitlines():
        message = json.loads(line)
        if message["reason"] == "build-script-executed":
            descriptors = Path(message["out_dir"], "descriptors.binpb")
            if descriptors.exists():
                return descriptors.read_bytes()
    sys.exit(f"{cargo_messages}: no build script wrote descriptors.binpb")


def from_npm(root, files):
    """Our files, and all others of the run package, as the npm packages hold them."""
    run = {str(path.relative_to(root)) for path in root.glob("google/cloud/run/v2/*.proto")}
    return compile_protos(root, run | {name for name in files if (root / name).exists()})


def from_site_packages(files):
    """Those of our files that the Python packages hold, except the run package."""
    root = Path(run_v2.__file__).parents[2].parent
    renamed = {ours: theirs for theirs, ours in FILE_NAMES.items()}
    candidates = {renamed.get(name, name) for name in files}
    return compile_protos(root, {name for name in candidates if (root / name).exists()})


def compile_protos(root, names):
    with TemporaryDirectory() as directory:
        out = Path(directory, "descriptors.binpb")
        protoc = [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={root}", "--include_imports"]
        run = subprocess.run([*protoc, f"--descriptor_set_out={out}", *sorted(names)], capture_output=True, text=True)
        if run.returncode != 0:
            sys.exit(f"{root}: the published protos do not compile:\n{run.stderr}")
        return out.read_bytes()


def from_python_classes():
    """The messages that the classes of google-cloud-run stand for, with the names that they have on the wire."""
    files = descriptor_pb2.FileDescriptorSet()
    seen = set()

    def add(descriptor):
        if descriptor.name in seen:
            return
        seen.add(descriptor.name)
        for dependency in descriptor.dependencies:
            add(dependency)
        descriptor.CopyToProto(files.file.add())

    for value in vars(run_v2).values():
        if isinstance(value, proto.message.MessageMeta):
            add(value.pb().DESCRIPTOR.file)
    return files.SerializeToString()


def decode(encoded):
    """A descriptor set whose options are decoded by the extensions that it defines itself."""
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(encoded).file:
        pool.AddSerializedFile(file.SerializeToString())
    descriptor = pool.FindMessageTypeByName("google.protobuf.FileDescriptorSet")
    return message_factory.GetMessageClass(descriptor).FromString(encoded)


# From a descriptor set to elements.


def elements(files):
    """The elements of all files but those of protobuf itself: full name -> facet -> value."""
    found = {}
    for file in files.file:
        if file.package == "google.protobuf":
            continue
        name = FILE_NAMES.get(file.name, file.name).replace("/run_v2/types/", "/run/v2/")
        found[name] = {"kind": "file", "package": file.package, "syntax": file.syntax, **options(file)}
        home = {"file": name}
        for message in file.message_type:
            add_message(found, file.package, message, home)
        for enum in file.enum_type:
            add_enum(found, file.package, enum, home)
        for extension in file.extension:
            found[f"{file.package}.{extension.name}"] = {**field(extension), "kind": "extension", **home}
        for service in file.service:
            add_service(found, file.package, service, home)
    return found


def add_message(found, scope, message, home):
    path = f"{scope}.{message.name}"
    found[path] = {"kind": "message", **home, **reserved(message), **options(message)}
    oneofs = [oneof.name for oneof in message.oneof_decl]
    for oneof in message.oneof_decl:
        found[f"{path}.{oneof.name}"] = {"kind": "oneof", **home, **options(oneof)}
    for member in message.field:
        within_oneof = {"oneof": oneofs[member.oneof_index]} if member.HasField("oneof_index") else {}
        found[f"{path}.{member.name}"] = {"kind": "field", **home, **field(member), **within_oneof}
    for nested in message.nested_type:
        add_message(found, path, nested, home)
    for enum in message.enum_type:
        add_enum(found, path, enum, home)
    for extension in message.extension:
        found[f"{path}.{extension.name}"] = {**field(extension), "kind": "extension", **home}


def add_enum(found, scope, enum, home):
    path = f"{scope}.{enum.name}"
    found[path] = {"kind": "enum", **home, **reserved(enum), **options(enum)}
    for value in enum.value:
        found[f"{path}.{value.name}"] = {"kind": "enum value", **home, "number": value.number, **options(value)}


def add_service(found, scope, service, home):
    path = f"{scope}.{service.name}"
    found[path] = {"kind": "service", **home, **options(service)}
    for method in service.method:
        found[f"{path}.{method.name}"] = {
            "kind": "method",
            **home,
            "input": method.input_type,
            "output": method.output_type,
            "client streaming": method.client_streaming,
            "server streaming": method.server_streaming,
            **options(method),
        }


def field(descriptor):
    return {
        "number": descriptor.number,
        "type": FieldDescriptorProto.Type.Name(descriptor.type),
        "label": FieldDescriptorProto.Label.Name(descriptor.label),
        "type name": descriptor.type_name,
        "extendee": descriptor.extendee,
        "default": descriptor.default_value,
        "json name": descriptor.json_name,
        "proto3_optional": descriptor.proto3_optional,
        **options(descriptor),
    }


def reserved(descriptor):
    ranges = [(each.start, each.end) for each in descriptor.reserved_range]
    return {"reserved ranges": sorted(ranges), "reserved names": sorted(descriptor.reserved_name)}


def options(descriptor):
    """Every option that is set, except those left out, as text; those nobody defines by their number."""
    found = {}
    for option, value in descriptor.options.ListFields():
        name = f"({option.full_name})" if option.is_extension else option.name
        if name not in OPTIONS_LEFT_OUT:
            values = value if option.is_repeated else [value]
            found[f"option {name}"] = "; ".join(option_text(option, each) for each in values)
    for unknown in unknown_fields.UnknownFieldSet(descriptor.options):
        found[f"option {unknown.field_number}"] = "set, but not defined"
    return found


def option_text(option, value):
    if option.message_type:
        return text_format.MessageToString(value, as_one_line=True)
    return option.enum_type.values_by_number[value].name if option.enum_type else str(value)


# From elements to differences.


def differences(ours, published):
    """One line for each difference. What a missing element would have contained is not told apart."""
    missing = None
    for path in sorted(ours.keys() | published.keys()):
        if missing and path.startswith(missing + "."):
            continue
        mine, theirs = ours.get(path), published.get(path)
        if mine is None or theirs is None:
            missing = path
            if theirs is None or not LEFT_OUT & {path, theirs.get("file")}:
                yield f"{path}: ours {kind(mine)}, published {kind(theirs)}"
            continue
        for facet in sorted(mine.keys() | theirs.keys()):
            if mine.get(facet) != theirs.get(facet):
                yield f"{path}: {facet}: ours {show(mine, facet)}, published {show(theirs, facet)}"


def kind(facets):
    return facets["kind"] if facets else "absent"


def show(facets, facet):
    return facets.get(facet, "not set")


def within(ours, published):
    """Our elements of the files that this source publishes at all."""
    return {path: facets for path, facets in ours.items() if {path, facets.get("file")} & published.keys()}


def as_python(found):
    """What a Python class can tell of the run package: the shape of messages and enums, without options.

    A name that Python has taken ends in an underscore there: `type_`.
    """
    kinds = {"message", "field", "oneof", "enum", "enum value"}
    shape = {"kind", "file", "number", "type", "label", "type name", "oneof", "proto3_optional"}
    return {
        path.rstrip("_"): {facet: value for facet, value in facets.items() if facet in shape}
        for path, facets in found.items()
        if path.startswith("google.cloud.run.v2.") and facets["kind"] in kinds
    }


def counts(ours, published):
    kinds = Counter(facets["kind"] for path, facets in published.items() if path in ours)
    set_options = sum(facet.startswith("option ") for path in published if path in ours for facet in published[path])
    parts = [f"{number} {name}s" for name, number in [*sorted(kinds.items()), ("option", set_options)] if number]
    return ", ".join(parts)


if __name__ == "__main__":
    sys.exit(main())
