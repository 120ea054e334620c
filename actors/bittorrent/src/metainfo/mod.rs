//! Metainfo files, v1, v2 and hybrid (BEP 3, 12, 47, 52).
