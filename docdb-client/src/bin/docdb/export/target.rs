//! Where an export goes.

use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};

use crate::Context;
use crate::failure::Failure;

/// Stdout, or a file.
pub(super) struct Target {
    name: String,
    kind: Kind,
}

enum Kind {
    Stdout,
    /// A pipe or device: it is written to, not around it.
    InPlace(File),
    /// A file that is there is replaced at the end and not before: a failed export leaves it alone.
    Replaced(Partial, PathBuf),
}

impl Target {
    /// A file, or stdout for `-`.
    pub(super) fn open(file: &Path) -> Result<Target, Failure> {
        let name = file.display().to_string();
        if file == Path::new("-") {
            let kind = Kind::Stdout;
            return Ok(Target { name, kind });
        }
        let in_place = fs::metadata(file).is_ok_and(|metadata| !metadata.is_file());
        let opened = if in_place {
            File::options().write(true).open(file).map(Kind::InPlace)
        } else {
            Partial::create(file).map(|partial| Kind::Replaced(partial, file.to_path_buf()))
        };
        match opened {
            Ok(kind) => Ok(Target { name, kind }),
            Err(error) => Err(Failure::file(&name, &error)),
        }
    }

    pub(super) fn is_stdout(&self) -> bool {
        matches!(self.kind, Kind::Stdout)
    }

    pub(super) fn writer(&self) -> Result<Box<dyn Write + Send>, Failure> {
        let file = match &self.kind {
            Kind::Stdout => {
                return Ok(Box::new(io::stdout()));
            }
            Kind::InPlace(file) | Kind::Replaced(Partial { file, .. }, _) => file.try_clone(),
        };
        let file = file.map_err(|error| Failure::file(&self.name, &error))?;
        Ok(Box::new(file))
    }

    /// To be called when all is written and flushed.
    pub(super) fn finish(self) -> Result<(), Failure> {
        match self.kind {
            Kind::Stdout | Kind::InPlace(_) => Ok(()),
            Kind::Replaced(partial, target) => partial
                .finish(&target)
                .map_err(|error| Failure::file(&self.name, &error)),
        }
    }

    /// A bar for so many documents, where it does not disturb.
    pub(super) fn progress(&self, context: &Context, count: u64) -> ProgressBar {
        // On a terminal the documents are the progress.
        let is_shown = self.is_stdout() && io::stdout().is_terminal();
        if context.json || is_shown || !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let progress = ProgressBar::new(count);
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} documents {eta}") {
            progress.set_style(style);
        }
        progress
    }
}

/// A file under a temporary name, removed unless it is finished.
struct Partial {
    path: PathBuf,
    file: File,
    finished: bool,
}

impl Partial {
    fn create(target: &Path) -> io::Result<Partial> {
        let mut name = target
            .file_name()
            .ok_or(io::ErrorKind::InvalidInput)?
            .to_owned();
        name.push(format!(".{}.partial", std::process::id()));
        let path = target.with_file_name(name);
        let file = File::options().write(true).create_new(true).open(&path)?;
        Ok(Partial {
            path,
            file,
            finished: false,
        })
    }

    fn finish(mut self, target: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, target)?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.finished {
            // There is nobody to tell; the failure that led here is told.
            let _ = fs::remove_file(&self.path);
        }
    }
}
