//! Private group file sharing on real sockets: the program `node`.

fn main() -> std::process::ExitCode {
    node::main()
}
