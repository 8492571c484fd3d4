//! Work that waits for a disk, and comes too seldom for threads of its own to wait for it.

use std::io;
use std::thread;

/// Does `work` on a thread that ends with it, so that an idle process has none.
///
/// # Errors
/// The system gives no thread, or the work panicked.
pub(crate) async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (answer, answered) = async_channel::bounded(1);
    let body = move || {
        // It fails only when nobody waits any more.
        let _unwanted = answer.try_send(work());
    };
    thread::Builder::new().name("apart".to_owned()).spawn(body)?;
    answered.recv().await.map_err(|_| io::Error::other("a thread ended without an answer"))
}
