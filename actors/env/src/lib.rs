//! Time, chance, network, disk and computing as a node receives them, real and simulated, and the supervision helper.
