//! When a torrent has been seeded enough, and which torrents may run now.
