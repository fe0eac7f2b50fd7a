//! Access to the disk past every rule of crashes, for tests.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::SimVfs;
use super::disk::{Disk, Node};
use super::file::FileNode;
use super::pages::Image;
use crate::{IoError, IoOp, Result};

impl SimVfs {
    /// The paths of all files as programs see them now, sorted by name within each directory.
    pub fn files(&self) -> Vec<PathBuf> {
        let disk = self.disk.lock();
        let mut files = Vec::new();
        disk.walk(
            |dir| &dir.current,
            |path, _, node| {
                if let Node::File(_) = node {
                    files.push(PathBuf::from(path));
                }
            },
        );
        files
    }

    /// The contents of a file as programs see them now. Not counted as an operation; works without
    /// power.
    pub fn read_file(&self, path: &Path) -> Result<Vec<u8>> {
        let disk = self.disk.lock();
        let read = || {
            let image = &disk.file(disk.lookup(path)?)?.current;
            let len = usize::try_from(image.len()).map_err(|_| Errno::FBIG)?;
            let mut contents = Vec::new();
            contents.try_reserve_exact(len).map_err(|_| Errno::NOMEM)?;
            contents.resize(len, 0);
            image.read(&mut contents, 0);
            Ok(contents)
        };
        read().map_err(|e| IoError::new(IoOp::Read, path, e))
    }

    /// Gives a file these contents, durable at once, creating it if need be; its directory must
    /// exist. Unsynced writes to it are forgotten; open handles go on with the new contents.
    pub fn write_file(&self, path: &Path, contents: &[u8]) -> Result<()> {
        let write = |disk: &mut Disk| -> io::Result<()> {
            let mut image = Image::default();
            image.write(0, contents);
            let (dir, name) = disk.entry(path)?;
            let id = match disk.lookup(path) {
                Ok(id) => id,
                Err(_) => disk.add_node(Node::File(FileNode::default())),
            };
            let file = disk.file_mut(id)?;
            *file = FileNode {
                handles: file.handles,
                links: 1,
                ..FileNode::settled(image)
            };
            disk.force_entry(dir, &name, Some(id));
            Ok(())
        };
        write(&mut self.disk.lock()).map_err(|e| IoError::new(IoOp::Write, path, e))
    }

    /// Removes a file, durably at once.
    pub fn remove(&self, path: &Path) -> Result<()> {
        let remove = |disk: &mut Disk| -> io::Result<()> {
            let (dir, name) = disk.entry(path)?;
            let id = disk.lookup(path)?;
            disk.file_mut(id)?.links = 0;
            disk.force_entry(dir, &name, None);
            Ok(())
        };
        remove(&mut self.disk.lock()).map_err(|e| IoError::new(IoOp::Remove, path, e))
    }

    /// Inverts bit `bit` (0 to 7, the least significant is 0) of the byte at `offset`, on the
    /// medium and in what programs see.
    pub fn flip_bit(&self, path: &Path, offset: u64, bit: u8) -> Result<()> {
        let flip = |disk: &mut Disk| -> io::Result<()> {
            let id = disk.lookup(path)?;
            let file = disk.file_mut(id)?;
            if offset >= file.current.len() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            file.current.flip_bit(offset, bit);
            if offset < file.durable.len() {
                file.durable.flip_bit(offset, bit);
            }
            Ok(())
        };
        flip(&mut self.disk.lock()).map_err(|e| IoError::at(IoOp::Write, path, offset, e))
    }
}
