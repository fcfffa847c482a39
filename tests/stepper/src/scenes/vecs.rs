//! Vectors of plain and of owning elements.

use super::*;

pub fn scenes() -> Vec<Scene> {
    let mut scenes = one_element();
    scenes.extend(many_elements());
    scenes.extend(through_references());
    scenes.extend(owning());
    scenes
}

fn one_element() -> Vec<Scene> {
    vec![
        change!(quick "vec: push with room", with_numbers, Numbers, 2, |g| g.push(99)),
        change!(quick "vec: push that grows", with_full_numbers, Numbers, 2, |g| g.push(99)),
        change!(long "vec: push, the first", |p| sit(p).and(p.named::<Numbers>("numbers").map(drop)), Numbers, 2, |g| g.push(99)),
        change!(long "vec: pop", with_numbers, Numbers, 2, |g| g.pop()),
        change!(quick "vec: insert in the middle", with_numbers, Numbers, 2, |g| g.insert(2, 99)),
        change!(long "vec: insert that grows", with_full_numbers, Numbers, 2, |g| g.insert(2, 99)),
        change!(quick "vec: remove from the middle", with_numbers, Numbers, 2, |g| g.remove(2)),
        change!(long "vec: swap_remove", with_numbers, Numbers, 2, |g| g.swap_remove(2)),
        change!(long "vec: swap", with_numbers, Numbers, 2, |g| g.swap(1, 5)),
    ]
}

fn many_elements() -> Vec<Scene> {
    vec![
        change!(long "vec: truncate", with_numbers, Numbers, 2, |g| g.truncate(3)),
        change!(long "vec: clear", with_numbers, Numbers, 2, |g| g.clear()),
        change!(long "vec: extend, one by one", with_numbers, Numbers, 4, |g| g.extend([7u64, 8, 9])),
        change!(quick "vec: extend_from_slice", with_numbers, Numbers, 2, |g| g.extend_from_slice(&[7, 8, 9])),
        change!(long "vec: extend_from_slice that grows", with_full_numbers, Numbers, 2, |g| g.extend_from_slice(&[7; 20])),
        change!(long "vec: retain", with_numbers, Numbers, 2, |g| g.retain(|n| n % 2 != 0)),
        change!(long "vec: dedup", with_numbers, Numbers, 2, |g| g.dedup()),
        change!(long "vec: sort", with_numbers, Numbers, 2, |g| g.sort()),
        change!(long "vec: sort_by", with_numbers, Numbers, 2, |g| g.sort_by(|a, b| b.cmp(a))),
        change!(long "vec: sort_by_key", with_numbers, Numbers, 2, |g| g.sort_by_key(|n| n % 5)),
        change!(long "vec: reverse", with_numbers, Numbers, 2, |g| g.reverse()),
        change!(long "vec: reserve", with_full_numbers, Numbers, 1, |g| g.reserve(100)),
        change!(long "vec: shrink_to_fit", with_numbers, Numbers, 1, |g| g.shrink_to_fit()),
        change!(long "vec: set", with_numbers, Numbers, 2, |g| g.set([7u64, 8, 9])),
        change!(long "vec: replace", with_numbers, Numbers, 2, |g| g.replace([7u64, 8, 9])),
    ]
}

fn through_references() -> Vec<Scene> {
    vec![
        change!(long "vec: an element by index", with_numbers, Numbers, 2, |g| g[3] = 99),
        change!(long "vec: get_mut", with_numbers, Numbers, 2, |g| g.get_mut(3).map(|n| *n = 99)),
        change!(long "vec: first_mut", with_numbers, Numbers, 2, |g| g.first_mut().map(|n| *n = 99)),
        change!(long "vec: last_mut", with_numbers, Numbers, 2, |g| g.last_mut().map(|n| *n = 99)),
        change!(long "vec: iter_mut, one by one", with_numbers, Numbers, 9, |g| g.iter_mut().for_each(|n| *n += 50)),
        change!(quick "vec: as_mut_slice", with_numbers, Numbers, 2, |g| {
            g.as_mut_slice()?.fill(1);
            Ok::<(), Error>(())
        }),
    ]
}

fn owning() -> Vec<Scene> {
    vec![
        change!(quick "vec of strings: push", with_names, Names, 2, |g| g.push(LONG[1])),
        change!(long "vec of strings: insert first", with_names, Names, 2, |g| g.insert(0, LONG[1])),
        change!(quick "vec of strings: remove", with_names, Names, 2, |g| g.remove(1)),
        change!(long "vec of strings: pop", with_names, Names, 2, |g| g.pop()),
        change!(long "vec of strings: swap_remove", with_names, Names, 2, |g| g.swap_remove(1)),
        change!(long "vec of strings: swap", with_names, Names, 2, |g| g.swap(0, 2)),
        change!(long "vec of strings: truncate", with_names, Names, 2, |g| g.truncate(1)),
        change!(quick "vec of strings: clear", with_names, Names, 2, |g| g.clear()),
        change!(long "vec of strings: retain", with_names, Names, 2, |g| g.retain(|s| s.len() < 10)),
        change!(long "vec of strings: dedup", with_names, Names, 2, |g| g.dedup()),
        change!(long "vec of strings: sort", with_names, Names, 2, |g| g.sort()),
        change!(long "vec of strings: extend, one by one", with_names, Names, 3, |g| g.extend([LONG[0], LONG[1]])),
        change!(long "vec of strings: set an element", with_names, Names, 2, |g| g[1].set(LONG[1])),
        change!(long "vec of strings: replace an element", with_names, Names, 2, |g| g[1].replace(LONG[1])),
        change!(long "vec of strings: shrink_to_fit", with_names, Names, 1, |g| g.shrink_to_fit()),
        change!(long "vec of strings: set", with_names, Names, 2, |g| g.set([LONG[1], "b"])),
    ]
}
