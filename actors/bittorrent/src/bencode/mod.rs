//! Bencode, strict and lenient, without recursion (BEP 3).
