//! Data that another process made, with a lock for each operation, beside LMDB and Redis.

use super::bare::{Touch, bare_table};
use super::map::{LOOKUPS, Ours, ask};
use crate::keys::{keys, queries};
use crate::measure::{awaited, tried};
use crate::partner::in_child;
use crate::peers::lmdb::{self, Lmdb};
use crate::peers::redis::Server;
use crate::row::{Row, Side, Target::*, Trial};
use crate::scratch::Scratch;
use crate::{Result, machine};
use aquifer::Pool;
use std::hint::black_box;
use std::rc::Rc;

const MILLION: u64 = 1_000_000;
/// Keys beside Redis, which takes long to fill.
const FEW: u64 = 100_000;
const LMDB: &str = "LMDB, WRITE_MAP and NO_SYNC";
const ONE: &str = "Redis, one client";
const MANY: &str = "Redis, 50 clients x 16";
const COPY_ON_WRITE: &str =
    "theirs also keeps readers' snapshots, and its transactions could be made durable";
const SERVER: &str = "theirs crosses to a server, which is on the other processor, and back; ours does not survive the machine either";

pub fn rows() -> Vec<Row> {
    vec![
        Row::new("service", "get 100k keys", LMDB, AtMost(0.05), || beside_lmdb(FEW, false))
            .note(COPY_ON_WRITE),
        Row::new("service", "put 100k keys", LMDB, AtMost(0.1), || beside_lmdb(FEW, true))
            .note(COPY_ON_WRITE),
        Row::new("service", "get 1M keys", LMDB, AtMost(0.05), || beside_lmdb(MILLION, false))
            .note(COPY_ON_WRITE),
        Row::new("service", "put 1M keys", LMDB, AtMost(0.1), || beside_lmdb(MILLION, true))
            .note(COPY_ON_WRITE),
        Row::new("service", "get 100k keys", ONE, AtMost(0.005), || beside_one_client(false)).note(SERVER),
        Row::new("service", "put 100k keys", ONE, AtMost(0.005), || beside_one_client(true)).note(SERVER),
        Row::new("service", "get 100k keys", MANY, AtMost(0.1), || beside_many_clients(false)).note(SERVER),
        Row::new("service", "put 100k keys", MANY, AtMost(0.1), || beside_many_clients(true)).note(SERVER),
    ]
}

/// A map in a pool that another process has made and left.
struct Made {
    map: Ours,
    _name: Scratch,
}

impl Made {
    fn new(n: u64) -> Result<Made> {
        let name = Scratch::new("service");
        in_child(machine::Cores::get()?.second, || {
            let pool = Pool::create(name.name())?;
            let map: Ours = pool.named("map")?;
            map.write()?.extend(keys(0..n).map(|k| (k, !k)))?;
            Ok(())
        })?;
        Ok(Made { map: Pool::open(name.name())?.named("map")?, _name: name })
    }

    /// Gets or puts, a lock for each.
    fn asked(self, questions: Rc<[u64]>, put: bool) -> Side {
        if !put {
            return Box::new(move || Ok(ask(&questions, |k| self.map.read().ok()?.get(&k).copied())));
        }
        let rounds = LOOKUPS.div_ceil(questions.len());
        Box::new(move || {
            tried(rounds * questions.len(), || {
                (0..rounds).flat_map(|_| questions.iter()).try_for_each(|k| {
                    self.map.write()?.insert(*k, *k)?;
                    Ok::<(), aquifer::Error>(())
                })
            })
        })
    }
}

fn beside_lmdb(n: u64, put: bool) -> Result<Trial> {
    let questions = queries(0..n);
    let ours = Made::new(n)?.asked(questions.clone(), put);
    let folder = Scratch::folder("lmdb")?;
    in_child(machine::Cores::get()?.second, || lmdb::fill(&folder.path(), n, 0))?;
    let lmdb = Lmdb::open(&folder.path())?;
    let theirs = move || {
        let _ = &folder;
        let some = &questions[..questions.len().min(50_000)];
        tried(some.len(), || {
            some.iter().try_for_each(|k| {
                if put {
                    return lmdb.put(*k, *k);
                }
                black_box(lmdb.get(*k)?);
                Ok(())
            })
        })
    };
    Ok(Trial::new(ours, theirs).limit(bare_table(
        n,
        0..n,
        if put { Touch::LockedPut } else { Touch::MarkedGet },
    )))
}

fn command(key: u64, put: bool) -> redis::Cmd {
    let key = key.to_le_bytes();
    let mut command = redis::cmd(if put { "SET" } else { "GET" });
    command.arg(&key[..]);
    if put {
        command.arg(&key[..]);
    }
    command
}

fn beside_one_client(put: bool) -> Result<Trial> {
    let questions = queries(0..FEW);
    let ours = Made::new(FEW)?.asked(questions.clone(), put);
    let server = Server::with_keys(FEW)?;
    let mut client = server.connect()?;
    let commands: Vec<redis::Cmd> = questions.iter().take(2000).map(|k| command(*k, put)).collect();
    let theirs = move || {
        let _ = &server;
        awaited(commands.len(), || commands.iter().try_for_each(|c| c.query(&mut client).map(discard)))
    };
    Ok(Trial::new(ours, theirs))
}

fn discard(answer: redis::Value) {
    black_box(answer);
}

/// Every client sends its commands before any answer is read, so that the server always has work.
fn beside_many_clients(put: bool) -> Result<Trial> {
    const CLIENTS: usize = 50;
    const PIPELINE: usize = 16;
    const ROUNDS: usize = 40;
    let questions = queries(0..FEW);
    let ours = Made::new(FEW)?.asked(questions.clone(), put);
    let server = Server::with_keys(FEW)?;
    let mut clients = (0..CLIENTS).map(|_| server.connect()).collect::<Result<Vec<_>>>()?;
    let pipelines: Vec<Vec<u8>> = questions
        .chunks_exact(PIPELINE)
        .take(CLIENTS * ROUNDS)
        .map(|some| some.iter().flat_map(|k| command(*k, put).get_packed_command()).collect())
        .collect();
    let theirs = move || {
        let _ = &server;
        awaited(pipelines.len() * PIPELINE, || {
            for round in pipelines.chunks(CLIENTS) {
                for (client, commands) in clients.iter_mut().zip(round) {
                    client.send_packed_command(commands)?;
                }
                for client in &mut clients {
                    for _ in 0..PIPELINE {
                        discard(client.recv_response()?);
                    }
                }
            }
            Ok::<(), redis::RedisError>(())
        })
    };
    Ok(Trial::new(ours, theirs))
}
