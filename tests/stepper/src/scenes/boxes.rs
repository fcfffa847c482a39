//! Boxes, options and plain values under a lock.

use super::*;

pub fn scenes() -> Vec<Scene> {
    vec![
        change!(quick "scalar: *guard = x", with_scalar, Scalar, 2, |g| *g = 99),
        change!(long "scalar: twice under one guard", with_scalar, Scalar, 3, |g| {
            *g = 99;
            *g = 100;
        }),
        change!(quick "box: set", with_box, Boxed, 2, |g| g.set(ShBox::new(LONG[1]))),
        change!(long "box: replace", with_box, Boxed, 2, |g| g.replace(ShBox::new(LONG[1]))),
        change!(long "box: get_mut", with_box, Boxed, 2, |g| g.get_mut().push_str(LONG[2])),
        change!(long "option: insert", with_nothing, Maybe, 2, |g| g.insert(LONG[0])),
        change!(long "option: insert over another", with_something, Maybe, 2, |g| g.insert(LONG[1])),
        change!(long "option: get_or_insert", with_nothing, Maybe, 2, |g| g.get_or_insert(LONG[0])),
        change!(long "option: get_or_insert_with", with_nothing, Maybe, 2, |g| g.get_or_insert_with(|| LONG[0])),
        change!(long "option: take", with_something, Maybe, 2, |g| g.take()),
        change!(long "option: as_mut", with_something, Maybe, 2, |g| match g.as_mut() {
            Some(text) => text.push('x'),
            None => Ok(()),
        }),
        change!(long "option: set", with_something, Maybe, 2, |g| g.set(aquifer::NONE)),
    ]
}
