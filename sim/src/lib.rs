//! The simulator: engine machines over a virtual network, disk and clock.
