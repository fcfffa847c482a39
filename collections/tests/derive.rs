//! Types of the user's own, through the derives: built, changed, taken out, put elsewhere, and looked at by their schema.
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![allow(clippy::unwrap_used, clippy::type_complexity)] // what surrounds a test

use aquifer_collections::schema::Shape;
use aquifer_collections::*;

/// A session, as a web server keeps it.
#[derive(Relocatable, DefaultInPool, Debug, PartialEq)]
#[aquifer(crate = aquifer_collections)]
#[repr(C)]
pub struct Session {
    /// Who.
    pub auth: Auth,
    csrf: Option<ShString>,
    expires: u64,
    r#type: u8,
    events: ShVec<Event>,
}

/// Who somebody is.
#[derive(Relocatable, DefaultInPool, Debug, PartialEq)]
#[aquifer(crate = aquifer_collections)]
#[repr(C, u8)]
pub enum Auth {
    /// Nobody.
    #[default]
    Guest,
    /// Somebody.
    User {
        /// A name.
        name: ShString,
        /// Rights.
        scopes: ShVec<ShString>,
    },
    /// Nobody, for a while.
    Locked(u64, ShString) = 7,
}

/// Something that has happened.
#[derive(Plain, Clone, Copy, Debug, PartialEq, Eq, Key)]
#[aquifer(crate = aquifer_collections)]
#[repr(C)]
struct Event {
    at: u64,
    kind: Kind,
}

#[derive(Plain, DefaultInPool, Clone, Copy, Debug, PartialEq, Eq, Key)]
#[aquifer(crate = aquifer_collections)]
#[repr(u8)]
enum Kind {
    #[default]
    Click,
    Scroll {
        by: i32,
    } = 5,
    Key(char, bool),
}

#[derive(Relocatable, Debug)]
#[aquifer(crate = aquifer_collections)]
#[repr(C)]
struct Tree {
    name: ShString,
    kids: ShVec<Tree>,
}

#[derive(Relocatable, DefaultInPool, Debug, PartialEq)]
#[aquifer(crate = aquifer_collections)]
#[repr(C)]
struct Pair<A: PartialEq, B>(A, ShVec<B>)
where
    B: PartialEq;

impl SessionMut {
    fn touch(&mut self, at: u64) -> Result<()> {
        let fields = self.fields_mut();
        *fields.expires += at;
        fields.events.push(Event { at: *fields.expires, kind: Kind::Scroll { by: -1 } })
    }
}

type Sessions = ShRwLock<ShMap<ShString, Session>>;

fn pool() -> Pool {
    Pool::options().private().unwrap()
}

fn sample()
-> SessionNew<auth_new::User<&'static str, [&'static str; 2]>, Option<&'static str>, u64, u8, [Event; 0]> {
    SessionNew {
        auth: auth_new::User { name: "ann", scopes: ["read", "write"] },
        csrf: None,
        expires: 5,
        r#type: 1,
        events: [],
    }
}

#[test]
fn a_struct_is_built_read_and_changed() {
    let pool = pool();
    let sessions = pool.named::<Sessions>("sessions").unwrap();
    let mut guard = sessions.write().unwrap();
    guard.insert("a", sample()).unwrap();
    let session = guard.get_mut("a").unwrap();
    session.touch(10).unwrap();
    session.set_csrf(Some("a token that does not fit the header of a string")).unwrap();
    *session.type_mut() += 1;
    match session.auth_mut().variant_mut() {
        AuthVariant::User { scopes, .. } => scopes.push("admin").unwrap(),
        other => panic!("{}", matches!(other, AuthVariant::Guest)),
    }
    assert_eq!(session.expires, 15);
    assert_eq!(session.r#type, 2);
    assert_eq!(session.events, [Event { at: 15, kind: Kind::Scroll { by: -1 } }]);
    match &session.auth {
        Auth::User { name, scopes } => {
            assert_eq!(*name, "ann");
            assert_eq!(*scopes, ["read", "write", "admin"]);
        }
        other => panic!("{other:?}"),
    }
    session.auth_mut().set(auth_new::Locked(9, "for a reason that is longer than a header")).unwrap();
    if let AuthVariant::Locked(until, why) = session.auth_mut().variant_mut() {
        *until += 1;
        why.push_str("!").unwrap();
    }
    assert!(matches!(&session.auth, Auth::Locked(10, why) if why.ends_with("header!")));
    assert!(format!("{session:?}").starts_with("Session { auth: Locked(10"));
    drop(guard);
    let report = pool.check().unwrap();
    assert!(report.is_clean(), "{report:?}");
}

#[test]
fn a_taken_struct_goes_elsewhere_or_is_freed() {
    let pool = pool();
    let sessions = pool.named::<Sessions>("sessions").unwrap();
    let others = pool.named::<ShRwLock<ShVec<Session>>>("others").unwrap();
    let mut guard = sessions.write().unwrap();
    for name in ["a", "b", "c"] {
        guard.insert(name, sample()).unwrap();
    }
    others.write().unwrap().push(guard.remove("a").unwrap()).unwrap();
    drop(guard.remove("b").unwrap());
    let taken = guard.remove("c").unwrap();
    assert_eq!(taken.expires, 5);
    std::mem::forget(taken);
    assert!(guard.is_empty());
    drop(guard);
    assert_eq!(others.read().unwrap()[0].expires, 5);
    let report = pool.check().unwrap();
    assert!(report.is_clean(), "{report:?}");
}

#[test]
fn a_tree_holds_itself() {
    let pool = pool();
    let tree = pool
        .named_with::<ShMutex<Tree>, _>("tree", || ShMutex::new(TreeNew { name: "root", kids: ShVec::new() }))
        .unwrap();
    let mut root = tree.lock().unwrap();
    root.kids_mut().push(TreeNew { name: "kid", kids: ShVec::new() }).unwrap();
    root.kids_mut()[0]
        .kids_mut()
        .push(TreeNew { name: "a kid with a name of more than a few bytes", kids: ShVec::new() })
        .unwrap();
    assert_eq!(root.kids[0].kids[0].kids.len(), 0);
    drop(root.kids_mut().pop());
    drop(root);
    assert!(pool.check().unwrap().is_clean());
}

#[test]
fn generic_and_numbered_fields_work() {
    let pool = pool();
    let pair = pool.named::<ShMutex<Pair<ShString, u32>>>("pair").unwrap();
    let mut pair = pair.lock().unwrap();
    pair.set(PairNew("first", [1, 2])).unwrap();
    pair.set_field_0("other").unwrap();
    pair.field_1_mut().push(3).unwrap();
    let PairFields(name, numbers) = pair.fields_mut();
    name.push_str("s").unwrap();
    numbers[0] = 9;
    assert_eq!(pair.0, "others");
    assert_eq!(pair.1, [9, 2, 3]);
    assert!(*pair == *Pair::same(&pair));
}

impl<A: PartialEq, B: PartialEq> Pair<A, B> {
    fn same(this: &Self) -> &Self {
        this
    }
}

#[test]
fn plain_types_are_keys_and_values() {
    let pool = pool();
    let seen = pool.named::<ShMutex<ShMap<Event, Kind>>>("seen").unwrap();
    let mut seen = seen.lock().unwrap();
    let event = |at| Event { at, kind: Kind::Key('x', true) };
    seen.insert(event(1), Kind::Click).unwrap();
    *seen.entry(event(1)).or_default().unwrap() = Kind::Key('y', false);
    *seen.entry(&event(2)).or_default().unwrap() = Kind::Scroll { by: 3 };
    assert_eq!(seen[&event(1)], Kind::Key('y', false));
    assert_eq!(seen.remove(&event(2)), Some(Kind::Scroll { by: 3 }));
    assert_ne!(event(1).hash([1, 2]), Event { at: 1, kind: Kind::Click }.hash([1, 2]));
}

#[test]
fn an_enum_says_where_its_fields_stand() {
    let Shape::Enum { tag_offset: 0, tag_size: 1, variants } = Kind::SCHEMA.shape else {
        panic!("{:?}", Kind::SCHEMA)
    };
    assert_eq!(variants.iter().map(|v| v.tag).collect::<Vec<_>>(), [0, 5, 6]);
    assert_eq!(variants[1].fields[0].offset, 4);
    assert_eq!(variants[2].fields.iter().map(|f| f.offset).collect::<Vec<_>>(), [4, 8]);
    let Shape::Enum { variants, .. } = Auth::SCHEMA.shape else { panic!("{:?}", Auth::SCHEMA) };
    assert_eq!(variants.iter().map(|v| v.tag).collect::<Vec<_>>(), [0, 1, 7]);
    assert_eq!(variants[1].fields.iter().map(|f| f.offset).collect::<Vec<_>>(), [8, 48]);
    assert_eq!((Auth::OWNED, Session::OWNED), (2, 4));
}

/// What a door guards.
#[derive(Relocatable)]
#[aquifer(crate = aquifer_collections)]
#[repr(C)]
pub struct Door<T> {
    number: u64,
    behind: ShMutex<T>,
}

/// A way in, or none.
#[derive(Relocatable)]
#[aquifer(crate = aquifer_collections)]
#[repr(C, u8)]
pub enum Way<T> {
    /// None.
    None,
    /// Perhaps locked.
    In(u64, Option<T>),
}

#[test]
fn locks_in_a_types_own_bytes_are_told_of() {
    let through_structs_and_enums = [Door::<u64>::LOCKS, Way::<Door<ShString>>::LOCKS];
    let none_or_in_a_block = [Auth::LOCKS, Session::LOCKS, Way::<ShVec<Door<u64>>>::LOCKS];
    assert_eq!((through_structs_and_enums, none_or_in_a_block), ([true; 2], [false; 3]));
}
