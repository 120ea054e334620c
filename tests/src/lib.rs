//! System tests: the real program, other people's clients, and the rules of the tree.
