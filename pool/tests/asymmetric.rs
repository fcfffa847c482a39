//! Locks whose readers store plainly, between real processes.
#![allow(clippy::unwrap_used)] // a failure of what surrounds a test is a failure of the test

mod support;

use aquifer_pool::lock::{Patience, RawLock};
use aquifer_pool::open::{Place, unlink};
use aquifer_pool::{Error, Inner, Options, RawPool};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use support::{Child, HEAP, NO_HEAP};

fn options() -> Options {
    Options::new().size(8 << 20).window(64 << 20).asymmetric_locks(true)
}

fn lock(pool: &Inner) -> (&RawLock, u64) {
    // SAFETY: within the pool, aligned, zero (a free lock) at first and used only as a lock.
    (unsafe { &*pool.at(HEAP, 8).unwrap().cast::<RawLock>() }, HEAP)
}

fn word(pool: &Inner, i: u64) -> &AtomicU64 {
    // SAFETY: within the pool, aligned, used only as an atomic.
    unsafe { &*pool.at(HEAP + 4096 + i * 64, 8).unwrap().cast::<AtomicU64>() }
}

/// Reads until killed, and counts in word 3 how often a writer was seen in the lock.
///
/// Stores that miss the caches go before each lock, so that the mark waits behind them in the processor. Even so a writer that forgot its
/// barrier would seldom be seen: that it has one is the next test's, that it needs one the model's (`lock_model`).
fn read_for_ever(pool: &RawPool) {
    let (l, offset) = lock(pool);
    let seat = pool.seat().unwrap();
    let mut far = vec![0u8; 64 << 20];
    for i in 0.. {
        (0..12).for_each(|k| far[(i * 12 + k) * 8209 % (64 << 20)] = std::hint::black_box(k as u8));
        let quick = l.read_at_once();
        let mark = if quick.is_none() { l.read(seat, offset, Patience::Forever).unwrap() } else { 0 };
        let seen = (0..8).any(|_| {
            let a = word(pool, 0).load(Ordering::Relaxed);
            a != word(pool, 1).load(Ordering::Relaxed)
        });
        word(pool, 3).fetch_add(u64::from(seen), Ordering::SeqCst);
        RawLock::unlock_read(seat, mark);
        word(pool, 2).fetch_add(u64::from(quick.is_some()), Ordering::Relaxed);
    }
}

#[test]
fn writers_are_alone_though_readers_only_store() {
    let pool = RawPool::memfd(&options(), &NO_HEAP).unwrap();
    let reader = Child::run(&pool, |pool, ready| {
        ready();
        read_for_ever(pool);
    });
    let (l, offset) = lock(&pool);
    let seat = pool.seat().unwrap();
    let begin = Instant::now();
    let mut writes = 0;
    while begin.elapsed() < Duration::from_secs(2) || writes < 100 {
        // Not waiting: a sleep would last far longer than anything that is to be seen here.
        let Ok(hold) = l.write(seat, offset, Patience::Try) else { continue };
        word(&pool, 0).store(writes + 1, Ordering::Relaxed);
        (0..20).for_each(|_| std::hint::spin_loop());
        word(&pool, 1).store(writes + 1, Ordering::Relaxed);
        l.unlock_write(seat, hold.held);
        writes += 1;
        (0..writes % 64).for_each(|_| std::hint::spin_loop());
    }
    let reads = word(&pool, 2).load(Ordering::Relaxed);
    drop(reader);
    println!("{writes} writes between {reads} reads by plain stores");
    assert_eq!(word(&pool, 3).load(Ordering::SeqCst), 0, "a reader saw a writer at work");
}

fn read_once(pool: &RawPool) {
    let (l, offset) = lock(pool);
    let seat = pool.seat().unwrap();
    let mark = l.read(seat, offset, Patience::Forever).unwrap();
    RawLock::unlock_read(seat, mark);
}

#[test]
fn a_writer_asks_for_the_barrier_when_somebody_may_read_and_gives_up_without_it() {
    let pool = RawPool::memfd(&options(), &NO_HEAP).unwrap();
    let child = Child::run(&pool, |pool, ready| {
        let (l, offset) = lock(pool);
        let seat = pool.seat().unwrap();
        refuse_membarrier();
        let hold = l.write(seat, offset, Patience::Forever).unwrap();
        l.unlock_write(seat, hold.held); // nobody has read
        read_once(pool);
        let hold = l.write(seat, offset, Patience::Forever).unwrap();
        l.unlock_write(seat, hold.held); // nobody else has
        let (read, leave) = (Barrier::new(2), Barrier::new(2));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                read_once(pool);
                read.wait();
                leave.wait();
            });
            read.wait();
            match l.write(seat, offset, Patience::Forever) {
                Err(Error::Unsupported(why)) => assert!(why.contains("membarrier")),
                other => panic!("{other:?}"),
            }
            leave.wait();
        });
        assert_eq!(l.writer(), None);
        read_once(pool);
        ready();
    });
    let (l, offset) = lock(&pool);
    let hold = l.write(pool.seat().unwrap(), offset, Patience::Forever).unwrap();
    l.unlock_write(pool.seat().unwrap(), hold.held);
    child.kill();
}

#[test]
fn a_killed_reader_lets_a_writer_in() {
    let pool = RawPool::memfd(&options(), &NO_HEAP).unwrap();
    let (l, offset) = lock(&pool);
    for at_once in [false, true] {
        let child = Child::run(&pool, |pool, ready| {
            let (l, offset) = lock(pool);
            let mark = l.read(pool.seat().unwrap(), offset, Patience::Forever).unwrap();
            if at_once {
                RawLock::unlock_read(pool.seat().unwrap(), mark);
                assert!(l.read_at_once().is_some());
            }
            ready();
        });
        let seat = pool.seat().unwrap();
        assert!(matches!(l.write(seat, offset, Patience::Try), Err(Error::WouldBlock(_))));
        child.kill();
        let hold = l.write(seat, offset, Patience::Forever).unwrap();
        l.unlock_write(seat, hold.held);
    }
}

/// Has the system refuse `membarrier` to this process from now on.
fn refuse_membarrier() {
    let op = |code: u32, k: u32, jt, jf| libc::sock_filter { code: code as u16, jt, jf, k };
    let filter = [
        op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, libc::SYS_membarrier as u32, 0, 1),
        op(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32, 0, 0),
        op(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0, 0),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // SAFETY: plain calls; the kernel copies the program.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program), 0);
    }
}

#[test]
fn the_mode_stays_with_the_pool_and_a_process_that_cannot_register_is_refused() {
    struct Name(String);
    impl Drop for Name {
        fn drop(&mut self) {
            let _ = unlink(&self.0);
        }
    }
    let name = Name(format!("aquifer-asymmetric-{}", std::process::id()));
    let pool = RawPool::create(&options(), Place::Name(&name.0), &NO_HEAP).unwrap();
    let refused = |result: aquifer_pool::Result<()>| matches!(result, Err(Error::Unsupported(why)) if why.contains("membarrier") && why.contains(&name.0));
    let child = Child::run(&pool, |pool, ready| {
        // Opening does not ask for the mode.
        let again = Options::new().second_mapping(true);
        let other = RawPool::open(&again, Place::Name(&name.0), &NO_HEAP).unwrap();
        assert!(other.info().asymmetric_locks);
        drop(other);
        refuse_membarrier();
        assert!(refused(RawPool::open(&again, Place::Name(&name.0), &NO_HEAP).map(drop)));
        assert!(refused(pool.seat().map(drop)), "nor may it use what it inherited");
        RawPool::memfd(&Options::new(), &NO_HEAP).unwrap().seat().unwrap();
        ready();
    });
    child.kill();
    assert!(pool.info().asymmetric_locks);
    assert!(!RawPool::memfd(&Options::new(), &NO_HEAP).unwrap().info().asymmetric_locks);
}
