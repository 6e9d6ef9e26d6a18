//! Compiles `proto/` into tonic stubs with protox: no `protoc` on the user's machine.

use std::{env, error::Error, fmt::Write as _, fs, path::PathBuf};

/// The files that bring everything else in by import.
const ROOTS: [&str; 5] = [
    "google/cloud/run/v2/job.proto",
    "google/cloud/run/v2/execution.proto",
    "google/cloud/run/v2/task.proto",
    "google/iam/v1/iam_policy.proto",
    "google/longrunning/operations.proto",
];

/// What REST answers with typed JSON.
#[cfg(feature = "bench")]
const JSON: [&str; 3] = [".google.cloud.run.v2", ".google.api.LaunchStage", ".google.rpc.Status"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=build.rs");

    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true).open_files(ROOTS)?;
    let stubs = compiler.file_descriptor_set();

    #[cfg(feature = "bench")]
    compile_json_types(&stubs)?;

    // Encoded by protox itself because prost's descriptor types would drop the google.api options.
    let descriptors = compiler.include_source_info(false).encode_file_descriptor_set();
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    fs::write(out.join("descriptors.binpb"), descriptors)?;
    fs::write(out.join("methods.rs"), methods(&stubs)?)?;

    let mut prost = tonic_prost_build::Config::new();
    // Ordered maps: equal messages have equal bytes, and print alike.
    prost.btree_map(["."]).enable_type_names().type_name_domain([".google"], "type.googleapis.com");
    tonic_prost_build::configure()
        .server_mod_attribute(".", "#[cfg(feature = \"emulator\")]")
        .compile_fds_with_config(stubs, prost)?;
    Ok(())
}

/// A static for each method: its path, and the types of its messages.
fn methods(files: &prost_types::FileDescriptorSet) -> Result<String, std::fmt::Error> {
    let mut code = String::new();
    for file in &files.file {
        for service in &file.service {
            writeln!(code, "pub(crate) mod {} {{", service.name().to_lowercase())?;
            for method in &service.method {
                let (name, service, package) = (method.name(), service.name(), file.package());
                let (request, answer) = (rust_type(method.input_type()), rust_type(method.output_type()));
                let static_name = name.chars().fold(String::new(), |name, c| {
                    let new_word = c.is_uppercase() && !name.is_empty();
                    name + if new_word { "_" } else { "" } + &c.to_uppercase().to_string()
                });
                writeln!(
                    code,
                    "pub(crate) static {static_name}: crate::proto::Method<{request}, {answer}> = \
                     crate::proto::Method::new(\"/{package}.{service}/{name}\");"
                )?;
            }
            writeln!(code, "}}")?;
        }
    }
    Ok(code)
}

/// Where `src/proto.rs` has the type of this full name.
fn rust_type(name: &str) -> String {
    match name {
        ".google.protobuf.Empty" => "()".to_owned(),
        name => format!("crate::proto{}", name.replace('.', "::")),
    }
}

/// The messages once more, with typed JSON: what a REST client is measured with. Types of another module, because the
/// well-known types that the stubs use have no JSON.
#[cfg(feature = "bench")]
fn compile_json_types(files: &prost_types::FileDescriptorSet) -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?).join("json");
    fs::create_dir_all(&out)?;
    tonic_prost_build::Config::new()
        .btree_map(["."])
        .compile_well_known_types()
        .extern_path(".google.protobuf", "::pbjson_types")
        .out_dir(&out)
        .compile_fds(files.clone())?;
    let mut json = pbjson_build::Builder::new();
    for file in &files.file {
        json.register_file_descriptor(file.clone());
    }
    json.btree_map(["."]).ignore_unknown_fields().out_dir(&out).build(&JSON)?;
    Ok(())
}
