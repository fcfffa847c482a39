//! LMDB through heed, as fast as it goes: mapped for writing, and never synced.

use crate::Result;
use crate::keys::keys;
use heed::byteorder::NativeEndian;
use heed::types::{Bytes, U64};
use heed::{Database, Env, EnvFlags, EnvOpenOptions};
use std::path::Path;

type Number = U64<NativeEndian>;

/// An environment in `/dev/shm` with a database of numbers, and one of ballast.
pub struct Lmdb {
    pub env: Env,
    pub numbers: Database<Number, Number>,
}

impl Lmdb {
    /// Opens it; the database of numbers must be there.
    pub fn open(at: &Path) -> Result<Lmdb> {
        let env = environment(at)?;
        let transaction = env.read_txn()?;
        let numbers = env.open_database(&transaction, Some("numbers"))?.ok_or("no database of numbers")?;
        transaction.commit()?;
        Ok(Lmdb { env, numbers })
    }

    pub fn get(&self, key: u64) -> Result<Option<u64>> {
        let transaction = self.env.read_txn()?;
        Ok(self.numbers.get(&transaction, &key)?)
    }

    pub fn put(&self, key: u64, value: u64) -> Result<()> {
        let mut transaction = self.env.write_txn()?;
        self.numbers.put(&mut transaction, &key, &value)?;
        Ok(transaction.commit()?)
    }

    /// Closes it; a new `open` begins from nothing.
    pub fn close(self) {
        self.env.prepare_for_closing().wait();
    }
}

fn environment(at: &Path) -> Result<Env> {
    let mut options = EnvOpenOptions::new();
    options.map_size(4 << 30).max_dbs(2);
    // SAFETY: memory that no crash of the system outlives need not be synced; nobody else changes the folder, and it is opened once in a process.
    Ok(unsafe { options.flags(EnvFlags::WRITE_MAP | EnvFlags::NO_SYNC).open(at)? })
}

/// Makes the database of numbers with the keys `0..n`, and blocks of 1 MiB beside it.
pub fn fill(at: &Path, n: u64, ballast: u32) -> Result<()> {
    let env = environment(at)?;
    let mut transaction = env.write_txn()?;
    let numbers: Database<Number, Number> = env.create_database(&mut transaction, Some("numbers"))?;
    for key in keys(0..n) {
        numbers.put(&mut transaction, &key, &!key)?;
    }
    let blocks: Database<Number, Bytes> = env.create_database(&mut transaction, Some("ballast"))?;
    let block = vec![7; 1 << 20];
    for i in 0..ballast {
        blocks.put(&mut transaction, &i.into(), &block)?;
    }
    transaction.commit()?;
    env.prepare_for_closing().wait();
    Ok(())
}
