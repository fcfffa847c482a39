//! Strings, in place and in a block.

use super::*;

pub fn scenes() -> Vec<Scene> {
    vec![
        change!(long "string: push_str in place", with_text, Text, 2, |g| g.push_str("!")),
        change!(quick "string: push_str to the heap", with_text, Text, 2, |g| g.push_str(LONG[1])),
        change!(long "string: push_str that grows", with_long_text, Text, 2, |g| g.push_str(LONG[1])),
        change!(long "string: push", with_long_text, Text, 2, |g| g.push('ß')),
        change!(long "string: pop", with_text, Text, 2, |g| {
            g.pop();
        }),
        change!(long "string: truncate", with_long_text, Text, 2, |g| g.truncate(6)),
        change!(long "string: clear", with_long_text, Text, 2, |g| g.clear()),
        change!(long "string: insert_str", with_long_text, Text, 2, |g| g.insert_str(7, "longer ")),
        change!(long "string: insert", with_text, Text, 2, |g| g.insert(4, 'ü')),
        change!(long "string: reserve", with_text, Text, 1, |g| g.reserve(200)),
        change!(quick "string: set", with_long_text, Text, 2, |g| g.set(LONG[1])),
        change!(long "string: replace", with_long_text, Text, 2, |g| g.replace("short")),
    ]
}
