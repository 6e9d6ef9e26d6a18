//! What is shown: resources as rows and objects, reports, and text that is safe to show. Knows no verb.

pub(super) mod changes;
pub(super) mod event;
mod failures;
pub(super) mod hints;
pub(super) mod job;
pub(super) mod json;
mod logs;
pub(super) mod mask;
pub(super) mod mend;
pub(super) mod output;
pub(super) mod overridden;
mod phases;
pub(super) mod report;
pub(super) mod safe;
pub(super) mod timeline;
pub(super) mod view;
pub(super) mod yaml;
