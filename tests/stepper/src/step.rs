//! One scene, stepped through.

use crate::burial::{self, Shared};
use crate::image::{self, Image, Watch};
use crate::judge::{Verdict, judge, recover};
use crate::scene::{Scene, Stage};
use crate::trace::{Step, Traced};
use crate::{adversary, plants};
use aquifer::Pool;
use std::error::Error;
use std::path::{Path, PathBuf};

/// How much is made of each state.
#[derive(Clone, Copy)]
pub struct Depth {
    /// One state in so many is buried step by step, at first;
    pub burials: usize,
    /// when that has given so many states, one in twice as many, and so on.
    pub patience: u64,
    /// Operations of fewer instructions are killed at each of them.
    pub kills_below: u64,
}

impl Depth {
    pub const ALL: Depth = Depth { burials: 1, patience: 4000, kills_below: 600 };
    pub const QUICK: Depth = Depth { burials: 4, patience: 300, kills_below: 350 };
}

/// What became of one operation's states.
#[derive(Default)]
pub struct Tally {
    pub instructions: u64,
    /// States that were recovered, checked and compared.
    pub states: u64,
    pub kills: u64,
    pub broken: u64,
    /// Commit stores that were stepped over.
    pub reached: u64,
    /// The first that was broken.
    pub first: Option<String>,
}

impl Tally {
    pub fn bad(&mut self, what: String) {
        self.broken += 1;
        self.first.get_or_insert(what);
    }

    /// Counts a state, which must have that outcome.
    fn expect(&mut self, outcome: &Verdict, found: &Verdict, when: impl Fn() -> String) {
        self.states += 1;
        match (outcome, found) {
            (_, Err(e)) => self.bad(format!("{}: {e}", when())),
            (Ok(a), Ok(b)) if a != b => self.bad(format!("{}: {b}\n    but else: {a}", when())),
            _ => {}
        }
    }
}

/// The files of a scene.
struct Files {
    pool: PathBuf,
    copy: PathBuf,
    cut: PathBuf,
}

pub fn through(scene: &Scene, folder: &Path, depth: Depth) -> Result<Tally, Box<dyn Error>> {
    let file = |what: &str| folder.join(what);
    let pool = if scene.setup.is_some() { pool_beside(folder) } else { file("pool") };
    let files = Files { pool, copy: file("copy"), cut: file("cut") };
    let before = set_up(scene, &files.pool)?;
    let mut tally = Tally::default();
    let outcomes = cut_everywhere(scene, &files, depth, &mut tally)?;
    if tally.instructions < depth.kills_below {
        kill_everywhere(scene, &files, &before, &outcomes, &mut tally)?;
    }
    Ok(tally)
}

/// The pool of a scene stands in `/dev/shm` itself, so that it has a name for `Pool::unlink`; one that is to be made, in the folder.
pub fn pool_beside(folder: &Path) -> PathBuf {
    let parts: Vec<_> = folder.iter().skip(3).map(|part| part.to_string_lossy()).collect();
    Path::new("/dev/shm").join(parts.join("-"))
}

fn set_up(scene: &Scene, path: &Path) -> Result<Image, Box<dyn Error>> {
    if let Some(setup) = scene.setup {
        let options = Pool::options().size(0).growth(64 << 10, 64 << 10).window(64 << 20);
        let options = if scene.limit == 0 { options } else { options.hard_limit(scene.limit) };
        let pool = options.create(path)?;
        setup(&pool)?;
    }
    Ok(image::take(path)?)
}

/// Steps through the operation; every state is recovered as it is, with an adversary, and by a burier that is itself killed.
fn cut_everywhere(
    scene: &Scene,
    files: &Files,
    depth: Depth,
    tally: &mut Tally,
) -> Result<Vec<String>, Box<dyn Error>> {
    let stage = Stage { path: files.pool.clone() };
    let child = Traced::start(|| (scene.operation)(&stage))?;
    let mut watch = Watch::on(&files.pool)?;
    let shared = Shared::new()?;
    let mut outcomes: Vec<(String, u64)> = Vec::new();
    let (mut every, mut made) = (depth.burials, 0);
    for state in 0.. {
        let outcome = look(scene, files, watch.image(), tally);
        if state % every == 0 {
            made += cut_burial(scene, files, watch.image(), &outcome, &shared, tally);
        }
        if made >= depth.patience {
            (every, made) = (every * 2, 0);
        }
        if let Ok(seen) = outcome
            && outcomes.last().is_none_or(|(last, _)| *last != seen)
        {
            outcomes.push((seen, tally.instructions));
        }
        if !next(&child, &mut watch, tally)? {
            break;
        }
    }
    tally.reached |= plants::reached_by(&child);
    judge_outcomes(&outcomes, scene.outcomes, tally);
    Ok(outcomes.into_iter().map(|(o, _)| o).collect())
}

/// Goes on to the next state; false at the end.
fn next(child: &Traced, watch: &mut Watch, tally: &mut Tally) -> Result<bool, Box<dyn Error>> {
    loop {
        crate::patience::renew();
        match child.step()? {
            Step::Done => tally.instructions += 1,
            Step::Lost(why) => {
                return Err(format!("the child {why} after instruction {}", tally.instructions).into());
            }
            Step::End => return Ok(false),
        }
        if watch.changed()? {
            return Ok(true);
        }
    }
}

/// Recovers a state as it is, and with an adversary.
fn look(scene: &Scene, files: &Files, image: &Image, tally: &mut Tally) -> Verdict {
    let at = tally.instructions;
    let outcome = judge(scene, &files.copy, image);
    tally.expect(&outcome, &outcome, || format!("after instruction {at}"));
    if image.is_some() {
        let met = adversary::meddle(scene, &files.copy, image);
        tally.expect(&outcome, &met, || format!("after instruction {at}, with an adversary"));
    }
    outcome
}

/// Buries the dead of a state, and recovers every state of the burial; returns how many there were.
fn cut_burial(
    scene: &Scene,
    files: &Files,
    image: &Image,
    outcome: &Verdict,
    shared: &Shared,
    tally: &mut Tally,
) -> u64 {
    let Some(bytes) = image else { return 0 };
    let at = tally.instructions;
    let mut store = 0;
    let cut = burial::cut(&files.cut, bytes, shared, |image| {
        crate::patience::renew();
        store += 1;
        let found = judge(scene, &files.copy, image);
        tally.expect(outcome, &found, || {
            format!("after instruction {at}, its burier killed after store {store}")
        });
    });
    match cut {
        Ok(reached) => tally.reached |= reached,
        Err(e) => tally.bad(format!("after instruction {at}, burial: {e}")),
    }
    store
}

/// The operation happened or not: from one outcome to the next, and never back.
fn judge_outcomes(outcomes: &[(String, u64)], allowed: usize, tally: &mut Tally) {
    if outcomes.len() != allowed {
        let list: Vec<String> = outcomes.iter().map(|(s, i)| format!("from instruction {i}: {s}")).collect();
        tally.bad(format!("{} outcomes instead of {allowed}:\n    {}", outcomes.len(), list.join("\n    ")));
    }
}

/// Kills the child after each of its instructions, and recovers the pool itself.
fn kill_everywhere(
    scene: &Scene,
    files: &Files,
    before: &Image,
    outcomes: &[String],
    tally: &mut Tally,
) -> Result<(), Box<dyn Error>> {
    let stage = Stage { path: files.pool.clone() };
    let mut reached = 0;
    for instructions in 0.. {
        crate::patience::renew();
        image::put(&files.pool, before)?;
        let child = Traced::start(|| (scene.operation)(&stage))?;
        for _ in 0..instructions {
            match child.step()? {
                Step::Done => {}
                Step::End => return Ok(()),
                Step::Lost(why) => return Err(format!("the child {why}").into()),
            }
        }
        drop(child);
        tally.kills += 1;
        match recover(scene, &files.pool) {
            Err(e) => tally.bad(format!("killed after instruction {instructions}: {e}")),
            Ok(found) => match outcomes.iter().skip(reached).position(|o| *o == found) {
                Some(further) => reached += further,
                None => tally.bad(format!("killed after instruction {instructions}: {found}")),
            },
        }
    }
    Ok(())
}
