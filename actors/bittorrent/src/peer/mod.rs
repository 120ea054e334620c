//! One peer connection as a machine (BEP 3, 6, 9, 10, 11, 21, 54).
