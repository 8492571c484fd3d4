//! Private group file sharing on real sockets.
fn main() {}
