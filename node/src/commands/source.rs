//! Where a torrent to be transferred comes from: a file, a magnet link or an address.

use std::path::Path;

use bittorrent::magnet::Magnet;
use bittorrent::metainfo::{Info, Metainfo};
use control::Source;
use url::Url;

use crate::failure::Failure;
use crate::output;

/// A source, looked at as far as that is possible without the network.
#[derive(Debug)]
pub(crate) struct Looked {
    /// As the engine takes it.
    pub(crate) source: Source,
    /// What is in the file, if it is one.
    pub(crate) info: Option<Info>,
}

/// Reads SOURCE of `download`: a magnet link, an http(s) address, or else the path of a file.
///
/// # Errors
///
/// It is refused, with a sentence on why.
pub(crate) fn look_at(source: &str) -> Result<Looked, Failure> {
    let scheme = source.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref() {
        Some("magnet") => look_at_magnet(source),
        Some("http" | "https") => {
            let url = Url::parse(source).map_err(|error| {
                Failure::usage(format_args!("the address of the .torrent file: {error}"))
            })?;
            Ok(Looked { source: Source::Url(url.into()), info: None })
        }
        Some(_) | None => look_at_file(Path::new(source)),
    }
}

fn look_at_magnet(link: &str) -> Result<Looked, Failure> {
    let magnet = Magnet::parse(link).map_err(Failure::failed)?;
    if magnet.v1.is_none() {
        return Err(Failure::failed(
            "the magnet link is of version 2 alone, which cannot be transferred yet",
        ));
    }
    Ok(Looked { source: Source::Magnet(link.to_owned()), info: None })
}

/// Reads a `.torrent` file.
///
/// # Errors
///
/// It cannot be read, is refused, or is of version 2 alone.
pub(crate) fn look_at_file(path: &Path) -> Result<Looked, Failure> {
    let bytes = output::read_file(path)?;
    let info = Metainfo::parse(&bytes)
        .map_err(|error| Failure::failed(format_args!("{}: {error}", path.display())))?
        .info;
    if info.v1().is_none() {
        return Err(Failure::failed(format_args!(
            "{}: a torrent of version 2 alone, which cannot be transferred yet",
            path.display()
        )));
    }
    Ok(Looked { source: Source::Metainfo(bytes), info: Some(info) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;

    fn refused(source: &str) -> (Exit, String) {
        let failure = look_at(source).expect_err(source);
        (failure.exit, failure.to_string())
    }

    #[test]
    fn links_addresses_and_files_are_told_apart() {
        let v1 = "magnet:?xt=urn:btih:c12fe1c06bba254a9dc9f519b335aa7c1367a88a";
        assert!(matches!(look_at(v1).unwrap().source, Source::Magnet(link) if link == v1));
        let url = "HTTP://host/a.torrent";
        assert!(
            matches!(look_at(url).unwrap().source, Source::Url(url) if url == "http://host/a.torrent")
        );
        assert_eq!(refused("nowhere/a:b").0, Exit::NotFound);
    }

    #[test]
    fn what_cannot_be_transferred_is_refused() {
        let v2 = format!("magnet:?xt=urn:btmh:1220{}", "ab".repeat(32));
        assert!(refused(&v2).1.contains("version 2 alone"));
        assert!(refused("magnet:?dn=x").1.contains("no `xt`"));
        assert_eq!(refused("http://").0, Exit::Usage);
    }
}
