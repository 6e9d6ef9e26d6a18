"""Proves that the comparison can fail: each change to our descriptors must be reported, by just the lines named here.

Knows what a wrong proto looks like, and nothing of how the comparison works.
"""

RUN = "google.cloud.run.v2"
CHANGES = []


def unnoticed(decode, compare):
    """Makes each change on descriptors fresh from `decode`; returns a line for each that `compare` got wrong."""
    lines = []
    for change, expected in CHANGES:
        files = decode()
        change(files)
        found = list(compare(files))
        if found != expected:
            lines.append(f"self-test: {change.__name__}: expected {expected}, found {found}")
    print(f"Self-test: {len(CHANGES) - len(lines)} of {len(CHANGES)} changes reported as they should be.")
    return lines


def unnoticed_in_rest(ours, document, compare):
    """Makes one change on each side of the list of what only REST has; returns a line for each that was not reported."""
    schemas = document["schemas"]
    schemas["GoogleCloudRunV2Job"]["properties"]["invented"] = {"type": "string"}
    del schemas["GoogleCloudRunV2ExecutionTemplate"]["properties"]["delayExecution"]
    found = list(compare(ours, document))
    expected = ["field Job.invented string", "field ExecutionTemplate.delayExecution boolean"]
    return [f"self-test: {line}: not reported" for line in expected if not any(line in each for each in found)]


def reported_as(*lines):
    def register(change):
        CHANGES.append((change, list(lines)))
        return change

    return register


@reported_as(f"{RUN}.Task.index: number: ours 77, published 24")
def a_changed_number(files):
    member(message(files, "Task").field, "index").number = 77


@reported_as(f"{RUN}.Execution.retried_count: ours absent, published field")
def a_dropped_field(files):
    remove(message(files, "Execution").field, "retried_count")


@reported_as(f"{RUN}.EnvVarSource.invented: ours field, published absent")
def an_added_field(files):
    message(files, "EnvVarSource").field.add(name="invented", number=9, type="TYPE_BOOL")


@reported_as(f"{RUN}.Task.retried: type: ours TYPE_INT64, published TYPE_INT32")
def a_changed_type(files):
    member(message(files, "Task").field, "retried").type = "TYPE_INT64"


@reported_as(f"{RUN}.Container.args: label: ours LABEL_OPTIONAL, published LABEL_REPEATED")
def a_list_made_single(files):
    member(message(files, "Container").field, "args").label = "LABEL_OPTIONAL"


@reported_as(f"{RUN}.EnvVar.value: oneof: ours not set, published values")
def a_field_outside_its_oneof(files):
    member(message(files, "EnvVar").field, "value").ClearField("oneof_index")


@reported_as(f"{RUN}.TaskTemplate.gpu_zonal_redundancy_disabled: proto3_optional: ours False, published True")
def a_lost_presence(files):
    member(message(files, "TaskTemplate").field, "gpu_zonal_redundancy_disabled").proto3_optional = False


@reported_as(f"{RUN}.Job.uid: json name: ours UID, published uid")
def a_changed_json_name(files):
    member(message(files, "Job").field, "uid").json_name = "UID"


@reported_as(f"{RUN}.Job: reserved ranges: ours [(50, 51)], published []")
def a_reserved_number(files):
    message(files, "Job").reserved_range.add(start=50, end=51)


@reported_as(f"{RUN}.Job.client: option deprecated: ours True, published not set")
def a_deprecated_field(files):
    member(message(files, "Job").field, "client").options.deprecated = True


@reported_as(f"{RUN}.RunJobRequest.name: option (google.api.field_behavior): ours OUTPUT_ONLY, published REQUIRED")
def a_changed_behaviour(files):
    option(member(message(files, "RunJobRequest").field, "name"), "google.api.field_behavior")[0] = 3


@reported_as(
    f'{RUN}.Task.job: option (google.api.resource_reference): ours type: "run.googleapis.com/Task", '
    'published type: "run.googleapis.com/Job"'
)
def a_changed_reference(files):
    reference = option(member(message(files, "Task").field, "job"), "google.api.resource_reference")
    reference.type = "run.googleapis.com/Task"


@reported_as(
    f"{RUN}.Condition.State.CONDITION_BROKEN: ours enum value, published absent",
    f"{RUN}.Condition.State.CONDITION_FAILED: ours absent, published enum value",
)
def a_renamed_enum_value(files):
    state = member(message(files, "Condition").enum_type, "State")
    member(state.value, "CONDITION_FAILED").name = "CONDITION_BROKEN"


@reported_as(
    f'{RUN}.Tasks.GetTask: option (google.api.http): ours get: "/v2/{{name=tasks/*}}", '
    'published get: "/v2/{name=projects/*/locations/*/jobs/*/executions/*/tasks/*}"'
)
def a_changed_http_rule(files):
    option(method(files, "Tasks", "GetTask"), "google.api.http").get = "/v2/{name=tasks/*}"


@reported_as(
    f"{RUN}.Jobs.ListJobs: option (google.api.routing): "
    'ours routing_parameters { field: "name" path_template: "projects/*/locations/{location=*}" }, '
    'published routing_parameters { field: "parent" path_template: "projects/*/locations/{location=*}" }'
)
def a_changed_routing_rule(files):
    option(method(files, "Jobs", "ListJobs"), "google.api.routing").routing_parameters[0].field = "name"


@reported_as(
    f"{RUN}.Jobs.RunJob: option (google.longrunning.operation_info): "
    'ours response_type: "Job" metadata_type: "Execution", '
    'published response_type: "Execution" metadata_type: "Execution"'
)
def a_changed_operation_info(files):
    option(method(files, "Jobs", "RunJob"), "google.longrunning.operation_info").response_type = "Job"


@reported_as(f"{RUN}.Jobs.CreateJob: option (google.api.method_signature): ours job, published parent,job,job_id")
def a_changed_signature(files):
    option(method(files, "Jobs", "CreateJob"), "google.api.method_signature")[0] = "job"


@reported_as(f"{RUN}.Tasks.GetTask: server streaming: ours True, published False")
def a_method_made_streaming(files):
    method(files, "Tasks", "GetTask").server_streaming = True


@reported_as(f"{RUN}.Executions.CancelExecution: ours absent, published method")
def a_dropped_method(files):
    remove(service(files, "Executions").method, "CancelExecution")


@reported_as("google/type/expr.proto: syntax: ours proto2, published proto3")
def a_changed_syntax(files):
    member(files.file, "google/type/expr.proto").syntax = "proto2"


def message(files, name):
    return next(each for file in run_files(files) for each in file.message_type if each.name == name)


def method(files, service_name, name):
    return member(service(files, service_name).method, name)


def service(files, name):
    return next(each for file in run_files(files) for each in file.service if each.name == name)


def run_files(files):
    return [file for file in files.file if file.package == RUN]


def member(items, name):
    return next(each for each in items if each.name == name)


def remove(items, name):
    items.remove(member(items, name))


def option(descriptor, name):
    return next(value for option, value in descriptor.options.ListFields() if option.full_name == name)
