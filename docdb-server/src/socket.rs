//! The listening socket's file: a stale one is replaced, a live one is refused.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use docdb_engine::{Error, ErrorKind};
use tokio::net::UnixListener;

/// The file of a bound socket. Removed by [`SocketFile::remove`], unless another has taken its
/// place.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// Refuses a path that a live server listens on or that is not a socket.
pub(crate) fn check_free(path: &Path) -> Result<(), Error> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("look at", path, &error)),
    };
    if !metadata.file_type().is_socket() {
        let message = format!("{} exists and is not a socket", path.display());
        return Err(Error::new(ErrorKind::InvalidArgument, message));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(in_use(path)),
        // Nobody listens: what is left of a server that is gone.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // A full backlog has an owner.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(in_use(path)),
        Err(error) => Err(failed("connect to", path, &error)),
    }
}

/// Listens on `path`. The socket gets its permissions under another name before it appears there,
/// so that nobody connects who must not.
pub(crate) fn bind(path: &Path, mode: u32) -> Result<(UnixListener, SocketFile), Error> {
    check_free(path)?;
    let temp = path.with_file_name(format!(".{}.sock", std::process::id()));
    if let Err(error) = fs::remove_file(&temp)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(failed("remove", &temp, &error));
    }
    let listener = UnixListener::bind(&temp).map_err(|error| failed("listen on", path, &error))?;
    let placed = fs::set_permissions(&temp, fs::Permissions::from_mode(mode))
        .and_then(|()| fs::rename(&temp, path))
        .and_then(|()| fs::symlink_metadata(path));
    match placed {
        Ok(metadata) => {
            let file = SocketFile {
                path: path.to_path_buf(),
                device: metadata.dev(),
                inode: metadata.ino(),
            };
            Ok((listener, file))
        }
        Err(error) => {
            let _ = fs::remove_file(&temp);
            Err(failed("place", path, &error))
        }
    }
}

impl SocketFile {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn remove(&self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|now| now.dev() == self.device && now.ino() == self.inode);
        if ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn in_use(path: &Path) -> Error {
    let message = format!("another server listens on {}", path.display());
    Error::new(ErrorKind::InUse, message)
}

fn failed(what: &str, path: &Path, error: &io::Error) -> Error {
    Error::new(
        ErrorKind::Io,
        format!("cannot {what} {}: {error}", path.display()),
    )
}
