//! Flags that several verbs share: their syntax, and what their values mean. Knows no verb.

pub(super) mod afterwards;
pub(super) mod arguments;
pub(super) mod env_file;
pub(super) mod file;
pub(super) mod free_text;
pub(super) mod global;
pub(super) mod job_fields;
pub(super) mod job_file;
pub(super) mod listing;
pub(super) mod lists;
pub(super) mod names;
pub(super) mod overrides;
pub(super) mod sections;
pub(super) mod show_env;
pub(super) mod values;
pub(super) mod waiting;
