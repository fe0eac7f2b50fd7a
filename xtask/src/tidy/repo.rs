//! The repository as the checks see it.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use super::metadata::{self, Metadata};

/// Larger files are data, not sources or pages.
const TEXT_BYTES_MAX: u64 = 1 << 20;

/// A text file.
#[derive(Debug)]
pub(super) struct File {
    /// Below the root, with `/`.
    pub(super) path: String,
    pub(super) text: String,
}

/// The repository's text files and Cargo's view of the workspace.
#[derive(Debug, Default)]
pub(super) struct Repo {
    root: PathBuf,
    /// Sorted by path.
    pub(super) files: Vec<File>,
    /// Paths of everything, also of what is not text, and of directories.
    pub(super) paths: Vec<String>,
    pub(super) metadata: Metadata,
}

impl Repo {
    pub(super) fn load() -> Result<Repo, Box<dyn Error>> {
        let root = crate::root::workspace_root();
        let mut repo = Repo {
            metadata: metadata::load(&root)?,
            root,
            ..Repo::default()
        };
        let root = repo.root.clone();
        repo.walk(&root, "")?;
        repo.files.sort_by(|a, b| a.path.cmp(&b.path));
        repo.paths.sort();
        Ok(repo)
    }

    fn walk(&mut self, dir: &Path, below: &str) -> Result<(), Box<dyn Error>> {
        for entry in fs::read_dir(dir).map_err(|e| format!("{}: {e}", dir.display()))? {
            let entry = entry?;
            let name = entry
                .file_name()
                .into_string()
                .map_err(|n| format!("name {n:?}"))?;
            if below.is_empty() && is_not_source(&name) {
                continue;
            }
            let path = if below.is_empty() {
                name
            } else {
                format!("{below}/{name}")
            };
            self.paths.push(path.clone());
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.walk(&entry.path(), &path)?;
            } else if kind.is_file()
                && entry.metadata()?.len() <= TEXT_BYTES_MAX
                && let Ok(text) = String::from_utf8(fs::read(entry.path())?)
            {
                self.files.push(File { path, text });
            }
        }
        Ok(())
    }

    /// Replaces a file on disk and in this view.
    pub(super) fn write(&mut self, path: &str, text: String) -> Result<(), Box<dyn Error>> {
        fs::write(self.root.join(path), &text).map_err(|e| format!("{path}: {e}"))?;
        match self.files.iter_mut().find(|f| f.path == path) {
            Some(file) => file.text = text,
            None => {
                self.files.push(File {
                    path: path.to_owned(),
                    text,
                });
                self.paths.push(path.to_owned());
            }
        }
        Ok(())
    }

    pub(super) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|f| f.path == path)
    }

    /// The files below `dir` whose name ends with `suffix`.
    pub(super) fn files_below<'a>(
        &'a self,
        dir: &'a str,
        suffix: &'a str,
    ) -> impl Iterator<Item = &'a File> {
        self.files.iter().filter(move |f| {
            f.path
                .strip_prefix(dir)
                .is_some_and(|rest| rest.starts_with('/'))
                && f.path.ends_with(suffix)
        })
    }
}

/// What lies in the root and is no part of the sources: builds, data, Git's own.
fn is_not_source(name: &str) -> bool {
    name == ".git" || name == "data" || name == "target" || name.starts_with("target-")
}

#[cfg(test)]
impl Repo {
    /// A repository of these files and nothing else.
    pub(super) fn of(files: &[(&str, &str)]) -> Repo {
        let mut repo = Repo::default();
        for (path, text) in files {
            repo.files.push(File {
                path: (*path).to_owned(),
                text: (*text).to_owned(),
            });
            repo.paths.push((*path).to_owned());
        }
        repo
    }
}
