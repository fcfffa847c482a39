//! Texts as keys are compared with what they are looked up by.

use super::World;
use crate::raw::ptr::Reach;
use crate::{ShString, ShVec};

/// Ninety letters, no two neighbours alike.
fn letters() -> String {
    (0..90u8).map(|i| char::from(b'a' + i % 26)).collect()
}

/// A text is itself, and no other of any length, and none with another byte.
fn is_itself_alone(text: &ShString, len: usize) {
    let is = |other: &str| text.header.is_text(other.as_bytes(), Reach::of(text));
    let all = letters();
    assert!((0..=all.len()).all(|n| is(&all[..n]) == (n == len)), "{len} bytes");
    for i in 0..len {
        let mut other = all[..len].to_string();
        other.replace_range(i..=i, "#");
        assert!(!is(&other), "byte {i} of {len}");
    }
}

#[test]
fn a_text_is_itself_and_no_other_wherever_it_stands() {
    let mut world = World::<ShVec<ShString>>::new(true);
    let all = letters();
    for len in 0..=80 {
        let texts = world.place();
        texts.push(&all[..len]).unwrap();
        // Cut, it stays in its block.
        texts.push(&all).unwrap();
        texts[1].truncate(len);
        is_itself_alone(&texts[0], len);
        is_itself_alone(&texts[1], len);
        texts.clear();
    }
    world.check();
}
