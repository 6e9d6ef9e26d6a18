//! The generated messages and stubs, under the names of their proto packages.
//!
//! The only file that includes generated code, and the only one that relaxes lints for it. It knows the
//! packages and nothing of how they are used. The generated types are this crate's public data types:
//! `google.cloud.run.v2.Execution` is [`run::v2::Execution`].

use std::marker::PhantomData;

use http::uri::PathAndQuery;

pub use self::google::{api, cloud::run, iam, longrunning, rpc, r#type};

/// The descriptors of everything here with their options, as an encoded `google.protobuf.FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.binpb"));

/// A unary method of the interface: its path, and the types of its messages.
#[derive(Debug)]
pub(crate) struct Method<Request, Answer> {
    /// `/PACKAGE.SERVICE/METHOD`.
    pub(crate) path: PathAndQuery,
    messages: PhantomData<fn(Request) -> Answer>,
}

impl<Request, Answer> Method<Request, Answer> {
    const fn new(path: &'static str) -> Self {
        Self { path: PathAndQuery::from_static(path), messages: PhantomData }
    }

    /// The same method with other types for its messages, such as one that keeps the bytes of an answer.
    pub(crate) fn with_messages<OtherRequest, OtherAnswer>(&self) -> Method<OtherRequest, OtherAnswer> {
        Method { path: self.path.clone(), messages: PhantomData }
    }
}

/// The methods by service: what the generated stubs call, for the verbs that do not need the stubs' machinery.
#[allow(dead_code)]
pub(crate) mod methods {
    include!(concat!(env!("OUT_DIR"), "/methods.rs"));
}

// The nesting is that of the proto packages, because generated code refers to its neighbours by relative paths.
#[allow(unreachable_pub, clippy::use_self)]
mod google {
    pub mod cloud {
        /// `google.cloud.run`.
        pub mod run {
            /// `google.cloud.run.v2`: jobs, executions and tasks.
            pub mod v2 {
                tonic::include_proto!("google.cloud.run.v2");
            }
        }
    }
    /// `google.longrunning`: operations.
    pub mod longrunning {
        tonic::include_proto!("google.longrunning");
    }
    /// `google.iam`.
    pub mod iam {
        /// `google.iam.v1`: policies, and who may do what.
        pub mod v1 {
            tonic::include_proto!("google.iam.v1");
        }
    }
    /// `google.rpc`: the status that an operation ends with.
    pub mod rpc {
        tonic::include_proto!("google.rpc");
    }
    /// `google.api`: launch stages and the annotations of the interface.
    pub mod api {
        tonic::include_proto!("google.api");
    }
    /// `google.type`: the expression of an IAM condition.
    pub mod r#type {
        tonic::include_proto!("google.r#type");
    }
}

/// The messages of run/v2 once more, with typed JSON: REST as a good client reads it, for the benchmark. What holds an
/// `Any` is not here.
#[cfg(feature = "bench")]
#[allow(dead_code, missing_docs, unreachable_pub, clippy::all, clippy::use_self)]
pub(crate) mod rest {
    pub mod google {
        pub mod cloud {
            pub mod run {
                pub mod v2 {
                    include!(concat!(env!("OUT_DIR"), "/json/google.cloud.run.v2.rs"));
                    include!(concat!(env!("OUT_DIR"), "/json/google.cloud.run.v2.serde.rs"));
                }
            }
        }
        pub mod api {
            include!(concat!(env!("OUT_DIR"), "/json/google.api.rs"));
            include!(concat!(env!("OUT_DIR"), "/json/google.api.serde.rs"));
        }
        pub mod rpc {
            include!(concat!(env!("OUT_DIR"), "/json/google.rpc.rs"));
            include!(concat!(env!("OUT_DIR"), "/json/google.rpc.serde.rs"));
        }
    }
}
