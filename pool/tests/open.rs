//! Making, opening, growing and removing pools: every error that can come of it, and what survives it.

#![allow(unsafe_code, clippy::unwrap_used)]

#[path = "common/mod.rs"]
mod common;

use aquifer_pool::layout::{HEADER_FIXED, Header, VERSION, fresh};
use aquifer_pool::open::{Place, list, unlink};
use aquifer_pool::{BackingKind, Error, Options, RawPool};
use common::{NOTHING_ABOVE, Scratch, as_child, bytes_of, in_child, overwrite};
use std::fs::File;
use std::mem::offset_of;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::sync::Barrier;
use std::sync::atomic::Ordering;

fn create(options: &Options, place: Place<'_>) -> Result<RawPool, Error> {
    RawPool::create(options, place, &NOTHING_ABOVE)
}

fn open(place: Place<'_>) -> Result<RawPool, Error> {
    RawPool::open(&Options::new(), place, &NOTHING_ABOVE)
}

/// A second join of the same pool in this process, in place of another process's.
fn open_twice(options: Options, place: Place<'_>) -> RawPool {
    RawPool::open(&options.second_mapping(true), place, &NOTHING_ABOVE).unwrap()
}

/// What the heap does when it grows.
fn grow(pool: &RawPool, length: u64) -> Result<(), Error> {
    pool.extend_to(length)?;
    pool.header().length.store(length, Ordering::Release);
    Ok(())
}

fn put(pool: &RawPool, offset: u64, value: u64) -> *mut u64 {
    let at = pool.at(offset, 8).unwrap().cast::<u64>();
    // SAFETY: in bounds by `at`, aligned, and nobody else uses these bytes of the test's own pool.
    unsafe { at.write_volatile(value) };
    at
}

fn get(at: *const u64) -> u64 {
    // SAFETY: an address that `at` of a pool which is still open has given.
    unsafe { at.read_volatile() }
}

macro_rules! refused {
    ($result:expr, $pattern:pat $(if $guard:expr)?) => {
        match $result {
            Err($pattern) $(if $guard)? => {}
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("it was allowed"),
        }
    };
}

const MIB: u64 = 1 << 20;
const FREE: u64 = fresh::HEAP;

#[test]
fn what_is_not_there_cannot_be_opened_and_what_is_there_cannot_be_made() {
    let s = Scratch::new();
    refused!(open(s.name()), Error::NoSuchPool(_));
    refused!(unlink(s.text()), Error::NoSuchPool(_));
    let pool = create(&Options::new(), s.name()).unwrap();
    refused!(create(&Options::new(), s.name()), Error::AlreadyExists(_));
    drop(pool);
    refused!(create(&Options::new(), s.name()), Error::AlreadyExists(_));
    refused!(open(Place::Path(&s.path("none"))), Error::NoSuchPool(_));
    refused!(create(&Options::new(), Place::Path(&s.path("no/folder"))), Error::System { .. });
}

#[test]
fn names_that_cannot_be_are_refused_with_the_reason() {
    for (name, reason) in
        [("", "empty"), ("a/b", "slash"), (".", "folder"), ("..", "folder"), ("a\0b", "NUL")]
    {
        refused!(open(Place::Name(name)), Error::BadName { why, .. } if why.contains(reason));
        refused!(create(&Options::new(), Place::Name(name)), Error::BadName { .. });
        refused!(unlink(name), Error::BadName { .. });
    }
    refused!(open(Place::Name(&"n".repeat(251))), Error::BadName { .. });
}

#[test]
fn a_leading_slash_names_the_same_pool() {
    let s = Scratch::new();
    let a = create(&Options::new(), s.name()).unwrap();
    let with_slash = format!("/{}", s.text());
    let b = open(Place::Name(&with_slash)).unwrap();
    assert!(std::ptr::eq(&*a, &*b), "one process, one join");
    assert!(list().iter().any(|n| n == s.text()));
}

#[test]
fn files_that_are_no_pools_are_told_apart() {
    let s = Scratch::new();
    let text = s.path("text");
    std::fs::write(&text, "just some text, longer than a magic number\n".repeat(400)).unwrap();
    refused!(open(Place::Path(&text)), Error::NotAPool { why, .. } if why.contains("magic"));
    std::fs::write(&text, "short").unwrap();
    refused!(open(Place::Path(&text)), Error::NotAPool { .. });
    std::fs::write(&text, "").unwrap();
    refused!(open(Place::Path(&text)), Error::NotAPool { why, .. } if why.contains("empty"));
    refused!(open(Place::Path(&s.path(""))), Error::NotAPool { why, .. } if why.contains("directory"));
    let socket = s.path("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    refused!(open(Place::Path(&socket)), Error::NotAPool { .. });
}

#[test]
fn a_link_in_the_shared_folder_is_not_followed_and_one_to_nowhere_ends_the_search() {
    let s = Scratch::new();
    std::os::unix::fs::symlink("/nowhere/at/all", format!("/dev/shm/{}", s.text())).unwrap();
    refused!(open(s.name()), Error::NotAPool { .. });
    let lost = s.path("lost");
    std::os::unix::fs::symlink("/nowhere/at/all", &lost).unwrap();
    let result = RawPool::open_or_create(&Options::new(), Place::Path(&lost), &NOTHING_ABOVE);
    refused!(result, Error::AlreadyExists(_));
}

/// Makes a pool, closes it, changes its file at `offset`, and returns what opening it says.
fn opened_after(offset: usize, bytes: &[u8]) -> Error {
    let s = Scratch::new();
    let path = s.path("pool");
    drop(create(&Options::new(), Place::Path(&path)).unwrap());
    overwrite(&path, offset as u64, bytes);
    open(Place::Path(&path)).map(drop).unwrap_err()
}

#[test]
fn damage_to_the_header_is_found_before_anything_trusts_it() {
    let e = opened_after(offset_of!(Header, version), &(VERSION + 7).to_ne_bytes());
    assert!(
        matches!(e, Error::Version { found, expected, .. } if found == VERSION + 7 && expected == VERSION),
        "{e}"
    );
    for fixed in (12..HEADER_FIXED).step_by(4) {
        let e = opened_after(fixed, &[0xa5, 0x5a, 0xa5, 0x5a]);
        assert!(matches!(&e, Error::Damaged(what) if what.contains("checksum")), "byte {fixed}: {e}");
    }
    let e = opened_after(offset_of!(Header, length), &(1u64 << 50).to_ne_bytes());
    assert!(matches!(e, Error::Truncated { expected, .. } if expected == 1 << 50), "{e}");
    let e = opened_after(offset_of!(Header, length), &5u64.to_ne_bytes());
    assert!(matches!(e, Error::Damaged(_)), "{e}");
    for table in
        [offset_of!(Header, seat_chunks), offset_of!(Header, record_chunks), offset_of!(Header, territories)]
    {
        for offset in [1 << 40, fresh::LEAST + 1, u64::MAX, 0] {
            let e = opened_after(table, &u64::to_ne_bytes(offset));
            assert!(matches!(e, Error::Damaged(_)), "{offset:#x}: {e}");
        }
    }
}

#[test]
fn a_pool_that_hashes_otherwise_is_refused() {
    let s = Scratch::new();
    drop(create(&Options::new(), s.name()).unwrap());
    let result = RawPool::open(&Options::new(), s.name(), &common::OTHER_HASH);
    refused!(result, Error::Damaged(what) if what.contains("hash"));
}

#[test]
fn a_truncated_pool_is_refused_wherever_it_was_cut() {
    let s = Scratch::new();
    let path = s.path("pool");
    drop(create(&Options::new(), Place::Path(&path)).unwrap());
    for length in [MIB - 1, MIB / 2, 8192, 4096, 100, 13] {
        File::options().write(true).open(&path).unwrap().set_len(length).unwrap();
        refused!(open(Place::Path(&path)), Error::Truncated { found, .. } if found == length);
    }
}

#[test]
fn a_damaged_length_gives_an_error_and_no_signal() {
    let s = Scratch::new();
    let pool = create(&Options::new(), s.name()).unwrap();
    pool.header().length.store(1 << 40, Ordering::Release);
    refused!(pool.at(MIB, 8), Error::Truncated { .. });
    pool.header().length.store(MIB, Ordering::Release);
    refused!(pool.at(MIB - 7, 8), Error::Damaged(_));
    refused!(pool.at(u64::MAX - 3, 8), Error::Damaged(_));
    assert!(pool.at(MIB - 8, 8).is_ok());
}

#[test]
fn who_may_not_read_or_write_the_file_is_told_so() {
    const TEST: &str = "who_may_not_read_or_write_the_file_is_told_so";
    if let Some(name) = as_child(TEST) {
        // SAFETY: a plain system call.
        if unsafe { libc::setuid(65534) } != 0 {
            return println!("not run: this user may not become another");
        }
        refused!(open(Place::Name(&name)), Error::Permission { .. });
        let nowhere = Place::Path("/proc/1/aquifer-pool".as_ref());
        assert!(create(&Options::new(), nowhere).is_err());
        return;
    }
    let s = Scratch::new();
    let _pool = create(&Options::new(), s.name()).unwrap();
    in_child(TEST, s.text());
}

#[test]
fn mode_bits_are_exact_whatever_the_umask() {
    const TEST: &str = "mode_bits_are_exact_whatever_the_umask";
    let Some(_) = as_child(TEST) else { return in_child(TEST, "") };
    for mask in [0o077, 0o000, 0o777] {
        // SAFETY: a plain system call; this process runs this test only.
        unsafe { libc::umask(mask) };
        for (mode, nameless) in [(0o600, true), (0o666, true), (0o640, true), (0o664, false)] {
            let s = Scratch::new();
            let options = Options::new().mode(mode).without_nameless_files(!nameless);
            let pool = create(&options, s.name()).unwrap();
            let bits =
                std::fs::metadata(format!("/dev/shm/{}", s.text())).unwrap().permissions().mode() & 0o7777;
            assert_eq!((bits, pool.info().mode), (mode, mode), "umask {mask:o}");
        }
        assert_eq!(RawPool::memfd(&Options::new(), &NOTHING_ABOVE).unwrap().info().mode, 0o600);
    }
}

#[test]
fn growth_past_the_hard_limit_is_refused_and_changes_nothing() {
    let s = Scratch::new();
    let options = Options::new().hard_limit(2 * MIB);
    let pool = create(&options, s.name()).unwrap();
    refused!(pool.extend_to(2 * MIB + 4096), Error::HardLimit { limit, wanted } if limit == 2 * MIB && wanted == limit + 4096);
    assert_eq!(std::fs::metadata(format!("/dev/shm/{}", s.text())).unwrap().len(), MIB);
    grow(&pool, 2 * MIB).unwrap();
    assert_eq!(pool.info().hard_limit, 2 * MIB);
    let other = Scratch::new();
    refused!(create(&options.size(3 * MIB), other.name()), Error::HardLimit { .. });
    refused!(open(other.name()), Error::NoSuchPool(_));
}

#[test]
fn the_file_size_limit_is_an_error_and_no_signal() {
    const TEST: &str = "the_file_size_limit_is_an_error_and_no_signal";
    let Some(_) = as_child(TEST) else { return in_child(TEST, "") };
    let (s, other) = (Scratch::new(), Scratch::new());
    common::limit(rustix::process::Resource::Fsize, 2 * MIB);
    let pool = create(&Options::new(), s.name()).unwrap();
    refused!(pool.extend_to(4 * MIB), Error::FileSizeLimit { limit, wanted } if limit == 2 * MIB && wanted == 4 * MIB);
    grow(&pool, 2 * MIB).unwrap();
    refused!(create(&Options::new().size(4 * MIB), other.name()), Error::FileSizeLimit { .. });
}

#[test]
fn a_full_file_system_is_an_error_and_no_signal() {
    const TEST: &str = "a_full_file_system_is_an_error_and_no_signal";
    let Some(_) = as_child(TEST) else { return in_child(TEST, "") };
    if let Err(why) = common::small_shared_folder("size=2m") {
        return println!("not run: no small file system can be mounted: {why}");
    }
    let (s, other) = (Scratch::new(), Scratch::new());
    let pool = create(&Options::new(), s.name()).unwrap();
    refused!(grow(&pool, 64 * MIB), Error::OutOfMemory(_));
    assert_eq!(pool.info().length, MIB);
    refused!(create(&Options::new().size(4 * MIB), other.name()), Error::OutOfMemory(_));
    refused!(open(other.name()), Error::NoSuchPool(_));
    put(&pool, MIB - 8, 7);
    grow(&pool, MIB + MIB / 2).unwrap();
    put(&pool, MIB + MIB / 2 - 8, 8);
}

#[test]
fn where_address_space_is_scarce_the_window_shrinks_and_at_last_there_is_an_error() {
    const TEST: &str = "where_address_space_is_scarce_the_window_shrinks_and_at_last_there_is_an_error";
    let Some(name) = as_child(TEST) else {
        let s = Scratch::new();
        let _pool = create(&Options::new().size(256 * MIB), s.name()).unwrap();
        return in_child(TEST, s.text());
    };
    common::limit(rustix::process::Resource::As, common::address_space() + 6 * 1024 * MIB);
    let pool = open(Place::Name(&name)).unwrap();
    let window = pool.info().window;
    assert!((256 * MIB..6 * 1024 * MIB).contains(&window), "{window:#x}");
    drop(pool);
    common::limit(rustix::process::Resource::As, common::address_space() + 300 * MIB);
    let pool = open(Place::Name(&name)).unwrap();
    assert!((256 * MIB..300 * MIB).contains(&pool.info().window));
    drop(pool);
    common::limit(rustix::process::Resource::As, common::address_space() + 200 * MIB);
    refused!(open(Place::Name(&name)), Error::AddressSpace(length) if length == 256 * MIB);
}

#[test]
fn of_many_threads_that_make_one_pool_one_wins_and_all_get_the_same() {
    for round in 0..20 {
        let s = Scratch::new();
        let options = Options::new().without_nameless_files(round % 2 == 1);
        let start = Barrier::new(8);
        let run = |make: &(dyn Fn() -> Result<RawPool, Error> + Sync)| {
            std::thread::scope(|scope| {
                let work = || {
                    start.wait();
                    make()
                };
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(work)).collect();
                threads.into_iter().map(|t| t.join().unwrap()).collect::<Vec<_>>()
            })
        };
        let made = run(&|| create(&options, s.name()));
        assert_eq!(made.iter().filter(|r| r.is_ok()).count(), 1);
        assert!(made.iter().all(|r| matches!(r, Ok(_) | Err(Error::AlreadyExists(_)))), "{made:?}");
        drop(made);
        unlink(s.text()).unwrap();
        let all = run(&|| RawPool::open_or_create(&options, s.name(), &NOTHING_ABOVE));
        let tags: Vec<_> = all.iter().map(|p| p.as_ref().unwrap().header().tag).collect();
        assert!(tags.iter().all(|t| *t == tags[0]));
        let first = all[0].as_ref().unwrap();
        assert!(all.iter().all(|p| std::ptr::eq(&**p.as_ref().unwrap(), &**first)), "one process, one join");
    }
}

#[test]
fn of_many_processes_that_make_one_pool_one_wins() {
    const TEST: &str = "of_many_processes_that_make_one_pool_one_wins";
    if let Some(name) = as_child(TEST) {
        let pool = RawPool::open_or_create(&Options::new(), Place::Name(&name), &NOTHING_ABOVE).unwrap();
        return println!("tag {:016x}", pool.header().tag);
    }
    let s = Scratch::new();
    let children: Vec<_> = (0..6).map(|_| common::spawn(TEST, s.text())).collect();
    let outputs: Vec<_> = children.into_iter().map(common::finish).collect();
    let tag = format!("tag {:016x}", open(s.name()).unwrap().header().tag);
    assert!(outputs.iter().all(|o| o.contains(&tag)), "{tag}: {outputs:?}");
}

#[test]
fn threads_that_open_and_close_at_the_same_time_never_get_a_closed_pool() {
    let s = Scratch::new();
    let _keep_file = create(&Options::new(), s.name()).map(|p| put(&p, FREE, 42)).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let pool = open(s.name()).unwrap();
                    assert_eq!(get(pool.at(FREE, 8).unwrap().cast()), 42);
                }
            });
        }
    });
    assert_eq!(open(s.name()).unwrap().info().processes, 1);
}

#[test]
fn what_one_grows_the_other_uses_through_the_window_it_has() {
    let s = Scratch::new();
    let a = create(&Options::new(), s.name()).unwrap();
    let b = open_twice(Options::new(), s.name());
    assert_ne!(a.info().base, b.info().base);
    let old = b.at(FREE, 8).unwrap().cast::<u64>();
    grow(&a, 40 * MIB).unwrap();
    put(&a, 40 * MIB - 8, 99);
    put(&a, FREE, 98);
    assert_eq!(get(b.at(40 * MIB - 8, 8).unwrap().cast()), 99);
    assert_eq!(get(old), 98);
    assert_eq!((b.info().moved, b.info().length), (0, 40 * MIB));
}

#[test]
fn a_pool_that_outgrows_its_window_moves_and_old_addresses_stay_good() {
    let s = Scratch::new();
    let a = create(&Options::new(), s.name()).unwrap();
    let b = open_twice(Options::new().window(MIB), s.name());
    let mut taken = Vec::new();
    for (i, length) in [2, 3, 9, 20, 70, 71].map(|n| n * MIB).into_iter().enumerate() {
        let offset = length - 4096;
        grow(&a, length).unwrap();
        put(&a, offset, i as u64);
        taken.push((offset, b.at(offset, 8).unwrap().cast::<u64>()));
        for (i, (offset, address)) in taken.iter().enumerate() {
            assert_eq!(get(*address), i as u64);
            assert_eq!(b.offset_of(address.cast()), Some(*offset));
            assert_eq!(a.offset_of(address.cast()), None);
            let g = aquifer_pool::granule::granule(address.addr());
            assert_eq!(g.resolve(*offset, 8), b.at(*offset, 8).ok(), "every window leads to the newest");
        }
    }
    assert!(b.info().moved >= 4, "{}", b.info().moved);
    assert_eq!(a.info().moved, 0);
    let addresses: Vec<_> = taken.iter().map(|(_, a)| a.addr()).collect();
    drop(b);
    for a in addresses {
        assert!(aquifer_pool::granule::granule(a).base().is_null(), "closed, and gone from the table");
    }
}

#[test]
fn a_reader_that_follows_a_moving_window_always_finds_its_pool() {
    let s = Scratch::new();
    let a = create(&Options::new(), s.name()).unwrap();
    let b = open_twice(Options::new().window(MIB), s.name());
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    while !done.load(Ordering::Acquire) {
                        let length = a.header().length.load(Ordering::Acquire);
                        let address = b.at(length - 8, 8).unwrap();
                        assert_eq!(b.offset_of(address), Some(length - 8));
                        assert_eq!(get(address.cast()), 0);
                    }
                })
            })
            .collect();
        for length in 2..120 {
            grow(&a, length * MIB).unwrap();
        }
        done.store(true, Ordering::Release);
        readers.into_iter().for_each(|r| r.join().unwrap());
    });
}

#[test]
fn a_window_larger_than_a_granule_is_found_from_all_its_addresses() {
    let s = Scratch::new();
    let pool = create(&Options::new().window(150 << 30), s.name()).unwrap();
    assert_eq!(pool.info().window, 150 << 30);
    let base = std::ptr::with_exposed_provenance::<u8>(pool.info().base);
    for offset in [0, 64 << 30, (128 << 30) + 5, (150 << 30) - 1] {
        assert_eq!(pool.offset_of(base.wrapping_add(offset as usize)), Some(offset));
    }
    assert_eq!(pool.offset_of(base.wrapping_add(150 << 30)), None);
}

#[test]
fn private_memory_grows_within_its_window_and_cannot_be_found() {
    let pool = RawPool::private(&Options::new(), &NOTHING_ABOVE).unwrap();
    assert_eq!(pool.info().kind, BackingKind::Private);
    put(&pool, MIB - 8, 5);
    grow(&pool, 9 * MIB).unwrap();
    let last = put(&pool, 9 * MIB - 8, 6);
    assert_eq!(get(last), 6);
}

#[test]
fn a_memfd_refuses_to_shrink() {
    let pool = RawPool::memfd(&Options::new(), &NOTHING_ABOVE).unwrap();
    grow(&pool, 2 * MIB).unwrap();
    let ours = std::fs::read_dir("/proc/self/fd").unwrap().flatten().filter(|entry| {
        std::fs::read_link(entry.path()).is_ok_and(|to| to.to_string_lossy().starts_with("/memfd:aquifer"))
    });
    let mut seen = 0;
    for entry in ours {
        // Other tests' memfds may be closed meanwhile.
        let Ok(file) = File::options().write(true).open(entry.path()) else { continue };
        seen += 1;
        assert_eq!(file.set_len(4096).unwrap_err().raw_os_error(), Some(libc::EPERM));
    }
    assert!(seen > 0);
    put(&pool, 2 * MIB - 8, 1);
}

#[test]
fn who_has_an_unlinked_pool_open_goes_on_with_it() {
    let s = Scratch::new();
    let pool = create(&Options::new(), s.name()).unwrap();
    unlink(s.text()).unwrap();
    refused!(open(s.name()), Error::NoSuchPool(_));
    grow(&pool, 3 * MIB).unwrap();
    put(&pool, 3 * MIB - 8, 3);
    assert_eq!(pool.bury_dead(), 0, "its locks can still be asked for");
    let namesake = create(&Options::new(), s.name()).unwrap();
    assert_ne!(namesake.header().tag, pool.header().tag);
    assert!(!std::ptr::eq(&*pool, &*namesake));
}

#[test]
fn a_file_remembers_its_bytes_and_whether_it_was_closed_in_order() {
    let s = Scratch::new();
    let path = s.path("pool");
    let pool = create(&Options::new().growth(MIB, 2 * MIB), Place::Path(&path)).unwrap();
    put(&pool, FREE, 77);
    assert_eq!(bytes_of(&path, offset_of!(Header, clean) as u64), [0; 4], "in use");
    drop(pool);
    assert_eq!(bytes_of(&path, offset_of!(Header, clean) as u64), 1u32.to_ne_bytes());
    let pool = open(Place::Path(&path)).unwrap();
    assert_eq!(get(pool.at(FREE, 8).unwrap().cast()), 77);
    assert!(pool.info().found_clean);
    assert_eq!((pool.info().kind, pool.info().growth), (BackingKind::File, (MIB, 2 * MIB)));
    let second = open_twice(Options::new(), Place::Path(&path));
    assert!(!second.info().found_clean, "in use by another");
    drop(pool);
    assert_eq!(bytes_of(&path, offset_of!(Header, clean) as u64), [0; 4], "still in use");
    drop(second);
    assert_eq!(bytes_of(&path, offset_of!(Header, clean) as u64), 1u32.to_ne_bytes());
}

#[test]
fn drafts_of_dead_makers_are_swept_and_those_of_living_ones_stay() {
    let s = Scratch::new();
    let (dead, living) = (s.path(".aquifer-draft-dead"), s.path(".aquifer-draft-living"));
    std::fs::write(&dead, "half").unwrap();
    let maker = File::create(&living).unwrap();
    // SAFETY: a plain system call on an open descriptor.
    assert_eq!(unsafe { libc::flock(maker.as_raw_fd(), libc::LOCK_EX) }, 0);
    let path = s.path("pool");
    let pool = create(&Options::new().without_nameless_files(true), Place::Path(&path)).unwrap();
    put(&pool, FREE, 1);
    assert!(!dead.exists() && living.exists());
    let left = std::fs::read_dir(s.path("")).unwrap().flatten().count();
    assert_eq!(left, 2, "the living maker's draft and the pool");
}

/// The story: a child forked between the lock of a record's byte and the closing of that descriptor kept its parent 'alive' for as long as it lived.
#[test]
fn children_forked_while_others_join_keep_no_lock() {
    const TEST: &str = "children_forked_while_others_join_keep_no_lock";
    // Alone in a process: a fork keeps all pools of the process open for a moment, which other tests would notice.
    let Some(_) = as_child(TEST) else { return in_child(TEST, "") };
    let s = Scratch::new();
    let path = s.path("pool");
    drop(create(&Options::new(), Place::Path(&path)).unwrap());
    let mut children = common::Children::default();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let joiner = scope.spawn(|| {
            while !stop.load(Ordering::Acquire) {
                drop(open_twice(Options::new(), Place::Path(&path)));
            }
        });
        for _ in 0..60 {
            children.fork_one();
        }
        stop.store(true, Ordering::Release);
        joiner.join().unwrap();
    });
    assert_eq!(common::locked_beyond_data(&path), None, "a child has inherited a lock");
}
