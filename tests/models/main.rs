//! The protocols of starting once, as models: every interleaving of callers, service, crashes and messages that are
//! lost or late, and in each state what docs/reliability.md claims.
//!
//! ```sh
//! cargo test --profile bench --test models -- --include-ignored --nocapture
//! ```
//!
//! Models of the protocols and not the code: that the code sends what its model sends, the other suites show.

mod key;
mod token;

use stateright::{Checker as _, Model};

/// Explores a model to its last state. Every `always` has to hold, and every `sometimes` to be found.
fn explore<M>(what: &str, model: M)
where
    M: Model<
            State: std::fmt::Debug + std::hash::Hash + Send + Sync + Clone + PartialEq,
            Action: std::fmt::Debug + Clone + PartialEq,
        > + Send
        + Sync
        + 'static,
{
    let checker = model.checker().threads(2).spawn_bfs().join();
    println!("{what}: {} states, depth {}", checker.unique_state_count(), checker.max_depth());
    checker.assert_properties();
}
