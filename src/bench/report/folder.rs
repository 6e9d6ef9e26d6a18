//! A folder for a report, which is known to be writable before anything is measured.

use std::{
    fmt::Display,
    fs,
    path::{Path, PathBuf},
};

use super::BenchReport;
use crate::bench::error::{Error, Result};

/// Where the files of a report go.
#[derive(Clone, Debug)]
pub struct ReportFolder(PathBuf);

impl ReportFolder {
    /// The file name of the page.
    pub const PAGE: &str = "report.html";

    /// Makes the folder, unless it is there, and an empty page in it.
    ///
    /// # Errors
    /// When nothing can be written there.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let folder = Self(path.into());
        fs::create_dir_all(&folder.0).map_err(|cause| unwritable(&folder.0, &cause))?;
        folder.write(Self::PAGE, "")?;
        Ok(folder)
    }

    /// Writes the page, the JSON, the table and the distributions.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, report: &BenchReport) -> Result<()> {
        self.write(Self::PAGE, &report.html())?;
        self.write("report.json", &report.json())?;
        self.write("report.md", &report.table())?;
        report.hgrm().iter().try_for_each(|(name, text)| self.write(name, text))
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.0.join(name);
        fs::write(&path, text).map_err(|cause| unwritable(&path, &cause))
    }
}

fn unwritable(path: &Path, cause: &dyn Display) -> Error {
    Error::new(format!("cannot write {}: {cause}", path.display()))
}
