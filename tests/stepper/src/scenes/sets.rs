//! Sets.

use super::*;

pub fn scenes() -> Vec<Scene> {
    vec![
        change!(long "set: insert", with_ids, Ids, 2, |g| g.insert(9)),
        change!(long "set: remove", with_ids, Ids, 2, |g| g.remove(&2)),
        change!(long "set: retain, one by one", with_ids, Ids, 3, |g| g.retain(|k| *k == 2)),
        change!(long "set: clear", with_ids, Ids, 2, |g| g.clear()),
        change!(long "set: reserve", with_ids, Ids, 1, |g| g.reserve(100)),
        change!(long "set: shrink_to_fit", with_ids, Ids, 1, |g| g.shrink_to_fit()),
        change!(long "set: extend, one by one", with_ids, Ids, 3, |g| g.extend([8u64, 9])),
        change!(long "set of strings: insert", with_tags, Tags, 2, |g| g.insert(LONG[2])),
        change!(long "set of strings: remove", with_tags, Tags, 2, |g| g.remove(LONG[0])),
        change!(long "set of strings: clear", with_tags, Tags, 2, |g| g.clear()),
    ]
}
