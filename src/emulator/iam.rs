//! Who may do what: callers known by their bearer tokens, and the roles and permissions they have.
//!
//! Knows no state but what it was given at the start; the policies of jobs are shown to it. Without a single caller
//! there is nothing to check, and everybody may do everything.

mod needs;
mod roles;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use http::{HeaderMap, header::AUTHORIZATION};
use subtle::ConstantTimeEq as _;

pub(crate) use self::{needs::Needs, roles::ACT_AS};
use crate::{
    emulator::{EmulatorError, refusal::Refusal},
    proto::iam::v1::{Binding, Policy},
};

/// Members that stand for every caller with a known token.
const EVERYBODY: [&str; 2] = ["allUsers", "allAuthenticatedUsers"];
/// The creator of everything where no credentials are required.
const NOBODY: &str = "emulator@example.com";
/// What a member's name begins with.
const MEMBER_KINDS: [&str; 4] = ["user:", "serviceAccount:", "group:", "domain:"];

/// The callers, and what each of them may do everywhere.
#[derive(Clone, Debug, Default)]
pub(crate) struct Iam {
    /// Members by bearer token.
    callers: BTreeMap<Token, String>,
    /// Permissions by member.
    grants: BTreeMap<String, BTreeSet<&'static str>>,
}

/// A bearer token. `Debug` redacts it.
#[derive(Clone, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Token(String);

impl From<String> for Token {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl Token {
    /// Whether a call carries it. How long that takes says nothing about how much of it was right.
    pub(crate) fn is_in(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(AUTHORIZATION).and_then(|given| bearer(given.as_bytes())).unwrap_or_default();
        !given.is_empty() && given.ct_eq(self.0.as_bytes()).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Who sent a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Principal {
    /// Anybody, because no callers are known.
    Unchecked,
    /// A member such as `user:a@example.com`.
    Member(String),
}

impl Principal {
    /// The e-mail address that resources are said to be made by.
    pub(crate) fn email(&self) -> &str {
        match self {
            Self::Unchecked => NOBODY,
            Self::Member(member) => member.split_once(':').map_or(member, |(_, email)| email),
        }
    }
}

impl Iam {
    /// Lets a bearer token stand for a member.
    pub(crate) fn add_caller(&mut self, token: Token, member: String) -> Result<(), EmulatorError> {
        if !is_member(&member) {
            return Err(EmulatorError::member(&member));
        }
        self.callers.insert(token, member);
        Ok(())
    }

    /// Gives a member a role, or one permission, in every project.
    pub(crate) fn grant(&mut self, member: String, granted: &str) -> Result<(), EmulatorError> {
        if !is_member(&member) {
            return Err(EmulatorError::member(&member));
        }
        let permissions: Vec<_> = match roles::permissions(granted) {
            Some(permissions) => permissions.collect(),
            None => vec![roles::permission(granted).ok_or_else(|| EmulatorError::grant(granted))?],
        };
        self.grants.entry(member).or_default().extend(permissions);
        Ok(())
    }

    /// The principal behind this `authorization` header.
    pub(crate) fn identify(&self, authorization: Option<&str>) -> Result<Principal, Refusal> {
        if self.callers.is_empty() {
            return Ok(Principal::Unchecked);
        }
        let authorization = authorization.ok_or_else(Refusal::no_credentials)?;
        let token = bearer(authorization.as_bytes()).and_then(|token| str::from_utf8(token).ok());
        let member = token.and_then(|token| self.callers.get(&Token(token.to_owned())));
        member.cloned().map(Principal::Member).ok_or_else(Refusal::bad_credentials)
    }

    /// Whether a caller has a permission, by a grant or by the policy of the job that it is about.
    pub(crate) fn allows(&self, caller: &Principal, permission: &str, policy: Option<&Policy>) -> bool {
        let Principal::Member(member) = caller else { return true };
        let members = [member.as_str()].into_iter().chain(EVERYBODY);
        let granted = members.filter_map(|member| self.grants.get(member)).any(|all| all.contains(permission));
        granted || policy.is_some_and(|policy| policy.bindings.iter().any(|binding| binds(binding, member, permission)))
    }
}

/// The token in `Bearer TOKEN`. Upper and lower case of the scheme are the same (RFC 9110, 11.1).
fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = authorization.split_at(authorization.iter().position(|byte| *byte == b' ')?);
    scheme.eq_ignore_ascii_case(b"bearer").then(|| token.trim_ascii_start())
}

/// A policy that a job may have.
pub(crate) fn check_policy(policy: &Policy) -> Result<(), Refusal> {
    for Binding { role, members, .. } in &policy.bindings {
        // A project's or an organization's own role is taken, and grants nothing that is known here.
        if roles::permissions(role).is_none() && !role.contains("/roles/") {
            return Err(Refusal::unknown_role(role));
        }
        if let Some(wrong) = members.iter().find(|member| !is_member(member)) {
            let text = format!("'{}' is no member, such as user:a@example.com.", wrong.escape_default());
            return Err(Refusal::invalid("policy.bindings.members", text));
        }
    }
    Ok(())
}

/// The permissions of a TestIamPermissions request, if all of them can be had on a job.
pub(crate) fn check_permissions(permissions: &[String]) -> Result<(), Refusal> {
    match permissions.iter().find(|name| roles::permission(name).is_none()) {
        Some(unknown) => Err(Refusal::unknown_permission(unknown)),
        None => Ok(()),
    }
}

/// A condition is kept and never holds.
fn binds(binding: &Binding, member: &str, permission: &str) -> bool {
    let is_meant = binding.members.iter().any(|bound| bound == member || EVERYBODY.contains(&bound.as_str()));
    let has = || roles::permissions(&binding.role).is_some_and(|mut all| all.any(|one| one == permission));
    binding.condition.is_none() && is_meant && has()
}

fn is_member(text: &str) -> bool {
    EVERYBODY.contains(&text)
        || MEMBER_KINDS.iter().any(|kind| text.strip_prefix(kind).is_some_and(|id| !id.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: &str = "user:alice@example.com";

    fn iam(granted: &str) -> Iam {
        let mut iam = Iam::default();
        iam.add_caller("secret".to_owned().into(), ALICE.to_owned()).expect("a member");
        iam.grant(ALICE.to_owned(), granted).expect("known");
        iam
    }

    fn alice() -> Principal {
        Principal::Member(ALICE.to_owned())
    }

    #[test]
    fn a_caller_is_known_by_the_bearer_token_only() {
        let iam = iam("roles/run.viewer");
        assert_eq!(iam.identify(Some("Bearer secret")), Ok(alice()));
        for right in ["bearer secret", "BEARER secret", "bEaReR secret", "Bearer  secret"] {
            assert_eq!(iam.identify(Some(right)), Ok(alice()), "{right}");
        }
        for wrong in [None, Some("secret"), Some("Basic secret"), Some("Bearer Secret"), Some("Bearer ")] {
            assert!(iam.identify(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(Iam::default().identify(None), Ok(Principal::Unchecked));
    }

    #[test]
    fn a_required_token_is_found_behind_the_scheme_in_any_case() {
        let carries = |given: &str| {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, given.parse().expect("a value"))]);
            Token::from("secret".to_owned()).is_in(&headers)
        };
        for right in ["Bearer secret", "bearer secret", "BEARER   secret"] {
            assert!(carries(right), "{right}");
        }
        for wrong in ["secret", "Bearersecret", "Basic secret", "bearer Secret", "bearer secret ", "bearer ", "bearer"]
        {
            assert!(!carries(wrong), "{wrong:?}");
        }
        assert!(!Token::from(String::new()).is_in(&HeaderMap::new()));
    }

    #[test]
    fn a_role_of_section_6_is_a_set_of_permissions() {
        for (role, has, lacks) in [
            ("roles/run.invoker", "run.jobs.run", "run.jobs.get"),
            ("roles/run.invoker", "run.jobs.run", "run.jobs.runWithOverrides"),
            ("roles/run.jobsExecutor", "run.executions.cancel", "run.jobs.runWithOverrides"),
            ("roles/run.jobsExecutorWithOverrides", "run.jobs.runWithOverrides", "run.operations.get"),
            ("roles/run.viewer", "run.operations.get", "run.jobs.run"),
            ("roles/run.developer", "run.jobs.delete", "run.jobs.setIamPolicy"),
            ("roles/run.admin", "run.jobs.setIamPolicy", "iam.serviceAccounts.actAs"),
            ("run.jobs.get", "run.jobs.get", "run.jobs.list"),
        ] {
            assert!(iam(role).allows(&alice(), has, None), "{role} has {has}");
            assert!(!iam(role).allows(&alice(), lacks, None), "{role} lacks {lacks}");
        }
    }

    #[test]
    fn a_binding_counts_for_its_members_unless_it_has_a_condition() {
        let binding = |member: &str| Binding {
            role: "roles/run.invoker".to_owned(),
            members: vec![member.to_owned()],
            condition: None,
        };
        let allowed = |binding| {
            let policy = Policy { bindings: vec![binding], ..Policy::default() };
            iam("run.jobs.list").allows(&alice(), "run.jobs.run", Some(&policy))
        };
        assert!(allowed(binding(ALICE)) && allowed(binding("allUsers")) && allowed(binding("allAuthenticatedUsers")));
        assert!(!allowed(binding("user:bob@example.com")));
        assert!(!allowed(Binding { condition: Some(Default::default()), ..binding(ALICE) }));
    }

    #[test]
    fn a_token_is_in_no_debug_output() {
        assert!(!format!("{:?}", iam("run.jobs.get")).contains("secret"));
    }

    #[test]
    fn a_typing_error_is_named() {
        let mut iam = Iam::default();
        let error = iam.grant(ALICE.to_owned(), "roles/run.viewr").expect_err("no such role").to_string();
        assert!(error.contains("roles/run.viewr"), "{error}");
        let error = iam.grant("alice".to_owned(), "roles/run.viewer").expect_err("no member").to_string();
        assert!(error.contains("'alice'"), "{error}");
    }
}
