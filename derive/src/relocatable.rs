//! `#[derive(Relocatable)]`: what structs and enums have in common.

use crate::input::{bounded, no_union, support};
use crate::{enums, structs};
use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Data, DeriveInput, Generics, Ident, Result};

/// What the parts of the expansion need to know.
pub(crate) struct Type<'a> {
    pub(crate) input: &'a DeriveInput,
    pub(crate) support: TokenStream,
    /// With `Relocatable` on each parameter.
    pub(crate) generics: Generics,
    pub(crate) access: Ident,
}

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let support = support(&input.attrs)?;
    let generics = bounded(&input.generics, &quote!(#support::Relocatable));
    let ty = Type { input, generics, access: format_ident!("{}Mut", input.ident), support };
    match &input.data {
        Data::Struct(data) => structs::derive(&ty, data),
        Data::Enum(data) => enums::derive(&ty, data),
        Data::Union(_) => Err(no_union(input)),
    }
}

impl Type<'_> {
    pub(crate) fn name(&self) -> String {
        crate::names::plain(&self.input.ident)
    }

    /// The access type, and what every access type can do.
    pub(crate) fn access_type(&self) -> TokenStream {
        let (support, access, name, vis) = (&self.support, &self.access, &self.input.ident, &self.input.vis);
        let (with_bounds, arguments, clauses) = self.generics.split_for_impl();
        let doc = format!("A [`{}`] in a pool that may be changed.", self.name());
        let mut comparing = self.generics.clone();
        comparing.params.push(syn::parse_quote!(OtherValue: ?Sized));
        comparing
            .make_where_clause()
            .predicates
            .push(syn::parse_quote!(#name #arguments: ::core::cmp::PartialEq<OtherValue>));
        let (with_other, _, compared) = comparing.split_for_impl();
        let mut showing = self.generics.clone();
        // Bound for every lifetime, so that the compiler does not ask for it where the type has none.
        showing
            .make_where_clause()
            .predicates
            .push(syn::parse_quote!(for<'any> #name #arguments: ::core::fmt::Debug));
        let (_, _, shown) = showing.split_for_impl();
        quote! {
            #[doc = #doc]
            #[repr(transparent)]
            #vis struct #access #with_bounds #clauses {
                __place: #support::Place<#name #arguments>,
            }

            #[automatically_derived]
            impl #with_bounds ::core::ops::Deref for #access #arguments #clauses {
                type Target = #name #arguments;
                #[inline(always)]
                fn deref(&self) -> &Self::Target {
                    &self.__place
                }
            }

            #[automatically_derived]
            impl #with_bounds ::core::borrow::Borrow<#name #arguments> for #access #arguments #clauses {
                fn borrow(&self) -> &#name #arguments {
                    &self.__place
                }
            }

            #[automatically_derived]
            impl #with_other ::core::cmp::PartialEq<OtherValue> for #access #arguments #compared {
                fn eq(&self, other: &OtherValue) -> bool {
                    **self == *other
                }
            }

            #[automatically_derived]
            impl #with_bounds ::core::fmt::Debug for #access #arguments #shown {
                fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    ::core::fmt::Debug::fmt(&**self, f)
                }
            }
        }
    }

    /// `set` and `replace`, for the access type's own methods.
    pub(crate) fn whole_methods(&self) -> TokenStream {
        let (support, name, vis) = (&self.support, &self.input.ident, &self.input.vis);
        let (_, arguments, _) = self.generics.split_for_impl();
        quote! {
            /// Replaces the value by one built from `source`, and frees what the old one owned.
            ///
            /// # Errors
            /// Those of building the new value; the old one stays then.
            #[allow(dead_code)]
            #vis fn set<AnySource>(&mut self, source: AnySource) -> #support::Result<()>
            where
                #name #arguments: #support::Emplace<AnySource>,
            {
                self.__place.set(source)
            }

            /// Replaces the value by one built from `source`, and returns the old one.
            ///
            /// # Errors
            /// Those of building the new value; the old one stays then.
            #[allow(dead_code)]
            #vis fn replace<AnySource>(&mut self, source: AnySource) -> #support::Result<<#name #arguments as #support::Relocatable>::Taken<'_>>
            where
                #name #arguments: #support::Emplace<AnySource>,
            {
                self.__place.replace(source)
            }
        }
    }

    /// The trait itself.
    pub(crate) fn implementation(
        &self,
        shape: &TokenStream,
        owned: &TokenStream,
        locks: &TokenStream,
        discard: &TokenStream,
    ) -> TokenStream {
        let (support, access, name, text) = (&self.support, &self.access, &self.input.ident, self.name());
        let (with_bounds, arguments, clauses) = self.generics.split_for_impl();
        quote! {
            // SAFETY: all fields are relocatable (they are used as such) and the type has no destructor (asserted); the schema says where they stand.
            #[automatically_derived]
            unsafe impl #with_bounds #support::Relocatable for #name #arguments #clauses {
                type Kind = #support::InPlace;
                type Access = #access #arguments;
                type Taken<'taken> = #support::Taken<'taken, Self>;
                const SCHEMA: &'static #support::Schema = &#support::Schema {
                    name: #text,
                    size: ::core::mem::size_of::<Self>(),
                    align: ::core::mem::align_of::<Self>(),
                    shape: #shape,
                };
                const OWNED: usize = #owned;
                const LOCKS: bool = #locks;

                #[inline(always)]
                unsafe fn access<'access>(p: *mut Self, cx: #support::Cx) -> &'access mut Self::Access {
                    // SAFETY: the caller's contract; the access type is transparent around the place.
                    unsafe { &mut *(::core::ptr::from_mut(#support::Place::new(p, cx)) as *mut #access #arguments) }
                }

                #[inline(always)]
                unsafe fn access_ref<'access>(p: *const Self, cx: #support::Cx) -> &'access Self::Access {
                    // SAFETY: the caller's contract; the access type is transparent around the place.
                    unsafe { &*(::core::ptr::from_ref(#support::Place::new_ref(p, cx)) as *const #access #arguments) }
                }

                #[inline(always)]
                unsafe fn taken<'taken>(p: *const Self, cx: #support::Cx) -> Self::Taken<'taken> {
                    // SAFETY: the caller's contract.
                    unsafe { <#support::InPlace as #support::Kind>::taken(p, cx) }
                }

                #[inline]
                unsafe fn discard(p: *const Self, cx: #support::Cx) {
                    if Self::OWNED > 0 {
                        #discard
                    }
                }
            }

            #[automatically_derived]
            impl #with_bounds #support::Emplace<#support::Taken<'_, Self>> for #name #arguments #clauses {
                #[inline]
                unsafe fn emplace(source: #support::Taken<'_, Self>, dst: *mut Self, cx: #support::Cx) -> #support::Result<()> {
                    // SAFETY: the caller's contract.
                    unsafe { source.put(dst, cx) }
                }
            }
        }
    }

    /// Asserts that the type has no destructor. That its fields may live in a pool follows from their use.
    pub(crate) fn assertion(&self) -> TokenStream {
        let name = &self.input.ident;
        let (with_bounds, arguments, clauses) = self.generics.split_for_impl();
        quote! {
            const _: () = {
                // Overlaps with the implementation below if the type has a destructor, which would run for values that stay in the pool.
                #[allow(dead_code, drop_bounds, non_camel_case_types)]
                trait ATypeInAPoolMustNotImplementDrop {}
                #[allow(drop_bounds)]
                impl<T: ::core::ops::Drop> ATypeInAPoolMustNotImplementDrop for T {}
                impl #with_bounds ATypeInAPoolMustNotImplementDrop for #name #arguments #clauses {}
            };
        }
    }
}
