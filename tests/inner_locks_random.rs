//! Programs of random steps on locks within locks, with loans, values taken out, locks lent and transactions that fail, killed anywhere: no block has two owners
//! or none, no value is torn, and no lock stays taken.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use aquifer::{DefaultInPool, Error, Named, Place, Pool, Relocatable, ShMutex, ShString, ShVec};
use std::sync::atomic::Ordering;
use std::time::Duration;
use support::{Board, Child, Random, until};

/// All numbers in it are the same.
type Leaf = ShMutex<ShVec<u64>>;
type Branch = ShMutex<Node<Leaf>>;
type Tree = ShMutex<Node<Branch>>;

#[derive(Relocatable, DefaultInPool)]
#[repr(C)]
struct Node<T> {
    plain: [u64; 4],
    list: ShVec<T>,
    names: ShVec<ShString>,
    others: ShVec<ShString>,
}

const NAME: &str = "a name far too long to be kept inside the value itself";
const KILLS: u64 = 150;
const MOST_STEPS: u64 = 400;

/// What a program's parts share.
struct Program<'a> {
    random: Random,
    steps: &'a Board,
}

impl Program<'_> {
    fn below(&mut self, n: u64) -> u64 {
        self.random.below(n)
    }

    /// One of so many, or none.
    fn one_of(&mut self, len: usize) -> Option<usize> {
        (len > 0).then(|| self.below(len as u64) as usize)
    }

    fn count_step(&self) {
        self.steps[0].fetch_add(1, Ordering::SeqCst);
    }
}

/// What can be done to a value in a program.
trait Subject: Relocatable<Access = Place<Self>> + Sized {
    fn push_to(list: &mut Place<ShVec<Self>>, p: &mut Program<'_>, at: Option<usize>) -> Result<(), Error>;
    fn work(&self, p: &mut Program<'_>) -> Result<(), Error>;
    fn work_lent(place: &mut Place<Self>, p: &mut Program<'_>) -> Result<(), Error>;
}

impl Subject for Leaf {
    fn push_to(list: &mut Place<ShVec<Self>>, p: &mut Program<'_>, at: Option<usize>) -> Result<(), Error> {
        let (tag, len) = (p.below(1000), p.below(40));
        let new = ShMutex::new(aquifer::from_iter((0..len).map(|_| tag)));
        match at {
            Some(at) => list.insert(at, new),
            None => list.push(new),
        }
    }

    fn work(&self, p: &mut Program<'_>) -> Result<(), Error> {
        numbers(&mut self.lock()?, p)
    }

    fn work_lent(place: &mut Place<Self>, p: &mut Program<'_>) -> Result<(), Error> {
        numbers(place.get_mut()?, p)
    }
}

fn numbers(numbers: &mut Place<ShVec<u64>>, p: &mut Program<'_>) -> Result<(), Error> {
    for _ in 0..p.below(3) {
        p.count_step();
        let tag = numbers.first().copied().unwrap_or(7);
        match p.below(5) {
            0 => numbers.push(tag)?,
            1 => numbers.extend_from_slice(&vec![tag; p.below(60) as usize])?,
            2 => numbers.clear(),
            3 => numbers.shrink_to_fit()?,
            _ => drop(numbers.pop()),
        }
    }
    Ok(())
}

impl Subject for Branch {
    fn push_to(list: &mut Place<ShVec<Self>>, _: &mut Program<'_>, at: Option<usize>) -> Result<(), Error> {
        let new = ShMutex::new(Node::<Leaf>::empty());
        match at {
            Some(at) => list.insert(at, new),
            None => list.push(new),
        }
    }

    fn work(&self, p: &mut Program<'_>) -> Result<(), Error> {
        let mut guard = self.lock()?;
        for _ in 0..p.below(3) {
            node(&mut guard, p)?;
        }
        if p.below(4) == 0 {
            guard.commit();
        }
        Ok(())
    }

    fn work_lent(place: &mut Place<Self>, p: &mut Program<'_>) -> Result<(), Error> {
        node(place.get_mut()?, p)
    }
}

/// Some steps on a node, with or without a loan of its plain data, and a value taken out of it.
fn node<T: Subject>(node: &mut NodeMut<T>, p: &mut Program<'_>) -> Result<(), Error> {
    if p.below(2) == 0 {
        return steps(node.list_mut(), p);
    }
    if p.below(3) == 0 {
        node.names_mut().push(NAME)?;
    }
    let NodeFields { plain, list, names, others } = node.fields_mut();
    let number = p.below(1000);
    plain[..2].fill(number);
    let taken = if p.below(2) == 0 { names.pop() } else { None };
    steps(list, p)?;
    match taken {
        Some(name) if p.below(2) == 0 => others.push(name)?,
        taken => drop(taken),
    }
    steps(list, p)?;
    plain[2..].fill(number);
    plain[..2].fill(number);
    Ok(())
}

fn steps<T: Subject>(list: &mut Place<ShVec<T>>, p: &mut Program<'_>) -> Result<(), Error> {
    for _ in 0..p.below(5) {
        p.count_step();
        let at = p.one_of(list.len());
        match (p.below(12), at) {
            (0..3, _) => T::push_to(list, p, None)?,
            (3, at) => T::push_to(list, p, at)?,
            (4, Some(at)) => drop(list.remove(at)),
            (5, Some(at)) => list.swap(0, at),
            (6, Some(at)) => T::work_lent(&mut list[at], p)?,
            (7, _) => list.shrink_to_fit()?,
            (8, _) if p.below(4) == 0 => list.reverse()?,
            (9, Some(at)) => {
                T::work_lent(&mut list[at], p)?;
                list[at].work(p)?;
            }
            (_, Some(at)) => list[at].work(p)?,
            _ => {}
        }
        if list.len() > 12 {
            list.truncate(6);
        }
    }
    Ok(())
}

fn run(tree: &Tree, p: &mut Program<'_>) -> ! {
    loop {
        if p.below(3) == 0 {
            let fails = p.below(2) == 0;
            let result = tree.transaction(|t| {
                node(t, p)?;
                if fails { Err(Error::abort("on purpose")) } else { Ok(()) }
            });
            let in_order = match result {
                Err(Error::Aborted(_)) | Err(Error::TooManyWriteLocks(_)) | Ok(()) => true,
                Err(_) => false,
            };
            assert!(in_order, "{result:?}");
            continue;
        }
        let mut guard = tree.lock().unwrap();
        for _ in 0..p.below(4) {
            node(&mut guard, p).unwrap();
        }
    }
}

fn look(node: &ShMutex<Node<Branch>>) {
    let tree = node.try_lock().unwrap();
    assert!(tree.plain.iter().all(|n| *n == tree.plain[0]), "torn: {:?}", tree.plain);
    assert!(tree.names.iter().all(|n| n == NAME));
    for branch in tree.list.iter() {
        let branch = branch.try_lock().unwrap();
        assert!(branch.plain.iter().all(|n| *n == branch.plain[0]), "torn: {:?}", branch.plain);
        assert!(branch.names.iter().all(|n| n == NAME));
        for leaf in branch.list.iter() {
            let leaf = leaf.try_lock().unwrap();
            assert!(leaf.iter().all(|n| *n == leaf[0] || *n == 7), "{:?}", leaf.as_slice());
        }
    }
}

#[test]
fn programs_of_random_steps_killed_anywhere() {
    let pool: Pool = Pool::options().growth(64 << 10, 1 << 20).memfd().unwrap();
    let tree: Named<Tree> = pool.named("tree").unwrap();
    let board = Board::new(1);
    let mut random = Random::from_environment(11);
    for round in 0..KILLS {
        board[0].store(0, Ordering::SeqCst);
        let seed = random.next();
        let child = Child::fork(|_| run(&tree, &mut Program { random: Random::new(seed), steps: &board }));
        let steps = 1 + random.below(MOST_STEPS);
        until("steps", || board[0].load(Ordering::SeqCst) >= steps || child.has_ended());
        std::thread::sleep(Duration::from_micros(random.below(50)));
        child.kill();
        pool.bury_dead();
        look(&tree);
        let report = pool.check().unwrap();
        assert!(report.is_clean(), "round {round}: {report}");
    }
}

/// Who goes on with what the dead have left gets the tree while the burier is still at work.
#[test]
fn a_program_goes_on_while_another_is_killed() {
    let pool: Pool = Pool::options().growth(64 << 10, 1 << 20).memfd().unwrap();
    let tree: Named<Tree> = pool.named("tree").unwrap();
    let boards = [Board::new(1), Board::new(1)];
    let mut random = Random::from_environment(12);
    let start = |i: usize, seed| {
        boards[i][0].store(0, Ordering::SeqCst);
        Child::fork(|_| run(&tree, &mut Program { random: Random::new(seed), steps: &boards[i] }))
    };
    let mut children = [start(0, 1), start(1, 2)];
    for round in 0..KILLS as usize {
        let victim = round % 2;
        let steps = 1 + random.below(MOST_STEPS);
        until("steps", || boards[victim][0].load(Ordering::SeqCst) >= steps || children[victim].has_ended());
        let next = start(victim, random.next());
        std::mem::replace(&mut children[victim], next).kill();
    }
    for child in children {
        child.kill();
    }
    pool.bury_dead();
    look(&tree);
    let report = pool.check().unwrap();
    assert!(report.is_clean(), "{report}");
}
