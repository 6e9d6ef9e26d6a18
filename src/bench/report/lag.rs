//! Feature lag: what can be done over REST or gRPC only. What REST is ahead by is the list that the descriptor check keeps
//! against the published interfaces.

use std::fmt::Write as _;

use super::svg::escaped;

const LIST: &str = include_str!("../../../proto/rest_only.txt");

/// What differs by protocol, and not by interface: what, REST, gRPC.
const PROTOCOLS: [[&str; 3]; 2] =
    [["many calls on one connection", "over HTTP/2 only", "yes"], ["a deadline that the server knows", "no", "yes"]];

/// The section of the page.
pub(super) fn section() -> String {
    let mut rows = String::new();
    for [what, rest, grpc] in PROTOCOLS {
        // Writing to a string does not fail.
        let _ = write!(rows, "<tr><td>{what}<td>{rest}<td>{grpc}</tr>");
    }
    for element in rest_only() {
        let _ = write!(rows, "<tr><td>{}<td>yes<td>not published</tr>", escaped(&element));
    }
    format!(
        "<section id=\"lag\"><h2>What only one of them can do</h2><p>Cloud Run jobs, as of {}.</p>\
         <div class=\"scroll\"><table><thead><tr><th>what<th>REST<th>gRPC</tr></thead><tbody>{rows}</tbody></table>\
         </div></section>",
        escaped(date())
    )
}

/// The elements of the list in words.
fn rest_only() -> impl Iterator<Item = String> {
    LIST.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some(match (words.next()?, words.next()?, words.next()) {
            ("field", field, Some(_)) => format!("field {field}"),
            ("value", field, Some(value)) => format!("value {value} of {field}"),
            ("method", method, _) => {
                format!("method {}", method.strip_prefix("run.projects.locations.").unwrap_or(method))
            }
            _ => return None,
        })
    })
}

/// When the list was last found to hold.
fn date() -> &'static str {
    LIST.split_once("as of ").and_then(|(_, rest)| rest.get(..10)).unwrap_or("an unknown date")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_of_the_list_is_a_row_with_the_date_of_the_list() {
        let elements = LIST.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count();
        let section = section();
        assert_eq!(section.matches("<td>not published").count(), elements);
        assert!(
            section.contains("field Overrides.delayExecution")
                && section.contains("method jobs.executions.exportStatus")
        );
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        assert!(date().split('-').count() == 3 && date().split('-').all(digits), "{}", date());
    }
}
