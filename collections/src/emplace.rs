//! Sources that are values themselves: those taken out of another collection.

/// Lets a `Taken` of the type be put where one of the type is built.
///
/// For each type by itself: one implementation for all would overlap with the sources of plain data.
macro_rules! taken_source {
    ([$($g:tt)*] $t:ty $(where $($w:tt)*)?) => {
        impl<$($g)*> $crate::relocatable::Emplace<$crate::taken::Taken<'_, $t>> for $t $(where $($w)*)? {
            #[inline]
            unsafe fn emplace(source: $crate::taken::Taken<'_, $t>, dst: *mut Self, cx: $crate::cx::Cx) -> aquifer_pool::Result<()> {
                // SAFETY: the caller's contract.
                unsafe { source.put(dst, cx) }
            }
        }
    };
}
pub(crate) use taken_source;

use crate::boxed::ShBox;
use crate::key::Key;
use crate::map::ShMap;
use crate::relocatable::Relocatable;
use crate::set::ShSet;
use crate::string::ShString;
use crate::vec::ShVec;

taken_source!([] ShString);
taken_source!([T: Relocatable] ShVec<T>);
taken_source!([T: Relocatable] ShBox<T>);
taken_source!([K: Key] ShSet<K>);
taken_source!([K: Key, V: Relocatable] ShMap<K, V>);
