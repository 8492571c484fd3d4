//! `sim`: runs scenarios of the simulator, and says whether what must hold does.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
