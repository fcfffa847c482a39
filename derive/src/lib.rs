//! Derives for types that live in an aquifer pool. Use them through the crate `aquifer`.
//!
//! | derive | for |
//! |---|---|
//! | [`macro@Relocatable`] | structs and enums that own pool memory |
//! | [`macro@Plain`] | `Copy` structs and enums of plain data |
//! | [`macro@DefaultInPool`] | types with an empty value |
//! | [`macro@Key`] | keys of maps and sets |
//!
//! `#[aquifer(crate = some::path)]` names the crate that the generated code refers to, where it is not `::aquifer`.

mod default;
mod enums;
mod input;
mod key;
mod names;
mod plain;
mod relocatable;
mod structs;
mod tags;

use proc_macro::TokenStream;
use syn::DeriveInput;

fn expand(
    input: TokenStream,
    derive: impl FnOnce(&DeriveInput) -> syn::Result<proc_macro2::TokenStream>,
) -> TokenStream {
    syn::parse(input).and_then(|input| derive(&input)).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Lets a type live in a pool that owns pool memory, holds locks or atomics, or is not `Copy`.
///
/// It needs a fixed layout: `#[repr(C)]` for structs, `#[repr(u8)]` or `#[repr(C, u8)]` (or another integer) for enums. For a struct
/// `Session { user: ShString, hits: u64 }` it makes, with the visibility of the struct and its fields:
///
/// - `SessionMut`, what `&mut` to one in a pool gives. It derefs to `&Session`; `user_mut()` and `hits_mut()` give mutable access to a
///   field, `set_user(source)` replaces one, `fields_mut()` gives all fields at once, `set(source)` and `replace(source)` change the whole.
///   Your own methods that change a session are methods of `SessionMut`.
/// - `SessionFields<'_>`, what `fields_mut()` returns.
/// - `SessionNew { user, hits }`, the source that a session is built from; each field is any source of the field's type.
///
/// Fields of tuple structs are called `field_0_mut()`, `set_field_0(source)` and so on.
///
/// For an enum `Auth { User { name: ShString }, Locked }` it makes `AuthMut` with `variant_mut()`, which returns an `AuthVariant<'_>` to
/// match on, and a module `auth_new` with one source for each variant: `auth_new::User { name: "x" }`, `auth_new::Locked`.
///
/// Generic types bound their own parameters only, so that types may hold themselves through a collection.
#[proc_macro_derive(Relocatable, attributes(aquifer))]
pub fn derive_relocatable(input: TokenStream) -> TokenStream {
    expand(input, relocatable::derive)
}

/// Lets a `Copy` type of plain fields live in a pool, and `&mut` to it be simply `&mut T`.
///
/// It needs a fixed layout: `#[repr(C)]` or `#[repr(transparent)]` for structs, `#[repr(u8)]`, `#[repr(C, u8)]` (or another integer) for
/// enums, with or without fields.
#[proc_macro_derive(Plain, attributes(aquifer))]
pub fn derive_plain(input: TokenStream) -> TokenStream {
    expand(input, plain::derive)
}

/// Gives a type an empty value: that of each field, or the enum's variant without fields that is marked `#[default]`.
#[proc_macro_derive(DefaultInPool, attributes(aquifer, default))]
pub fn derive_default(input: TokenStream) -> TokenStream {
    expand(input, default::derive)
}

/// Gives a type the hash that a key in a pool needs. It needs `Eq`, too.
#[proc_macro_derive(Key, attributes(aquifer))]
pub fn derive_key(input: TokenStream) -> TokenStream {
    expand(input, key::derive)
}
