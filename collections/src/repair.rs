//! Repairing a pool: what is dead is buried, what nobody refers to is freed, what names nobody is cleared. Nothing that was finished is touched.

use crate::directory;
use crate::report::{Leak, Repair};
use aquifer_alloc::BlockInfo;
use aquifer_pool::seat::SeatCtx;
use aquifer_pool::{Inner, Result};

/// See [`Pool::repair`](crate::Pool::repair).
pub(crate) fn repair(pool: &Inner) -> Result<Repair> {
    let seat = pool.seat()?;
    let mut repair = Repair::default();
    // First what others, and the rest of this, would wait for.
    for number in (0..pool.seat_count()).filter(|s| *s != seat.number()) {
        repair.seats += pool.clear_free_seat(number).is_some_and(|cleared| cleared.words) as usize;
    }
    (repair.buried, repair.logs) = pool.bury_dead_by_force();
    repair.index = aquifer_alloc::repair_index(seat).unwrap_or(false);
    directory::free_word_of_nobody(pool, &mut repair);
    directory::sweep_if_whole(pool)?;
    repair.report = directory::check(pool, true, |check| {
        let leaked = check.rest();
        repair.freed.extend(leaked.iter().filter(|b| free(seat, b).is_ok()).map(Leak::from));
        repair.locks.extend(check.freed_locks());
    })?;
    repair.freed_bytes = repair.freed.iter().map(|f| f.bytes).sum();
    repair.report.leaks.retain(|l| !repair.freed.contains(l));
    repair.report.leaked_bytes -= repair.freed_bytes;
    Ok(repair)
}

/// Frees a block that nothing can reach any more.
fn free(seat: &SeatCtx, block: &BlockInfo) -> Result<()> {
    let op = seat.bare().begin();
    aquifer_alloc::free(op.cx(), block.offset)?;
    // Dead before: leaked still. After: free.
    op.commit();
    Ok(())
}
