//! Who may download from us: the choker (BEP 3).
