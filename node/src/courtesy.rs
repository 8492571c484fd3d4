//! Tasks share one thread, and give way to each other.

use futures_lite::future;

/// Lets other tasks run now and then: a socket that is always ready, or a queue that is never empty, would keep its task on the thread for
/// ever.
#[derive(Debug, Default)]
pub(crate) struct Courtesy(u32);

impl Courtesy {
    /// Operations in a row: 16 x 64 KiB from a socket are 1 MiB, about 0.2 ms.
    const TURNS: u32 = 16;

    pub(crate) async fn turn(&mut self) {
        self.0 += 1;
        if self.0 >= Courtesy::TURNS {
            self.0 = 0;
            future::yield_now().await;
        }
    }
}
