//! Where the server is.

use std::path::PathBuf;

use crate::failure::Failure;

const UNIX: &str = "docdb+unix://";

/// The socket to connect to: that of the URL, if there is one.
pub(crate) fn socket(url: Option<&str>, socket: PathBuf) -> Result<PathBuf, Failure> {
    let Some(url) = url else {
        return Ok(socket);
    };
    if let Some(path) = url.strip_prefix(UNIX) {
        if path.starts_with('/') {
            return Ok(PathBuf::from(path));
        }
        return Err(Failure::usage(format!(
            "{url}: the path must start with / ({UNIX}/PATH)"
        )));
    }
    match url.split_once("://") {
        Some((scheme @ ("docdb+tcp" | "docdb+tls"), _)) => Err(Failure::usage(format!(
            "{url}: {scheme} is not available in this version"
        ))),
        _ => Err(Failure::usage(format!("{url}: a URL starts with {UNIX}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_goes_before_the_socket() {
        let default = || PathBuf::from("/default");
        assert_eq!(socket(None, default()).unwrap(), default());
        let url = Some("docdb+unix:///run/docdb.sock");
        assert_eq!(
            socket(url, default()).unwrap(),
            PathBuf::from("/run/docdb.sock")
        );
        for bad in [
            "docdb+unix://run",
            "docdb+tcp://h:1",
            "docdb+tls://h:1",
            "http://h",
            "/run",
        ] {
            assert!(socket(Some(bad), default()).is_err(), "{bad}");
        }
    }
}
