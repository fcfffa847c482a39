//! The context word: which log, seat and pool a place belongs to.

use aquifer_pool::log::LogCx;

/// What every call that changes the pool needs to know: the log its operation goes to, and through it seat and pool.
///
/// One word, so that it fits the length of an unsized tail (see [`Place`](crate::Place)).
#[derive(Clone, Copy, Debug)]
pub struct Cx(pub(crate) usize);

impl Cx {
    /// The context of a log.
    #[inline(always)]
    pub fn of(log: &LogCx) -> Cx {
        Cx(log.word())
    }

    /// The log.
    ///
    /// # Safety
    /// The guard, operation or transaction that this word came from is still alive, on this thread, for `'a`.
    #[inline(always)]
    pub unsafe fn log<'a>(self) -> &'a LogCx {
        // SAFETY: the caller's contract.
        unsafe { LogCx::from_word(self.0) }
    }
}
