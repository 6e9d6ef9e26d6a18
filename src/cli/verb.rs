//! What a verb is made of: what was typed, what that means in a context, and how it is carried out over a session.

use super::{context::Context, exit::Exit, failure::Failure, printer::Printer, session::Session, suggest};
use crate::Location;

/// A verb that calls the service, as it was typed.
pub(super) trait Verb {
    /// What was typed, understood: names in full, values checked.
    type Meaning;

    /// The meaning in this context. Nothing is called.
    fn resolve(self, context: &Context<'_>) -> Result<Self::Meaning, Failure>;

    /// The project and region to call.
    fn location(meaning: &Self::Meaning) -> &Location;

    /// Carries it out.
    async fn run(meaning: Self::Meaning, session: &Session, printer: &Printer) -> Result<Exit, Failure>;
}

/// Carries a verb out, from what was typed to the end of the connection.
pub(super) async fn call<V: Verb>(typed: V, context: &Context<'_>, printer: &Printer) -> Result<Exit, Failure> {
    let meaning = typed.resolve(context)?;
    let session = Session::open(context, V::location(&meaning), printer).await?;
    let exit = match V::run(meaning, &session, printer).await {
        Ok(exit) => exit,
        Err(failure) => return Err(suggest::improved(failure, &session).await),
    };
    session.close().await?;
    Ok(exit)
}
