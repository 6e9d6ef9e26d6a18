//! What only Google could know, made up so that it is the same every time: project numbers and image digests.

use std::hash::Hasher as _;

use fnv::FnvHasher;

/// Twelve digits for a project. A project that is named by its number keeps it.
pub(crate) fn project_number(project: &str) -> u64 {
    const LEAST: u64 = 100_000_000_000;
    project.parse().unwrap_or_else(|_| LEAST + hash(project, 0) % (9 * LEAST))
}

/// The image as an execution shows it: pinned to a digest, which stands for whatever the tag does.
pub(crate) fn pinned(image: &str) -> String {
    if image.contains('@') {
        return image.to_owned();
    }
    let (repository, tag) = split_tag(image);
    let reference = format!("{repository}:{tag}");
    let digest: String = (0..4).map(|part| format!("{:016x}", hash(&reference, part))).collect();
    format!("{repository}@sha256:{digest}")
}

/// `host:5000/name:tag` in front of and behind its tag, which is `latest` when there is none.
fn split_tag(image: &str) -> (&str, &str) {
    match image.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (image, "latest"),
    }
}

/// Stable over versions and machines, unlike the standard library's hashers.
fn hash(text: &str, salt: u8) -> u64 {
    let mut hasher = FnvHasher::default();
    hasher.write_u8(salt);
    hasher.write(text.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_has_one_number_of_twelve_digits() {
        assert_eq!(project_number("acme"), project_number("acme"));
        assert_ne!(project_number("acme"), project_number("other"));
        assert_eq!(project_number("acme").to_string().len(), 12);
        assert_eq!(project_number("42"), 42);
    }

    #[test]
    fn a_tag_is_pinned_to_a_digest_and_a_digest_stays() {
        let digest = pinned("host:5000/a/b:1");
        let (repository, hash) = digest.split_once("@sha256:").expect("a digest");
        assert_eq!((repository, hash.len()), ("host:5000/a/b", 64));
        assert_eq!(pinned(&digest), digest);
        assert_eq!(pinned("a"), pinned("a:latest"));
        assert_ne!(pinned("a:1"), pinned("a:2"));
    }
}
