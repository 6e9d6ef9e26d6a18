//! Paths of `google.api.http` and `google.api.routing`, and which of them a request's path is.

use percent_encoding::percent_decode_str;
use tonic::Status;

/// The fields that a path holds, in its order: their paths in the message, and their values.
pub(super) type PathFields = Vec<(String, String)>;

/// A path with named parts: `/v2/{name=projects/*/jobs/*}:run`.
#[derive(Debug)]
pub(super) struct Template {
    segments: Vec<Segment>,
    /// Name, first segment, and the one after the last.
    variables: Vec<(String, usize, usize)>,
    verb: Option<String>,
}

#[derive(Debug)]
enum Segment {
    Literal(String),
    One,
    /// As many as are left; only at the end.
    Rest,
}

impl Template {
    pub(super) fn parse(text: &str) -> Self {
        let after_variables = text.rfind('}').map_or(0, |end| end + 1);
        let (text, verb) = match text[after_variables..].split_once(':') {
            Some((middle, verb)) => (&text[..after_variables + middle.len()], Some(verb.to_owned())),
            None => (text, None),
        };
        let mut template = Self { segments: Vec::new(), variables: Vec::new(), verb };
        let mut rest = text.trim_start_matches('/');
        while !rest.is_empty() {
            rest = match rest.strip_prefix('{').and_then(|open| open.split_once('}')) {
                Some((variable, after)) => {
                    let (name, pattern) = variable.split_once('=').unwrap_or((variable, "*"));
                    let first = template.segments.len();
                    template.segments.extend(pattern.split('/').map(Segment::parse));
                    template.variables.push((name.to_owned(), first, template.segments.len()));
                    after
                }
                None => {
                    let (segment, after) = rest.split_once('/').unwrap_or((rest, ""));
                    template.segments.push(Segment::parse(segment));
                    after
                }
            };
            rest = rest.trim_start_matches('/');
        }
        template
    }

    /// The values of the variables, when the path is one of these.
    pub(super) fn variables(&self, path: &Path) -> Option<PathFields> {
        let open = matches!(self.segments.last(), Some(Segment::Rest));
        let fits =
            if open { path.segments.len() >= self.segments.len() } else { path.segments.len() == self.segments.len() };
        let same = self.segments.iter().zip(&path.segments).all(|(segment, text)| match segment {
            Segment::Literal(literal) => literal == text,
            Segment::One | Segment::Rest => !text.is_empty(),
        });
        let value = |(name, first, end): &(String, usize, usize)| {
            let end = if open && *end == self.segments.len() { path.segments.len() } else { *end };
            (name.clone(), path.segments[*first..end].join("/"))
        };
        (fits && same && self.verb == path.verb).then(|| self.variables.iter().map(value).collect())
    }
}

impl Segment {
    fn parse(text: &str) -> Self {
        match text {
            "*" => Self::One,
            "**" => Self::Rest,
            literal => Self::Literal(literal.to_owned()),
        }
    }
}

/// The decoded segments of a path, and the verb behind its last colon.
#[derive(Debug)]
pub(super) struct Path {
    segments: Vec<String>,
    verb: Option<String>,
}

impl Path {
    /// Decodes each segment by itself: an encoded slash must not make two of one.
    pub(super) fn parse(path: &str) -> Result<Self, Status> {
        let start = path.rfind('/').unwrap_or(0);
        let (path, verb) = match path[start..].rsplit_once(':') {
            Some((last, verb)) => (&path[..start + last.len()], Some(verb.to_owned())),
            None => (path, None),
        };
        let segments = path.trim_start_matches('/').split('/').map(|segment| {
            let segment = percent_decode_str(segment).decode_utf8().ok()?;
            (!segment.contains('/')).then(|| segment.into_owned())
        });
        let segments: Option<_> = segments.collect();
        let malformed = || Status::invalid_argument("The path holds an encoded slash, or is not UTF-8.");
        Ok(Self { segments: segments.ok_or_else(malformed)?, verb })
    }

    pub(super) fn of_name(name: &str) -> Self {
        Self { segments: name.split('/').map(str::to_owned).collect(), verb: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(template: &str, path: &str) -> Option<Vec<String>> {
        let path = Path::parse(path).expect("a path");
        let variables = Template::parse(template).variables(&path)?;
        Some(variables.into_iter().map(|(name, value)| format!("{name}={value}")).collect())
    }

    #[test]
    fn a_template_takes_the_fields_out_of_its_paths_and_no_others() {
        for (template, path, expected) in [
            ("/v2/{name=projects/*/jobs/*}", "/v2/projects/p/jobs/j", Some(vec!["name=projects/p/jobs/j"])),
            ("/v2/{name=projects/*/jobs/*}", "/v2/projects/p/jobs/j/", None),
            ("/v2/{name=projects/*/jobs/*}", "/v2/projects/p/jobs/", None),
            ("/v2/{name=projects/*/jobs/*}", "/v2/projects/p/job/j", None),
            ("/v2/{name=projects/*/jobs/*}", "/v2/projects/p/jobs/j:run", None),
            ("/v2/{name=projects/*/jobs/*}:run", "/v2/projects/p/jobs/j:run", Some(vec!["name=projects/p/jobs/j"])),
            ("/v2/{name=projects/*/jobs/*}:run", "/v2/projects/p/jobs/j", None),
            ("/v2/{job.name=jobs/*}/tasks/{id}", "/v2/jobs/j/tasks/1", Some(vec!["job.name=jobs/j", "id=1"])),
            ("/v1/{name=operations/**}", "/v1/operations/a/b/c", Some(vec!["name=operations/a/b/c"])),
            ("/v1/{name=operations/**}", "/v1/operations", None),
            ("/v1/all:search", "/v1/all:search", Some(vec![])),
        ] {
            let expected = expected.map(|names| names.into_iter().map(str::to_owned).collect());
            assert_eq!(variables(template, path), expected, "{template} {path}");
        }
    }

    #[test]
    fn a_segment_is_decoded_after_the_path_was_cut() {
        let taken = variables("/{name=jobs/*}:run", "/jobs/a%3Ab%20c:run");
        assert_eq!(taken, Some(vec!["name=jobs/a:b c".to_owned()]));
        for path in ["/jobs/a%2Fb", "/jobs/a%2fb", "/jobs/%ff"] {
            Path::parse(path).expect_err(path);
        }
    }
}
