//! Trackers: announce and scrape over HTTP and UDP (BEP 3, 7, 12, 15, 23, 24, 48).
