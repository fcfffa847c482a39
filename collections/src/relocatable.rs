//! What may live in a pool.

use crate::cx::Cx;
use crate::schema::Schema;
use aquifer_pool::Result;
use std::borrow::Borrow;

/// May live in a pool: holds no address, has no destructor, and may be read by many threads.
///
/// Derived with `#[derive(Relocatable)]`, never implemented by hand.
///
/// # Safety
/// `SCHEMA` describes every byte of the type that is not padding; the type holds no address, no interior mutability but atomics
/// and this crate's locks, and does not need drop; `access`, `access_ref`, `taken` and `discard` do what they say.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot live in a pool",
    label = "holds an address, needs `Drop`, or lacks `#[derive(Relocatable)]`",
    note = "use `ShString` for `String` and `&str`, `ShVec` for `Vec`, `ShMap` for `HashMap`, `ShSet` for `HashSet`, `ShBox` for `Box`"
)]
pub unsafe trait Relocatable: Send + Sync + Sized + 'static {
    /// [`ByValue`] for plain data, [`InPlace`] for what owns pool memory or is a lock.
    type Kind: Kind;
    /// What `&mut` to one in a pool gives: `Self` for plain data, [`Place<Self>`](crate::Place) or the derive's `SelfMut` else.
    type Access: ?Sized + Borrow<Self>;
    /// What removal gives: `Self` for plain data, [`Taken<'a, Self>`](crate::Taken) else.
    type Taken<'a>: Borrow<Self>;
    /// Layout and meaning of every byte.
    const SCHEMA: &'static Schema;
    /// The most blocks that one value owns directly: intents that [`discard`](Self::discard) pushes. 0: it owns nothing.
    const OWNED: usize;
    /// Whether locks stand in a value's own bytes. Those in blocks that it owns do not count.
    const LOCKS: bool;

    /// Mutable access. Plain data: saves the old bytes first, unless it is one aligned scalar of at most 8 bytes and the log is not
    /// held open.
    ///
    /// # Safety
    /// `p` is a valid value in the pool of `cx`, exclusively the caller's for `'a`, under the lock (or transaction) of `cx`.
    #[doc(hidden)]
    unsafe fn access<'a>(p: *mut Self, cx: Cx) -> &'a mut Self::Access;

    /// The same for reading.
    ///
    /// # Safety
    /// As for `access`, but shared.
    #[doc(hidden)]
    unsafe fn access_ref<'a>(p: *const Self, cx: Cx) -> &'a Self::Access;

    /// The value whose bytes are at `p` (anywhere), which the open state of `cx`'s log has just unlinked: see [`Taken`](crate::Taken).
    ///
    /// # Safety
    /// The value at `p` is not used again by its old owner. For values that are not plain: nothing was committed since unlinking it,
    /// `cx`'s log is held open once for the result, and if `p` is in the pool the bytes there stay as they are for `'a`.
    #[doc(hidden)]
    unsafe fn taken<'a>(p: *const Self, cx: Cx) -> Self::Taken<'a>;

    /// Pushes intents (`Free`, `DropVec`, `DropTable`) for the blocks that the value at `p` owns; at most [`OWNED`](Self::OWNED).
    /// The value's own bytes may be anywhere and are not needed afterwards.
    ///
    /// # Safety
    /// `p` is a valid value whose blocks are in the pool of `cx`; it is unlinked by the operation that is open on `cx`'s log.
    #[doc(hidden)]
    unsafe fn discard(p: *const Self, cx: Cx);
}

/// Plain data: `Copy`, moves in and out of pools freely, and `&mut` to it is simply `&mut T`.
///
/// # Safety
/// Every bit pattern that the type's own code can produce is described by `SCHEMA`; no field owns pool memory.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not plain data",
    label = "owns pool memory, or is not `Copy`",
    note = "derive `Plain` if all fields are plain, else `Relocatable`"
)]
pub unsafe trait Plain: Relocatable<Kind = ByValue, Access = Self> + Copy + Emplace<Self> {}

/// [`ByValue`] or [`InPlace`]; sealed.
pub trait Kind: 'static + private::Sealed {
    /// InPlace if either is.
    type And<K: Kind>: Kind;
    /// See [`Relocatable::Access`].
    type Access<T: Relocatable>: ?Sized + Borrow<T>;
    /// See [`Relocatable::Taken`].
    type Taken<'a, T: Relocatable>: Borrow<T>;
    /// See [`Relocatable::access`].
    ///
    /// # Safety
    /// As there.
    unsafe fn access<'a, T: Relocatable>(p: *mut T, cx: Cx) -> &'a mut Self::Access<T>;
    /// See [`Relocatable::access_ref`].
    ///
    /// # Safety
    /// As there.
    unsafe fn access_ref<'a, T: Relocatable>(p: *const T, cx: Cx) -> &'a Self::Access<T>;
    /// See [`Relocatable::taken`].
    ///
    /// # Safety
    /// As there.
    unsafe fn taken<'a, T: Relocatable>(p: *const T, cx: Cx) -> Self::Taken<'a, T>;
}

/// Plain data.
#[derive(Debug)]
pub enum ByValue {}
/// Owners of pool memory, locks, atomics.
#[derive(Debug)]
pub enum InPlace {}

pub(crate) mod private {
    /// Seals `Kind`.
    pub trait Sealed {
        /// Whether values are moved out by copying.
        const PLAIN: bool;
    }
    impl Sealed for super::ByValue {
        const PLAIN: bool = true;
    }
    impl Sealed for super::InPlace {
        const PLAIN: bool = false;
    }
}

/// A value with an empty or zero state, as `Default`: what `named` makes when nothing is there.
pub trait DefaultInPool: Relocatable + Emplace<Self::Empty> {
    /// Source of the empty value.
    type Empty;
    /// The source.
    fn empty() -> Self::Empty;
}

/// What a value in a pool is built from: `ShString: Emplace<&str>`, `ShVec<T>: Emplace<[S; N]>` where `T: Emplace<S>`, ...
///
/// The target is `Self`, so that the compiler infers sources as `std` does. Exactly one source per plain type.
#[diagnostic::on_unimplemented(
    message = "a `{Self}` in the pool cannot be built from `{S}`",
    label = "not a source for `{Self}`"
)]
pub trait Emplace<S>: Relocatable {
    /// Builds the value at `dst`, which may be anywhere (also on the stack: values hold no address). On `Err` and on panic `dst` is
    /// not initialised, and what was allocated is given back when the caller's operation is undone.
    ///
    /// # Safety
    /// `dst` is writable and aligned; an operation is open on `cx`'s log, and is undone unless this returns `Ok`.
    #[doc(hidden)]
    unsafe fn emplace(source: S, dst: *mut Self, cx: Cx) -> Result<()>;
}
