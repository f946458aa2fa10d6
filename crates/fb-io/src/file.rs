//! Files of the system: opened, fingerprinted, and put in place whole or not at all.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use crate::{Error, Result};

/// An error of the system on a file.
pub(crate) fn system(what: &'static str, path: &Path) -> impl Fn(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::System { what, path: path.clone(), source }
}

/// Opens a file for reading. The system opens a folder as well and refuses only to read it.
pub(crate) fn open_file(path: &Path) -> Result<File> {
    let file = File::open(path).map_err(system("open", path))?;
    if file.metadata().map_err(system("open", path))?.is_dir() {
        return Err(system("open", path)(std::io::ErrorKind::IsADirectory.into()));
    }
    Ok(file)
}

/// Opens a file as text, unpacked if it begins as gzip does.
pub(crate) fn open_text(path: &Path) -> Result<Box<dyn BufRead + Send>> {
    let mut file = BufReader::with_capacity(1 << 16, open_file(path)?);
    let begin = file.fill_buf().map_err(system("read", path))?;
    if begin.starts_with(GZIP) {
        return Ok(Box::new(BufReader::with_capacity(1 << 16, flate2::bufread::MultiGzDecoder::new(file))));
    }
    Ok(Box::new(file))
}

/// Opens a file as [`open_text`] does, at a byte of the text.
pub(crate) fn open_text_at(path: &Path, byte: u64) -> Result<Box<dyn BufRead + Send>> {
    let mut text = open_text(path)?;
    let mut begin = [0; 2];
    let is_packed = open_file(path)?.read_exact(&mut begin).is_ok() && begin == *GZIP;
    if byte > 0 && !is_packed {
        let mut file = open_file(path)?;
        file.seek(SeekFrom::Start(byte)).map_err(system("read", path))?;
        return Ok(Box::new(BufReader::with_capacity(1 << 16, file)));
    }
    std::io::copy(&mut text.by_ref().take(byte), &mut std::io::sink()).map_err(system("read", path))?;
    Ok(text)
}

/// The two bytes that begin a file packed with gzip.
pub(crate) const GZIP: &[u8] = &[0x1f, 0x8b];

/// The first bytes of a file, unpacked: enough to know its format.
pub(crate) fn beginning(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = open_text(path)?.take(64).read_to_end(&mut bytes);
    // What is packed and damaged is refused by whoever reads it, by the line.
    read.map_or_else(|_| Ok(Vec::new()), |_| Ok(bytes))
}

/// Size in bytes and SHA-256 of the file, or of the files, that a specification names.
pub fn fingerprint(spec: impl AsRef<Path>) -> Result<(u64, String)> {
    let (mut hash, mut size, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 16]);
    for path in crate::spec::files(spec.as_ref()) {
        let mut file = open_file(&path)?;
        loop {
            let n = file.read(&mut buffer).map_err(system("read", &path))?;
            if n == 0 {
                break;
            }
            hash.update(&buffer[..n]);
            size += n as u64;
        }
    }
    Ok((size, fb_core::artifact::hex(&hash.finalize())))
}

/// Puts a file in place whole or not at all: written beside it, forced to disk, renamed.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = Whole::create(path)?;
    file.write_all(bytes).map_err(system("write", path))?;
    file.commit()
}

/// A file that is written beside its place, and is there only once it is whole.
pub(crate) struct Whole {
    file: NamedTempFile,
    path: PathBuf,
}

impl Whole {
    /// Begins a file that shall be at `path`.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let file = tempfile::Builder::new().suffix(".tmp").tempfile_in(folder(path)).map_err(system("write", path))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Where it is until then, for writers that want a path.
    pub(crate) fn beside(&self) -> &Path {
        self.file.path()
    }

    /// Forces it to disk and puts it in place.
    pub(crate) fn commit(self) -> Result<()> {
        let system = system("write", &self.path);
        self.file.as_file().sync_all().map_err(&system)?;
        readable(&self.file).map_err(&system)?;
        self.file.persist(&self.path).map_err(|e| system(e.error))?;
        // The name itself is on disk once the folder is.
        File::open(folder(&self.path)).and_then(|folder| folder.sync_all()).map_err(&system)
    }
}

impl Write for Whole {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl Seek for Whole {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.file.seek(to)
    }
}

/// A file without a name, for what a writer must put aside. It is gone with its handle.
pub(crate) fn aside(path: &Path) -> Result<File> {
    tempfile::tempfile_in(folder(path)).map_err(system("write", path))
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A temporary file is its owner's alone; a result is as readable as any other file.
fn readable(file: &NamedTempFile) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    }
    Ok(())
}
