//! Images: the bytes of pools, at rest and in use, and files that hold them.

use super::{Damage, subjects};
use aquifer::{Error, Pool, ShRwLock, ShVec, from_iter};
use aquifer_pool::layout::Header;
use std::alloc::Layout;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::LazyLock;

/// The bytes of a pool, and where something stands in them.
#[derive(Clone, Debug)]
pub struct Image {
    pub bytes: Vec<u8>,
    /// Words that are not 0.
    used: std::sync::Arc<[u32]>,
}

/// A file without a name that holds an image.
pub struct ImageFile(OwnedFd);

/// What inputs damage: a pool that was closed in order, and copies of pools in use.
pub static IMAGES: LazyLock<Vec<Image>> =
    LazyLock::new(|| vec![at_rest(), in_the_midst_of_a_transaction(), while_an_object_is_built()]);

fn pool() -> Pool {
    let pool = Pool::options().size(0).growth(64 << 10, 64 << 10).window(1).seed(7).memfd().expect("a pool");
    subjects::make_all(&pool).expect("all objects");
    let held =
        pool.named_with::<ShRwLock<ShVec<u64>>, _>("removed", || ShRwLock::new([1; 100])).expect("an object");
    assert!(pool.remove("removed").expect("removing it"));
    pool.alloc(Layout::new::<[u8; 100]>()).expect("a block by hand");
    std::mem::forget(held);
    pool
}

/// As the last process leaves it.
fn at_rest() -> Image {
    let mut image = Image::of(&pool());
    // The copy has its maker in it, who is dead for whoever opens it: so let one open it and leave.
    let file = image.file();
    drop(Pool::options().window(1).open(file.path()).expect("a sound image"));
    image = file.read();
    image
}

/// Copied while a transaction has changed several objects, and locks are held.
fn in_the_midst_of_a_transaction() -> Image {
    let pool = pool();
    let stock = pool.look_up::<subjects::Stock>("stock").expect("it").expect("it");
    let numbers = pool.look_up::<subjects::Numbers>("numbers").expect("it").expect("it");
    let items = pool.look_up::<subjects::Items>("items").expect("it").expect("it");
    let _reading = items.read().expect("a lock");
    let mut image = None;
    let _ = pool.transaction(|tx| {
        let (stock, numbers) = (tx.write(&stock)?, tx.write(&numbers)?);
        stock.insert("in the midst of it, and so long that it needs a block", [1, 2, 3])?;
        stock.remove("a text that is to6");
        stock.remove("a 1");
        (0..100).try_for_each(|i| numbers.insert(i).map(drop))?;
        image = Some(Image::of(&pool));
        Err::<(), _>(Error::abort("copied"))
    });
    image.expect("a copy")
}

/// Copied while an object is being built.
fn while_an_object_is_built() -> Image {
    let pool = pool();
    let mut image = None;
    let items = (0..600u64).inspect(|i| {
        if *i == 550 {
            image = Some(Image::of(&pool));
        }
    });
    pool.named_with::<ShRwLock<ShVec<u64>>, _>("half built", || ShRwLock::new(from_iter(items)))
        .expect("an object");
    image.expect("a copy")
}

impl Image {
    fn of(pool: &Pool) -> Image {
        let length = pool.info().length;
        let at = pool.raw().at(0, length).expect("all of the pool");
        let mut bytes = vec![0; length as usize];
        // SAFETY: in bounds by `at`; nobody else works on the pool.
        unsafe { std::ptr::copy_nonoverlapping(at, bytes.as_mut_ptr(), bytes.len()) };
        Image::from(bytes)
    }

    fn from(bytes: Vec<u8>) -> Image {
        let words = bytes.chunks_exact(8).enumerate();
        let used = words.filter(|(_, w)| w.iter().any(|b| *b != 0)).map(|(i, _)| i as u32).collect();
        Image { bytes, used }
    }

    /// Puts it into a file.
    pub fn file(&self) -> ImageFile {
        let fd = rustix::fs::memfd_create("aquifer-image", rustix::fs::MemfdFlags::CLOEXEC).expect("a file");
        let mut done = 0;
        while done < self.bytes.len() {
            done += rustix::io::pwrite(&fd, &self.bytes[done..], done as u64).expect("room for an image");
        }
        ImageFile(fd)
    }

    fn word(&self, number: u16) -> usize {
        self.used[number as usize % self.used.len()] as usize * 8
    }

    fn read(&self, at: usize) -> u64 {
        self.bytes.get(at..at + 8).map_or(0, |b| u64::from_le_bytes(b.try_into().expect("8 bytes")))
    }

    fn write(&mut self, at: usize, bytes: &[u8]) {
        if let Some(to) = self.bytes.get_mut(at..at + bytes.len()) {
            to.copy_from_slice(bytes);
        }
    }

    /// Says that it was closed in order.
    pub fn close(&mut self) {
        self.write(std::mem::offset_of!(Header, clean), &1u32.to_le_bytes());
    }

    pub fn apply(&mut self, damage: Damage) {
        let len = self.bytes.len().max(1);
        match damage {
            Damage::Flip { word, bit } => {
                let at = self.word(word);
                let now = self.read(at) ^ 1 << (bit % 64);
                self.write(at, &now.to_le_bytes());
            }
            Damage::Number { word, number } => self.write(self.word(word), &number.value().to_le_bytes()),
            Damage::Copy { word, from } => {
                self.write(self.word(word), &self.read(self.word(from)).to_le_bytes())
            }
            Damage::Swap { word, with } => {
                let (one, other) = (self.read(self.word(word)), self.read(self.word(with)));
                self.write(self.word(word), &other.to_le_bytes());
                self.write(self.word(with), &one.to_le_bytes());
            }
            Damage::Byte { place, value } => self.write(place as usize % len, &[value]),
            Damage::Zero { place, len: n, pages } => {
                let n = if pages { (n as usize % 4 + 1) * 4096 } else { n as usize % 64 + 1 };
                let at = if pages { place as usize % len & !4095 } else { place as usize % len };
                let end = (at + n).min(self.bytes.len());
                self.bytes.get_mut(at..end).into_iter().for_each(|b| b.fill(0));
            }
            Damage::Splice { from, to, len: n } => {
                let (from, to) = (from as usize % len, to as usize % len);
                let n = (n as usize + 1).min(self.bytes.len().saturating_sub(from.max(to)));
                self.bytes.copy_within(from..from + n, to);
            }
            Damage::Truncate { place } => self.bytes.truncate(place as usize % len),
            Damage::Lengthen { pages } => self.bytes.resize(self.bytes.len() + pages as usize * 4096 + 1, 0),
        }
    }
}

impl ImageFile {
    pub fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }

    fn read(&self) -> Image {
        let mut bytes = vec![0; rustix::fs::fstat(&self.0).expect("a file").st_size as usize];
        let mut done = 0;
        while done < bytes.len() {
            done +=
                rustix::io::pread(&self.0, &mut bytes[done..], done as u64).expect("bytes that are there");
        }
        Image::from(bytes)
    }
}
