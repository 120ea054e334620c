//! What a file is by its ending, from a table of types that no browser runs.
//!
//! Whoever made a torrent chose its files, and they are served from the origin of the API: a page, an
//! SVG image or a script would act with the rights of the user. So these, and all that is unknown, are
//! bytes to be saved.

/// A type of content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MediaType {
    /// As in `Content-Type`.
    pub(super) name: &'static str,
    /// A browser may show it rather than save it.
    pub(super) is_shown: bool,
}

/// The type of the file at `path`.
pub(super) fn of(path: &str) -> MediaType {
    let name = path.rsplit('/').next().unwrap_or_default();
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    let name = match ending.as_deref().unwrap_or_default() {
        "mp4" | "m4v" => "video/mp4",
        "webm" => "video/webm",
        "mkv" => "video/x-matroska",
        "mov" => "video/quicktime",
        "avi" => "video/x-msvideo",
        "mpg" | "mpeg" => "video/mpeg",
        "ts" | "m2ts" => "video/mp2t",
        "ogv" => "video/ogg",
        "mp3" => "audio/mpeg",
        "m4a" | "m4b" => "audio/mp4",
        "aac" => "audio/aac",
        "flac" => "audio/flac",
        "ogg" | "oga" | "opus" => "audio/ogg",
        "wav" => "audio/wav",
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "txt" | "nfo" | "md" | "srt" => "text/plain; charset=utf-8",
        "vtt" => "text/vtt; charset=utf-8",
        _ => return MediaType { name: "application/octet-stream", is_shown: false },
    };
    MediaType { name, is_shown: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_are_shown() {
        assert_eq!(of("a/b.MKV"), MediaType { name: "video/x-matroska", is_shown: true });
        assert_eq!(of("a.b.mp3").name, "audio/mpeg");
    }

    #[test]
    fn what_a_browser_would_run_is_saved() {
        for path in [
            "x.html", "x.htm", "x.xhtml", "x.svg", "x.xml", "x.js", "x.pdf", "x", "", "x.mp4/y",
            "..",
        ] {
            let expected = MediaType { name: "application/octet-stream", is_shown: false };
            assert_eq!(of(path), expected, "{path}");
        }
    }
}
