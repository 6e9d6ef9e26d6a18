//! What is shown: resources as rows and objects, reports, and text that is safe to show. Knows no verb.

pub(super) mod changes;
pub(super) mod job;
pub(super) mod json;
pub(super) mod mask;
pub(super) mod mend;
pub(super) mod output;
pub(super) mod report;
pub(super) mod safe;
pub(super) mod view;
