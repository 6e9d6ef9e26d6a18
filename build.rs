//! Compiles `proto/` into tonic stubs with protox: no `protoc` on the user's machine.

use std::{env, error::Error, fs, path::PathBuf};

/// The files that bring everything else in by import.
const ROOTS: [&str; 5] = [
    "google/cloud/run/v2/job.proto",
    "google/cloud/run/v2/execution.proto",
    "google/cloud/run/v2/task.proto",
    "google/iam/v1/iam_policy.proto",
    "google/longrunning/operations.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=build.rs");

    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true).open_files(ROOTS)?;
    let stubs = compiler.file_descriptor_set();

    // Encoded by protox itself because prost's descriptor types would drop the google.api options.
    let descriptors = compiler.include_source_info(false).encode_file_descriptor_set();
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    fs::write(out.join("descriptors.binpb"), descriptors)?;

    let mut prost = tonic_prost_build::Config::new();
    // Ordered maps: equal messages have equal bytes, and print alike.
    prost.btree_map(["."]).enable_type_names().type_name_domain([".google"], "type.googleapis.com");
    tonic_prost_build::configure()
        .server_mod_attribute(".", "#[cfg(feature = \"emulator\")]")
        .compile_fds_with_config(stubs, prost)?;
    Ok(())
}
