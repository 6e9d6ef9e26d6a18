//! Resource names of Cloud Run jobs: what their segments are, how they print. Does no I/O.

use std::{error::Error as StdError, fmt, str::FromStr};

/// A name that is not one: says what was given and what was expected.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NameError(String);

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for NameError {}

/// `projects/P/locations/R`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Location {
    project: String,
    region: String,
}

impl Location {
    /// A location from its two ids.
    ///
    /// # Errors
    /// When an id is empty or has a character that no id has.
    pub fn new(project: impl Into<String>, region: impl Into<String>) -> Result<Self, NameError> {
        Ok(Self { project: id(project.into())?, region: id(region.into())? })
    }
    /// The project id.
    pub fn project(&self) -> &str {
        &self.project
    }
    /// The region.
    pub fn region(&self) -> &str {
        &self.region
    }
    /// A job here.
    ///
    /// # Errors
    /// When the id is no id.
    pub fn job(&self, job: impl Into<String>) -> Result<JobName, NameError> {
        Ok(JobName { location: self.clone(), id: id(job.into())? })
    }
    /// An operation here.
    ///
    /// # Errors
    /// When the id is no id.
    pub fn operation(&self, operation: impl Into<String>) -> Result<OperationName, NameError> {
        Ok(OperationName { location: self.clone(), id: id(operation.into())? })
    }
}

macro_rules! child {
    ($name:ident, $parent:ident: $parent_type:ident, $segment:literal) => {
        #[doc = concat!("A name that ends in `", $segment, "/ID`.")]
        #[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name {
            $parent: $parent_type,
            id: String,
        }
        impl $name {
            /// What this is a part of.
            pub fn $parent(&self) -> &$parent_type {
                &self.$parent
            }
            /// The last segment.
            pub fn id(&self) -> &str {
                &self.id
            }
            /// Whether the id is `-`, which stands for all (AIP-159).
            pub fn is_wildcard(&self) -> bool {
                self.id == "-"
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!("{}/", $segment, "/{}"), self.$parent, self.id)
            }
        }
        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                let (parent, last) = text
                    .rsplit_once(concat!("/", $segment, "/"))
                    .ok_or_else(|| NameError(format!("'{text}' is not a name that ends in {}/ID", $segment)))?;
                Ok(Self { $parent: parent.parse()?, id: id(last.to_owned())? })
            }
        }
    };
}

child!(JobName, location: Location, "jobs");
child!(ExecutionName, job: JobName, "executions");
child!(TaskName, execution: ExecutionName, "tasks");
child!(OperationName, location: Location, "operations");

impl JobName {
    /// An execution of this job.
    ///
    /// # Errors
    /// When the id is no id.
    pub fn execution(&self, execution: impl Into<String>) -> Result<ExecutionName, NameError> {
        Ok(ExecutionName { job: self.clone(), id: id(execution.into())? })
    }
}

impl ExecutionName {
    /// A task of this execution.
    ///
    /// # Errors
    /// When the id is no id.
    pub fn task(&self, task: impl Into<String>) -> Result<TaskName, NameError> {
        Ok(TaskName { execution: self.clone(), id: id(task.into())? })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "projects/{}/locations/{}", self.project, self.region)
    }
}

impl FromStr for Location {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.split('/').collect::<Vec<_>>()[..] {
            ["projects", project, "locations", region] => Self::new(project, region),
            _ => Err(NameError(format!("'{text}' is not projects/PROJECT/locations/REGION"))),
        }
    }
}

fn id(id: String) -> Result<String, NameError> {
    let fits = !id.is_empty() && id.len() <= 128 && id.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:".contains(c));
    if fits && id != ".." { Ok(id) } else { Err(NameError(format!("'{}' is not an id", id.escape_default()))) }
}
