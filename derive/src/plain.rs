//! `#[derive(Plain)]`.

use crate::input::{FieldOf, Repr, bounded, fields_of, no_union, support};
use crate::tags;
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Data, DeriveInput, Fields, Result};

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let support = support(&input.attrs)?;
    let (shape, fields) = match &input.data {
        Data::Struct(data) => {
            Repr::of_struct(input)?;
            (struct_shape(&data.fields, &support), fields_of(&data.fields))
        }
        Data::Enum(data) => {
            let shape = tags::shape(input, data, &support)?;
            (shape, data.variants.iter().flat_map(|v| fields_of(&v.fields)).collect())
        }
        Data::Union(_) => return Err(no_union(input)),
    };
    let implementation = implementation(input, &support, &shape);
    let fields = plain_fields(input, &support, &fields);
    Ok(quote!(#implementation #fields))
}

/// The schema's shape of a struct.
pub(crate) fn struct_shape(fields: &Fields, support: &TokenStream) -> TokenStream {
    let fields = fields_of(fields);
    let each = fields.iter().map(|f| {
        let (text, member, field) = (&f.text, &f.member, f.relocatable(support));
        quote!(#support::Field { name: #text, offset: ::core::mem::offset_of!(Self, #member), schema: || #field::SCHEMA })
    });
    quote!(#support::Shape::Struct(&[#(#each),*]))
}

fn implementation(input: &DeriveInput, support: &TokenStream, shape: &TokenStream) -> TokenStream {
    let name = &input.ident;
    let text = crate::names::plain(name);
    let generics = bounded(&input.generics, &quote!(#support::Plain));
    let (with_bounds, arguments, clauses) = generics.split_for_impl();
    quote! {
        // SAFETY: plain data, which all fields are (asserted); the schema says where they stand.
        #[automatically_derived]
        unsafe impl #with_bounds #support::Relocatable for #name #arguments #clauses {
            type Kind = #support::ByValue;
            type Access = Self;
            type Taken<'taken> = Self;
            const SCHEMA: &'static #support::Schema = &#support::Schema {
                name: #text,
                size: ::core::mem::size_of::<Self>(),
                align: ::core::mem::align_of::<Self>(),
                shape: #shape,
            };
            const OWNED: usize = 0;
            const LOCKS: bool = false;

            #[inline(always)]
            unsafe fn access<'access>(p: *mut Self, cx: #support::Cx) -> &'access mut Self {
                // SAFETY: the caller's contract.
                unsafe { <#support::ByValue as #support::Kind>::access(p, cx) }
            }

            #[inline(always)]
            unsafe fn access_ref<'access>(p: *const Self, cx: #support::Cx) -> &'access Self {
                // SAFETY: the caller's contract.
                unsafe { <#support::ByValue as #support::Kind>::access_ref(p, cx) }
            }

            #[inline(always)]
            unsafe fn taken<'taken>(p: *const Self, cx: #support::Cx) -> Self::Taken<'taken> {
                // SAFETY: the caller's contract.
                unsafe { <#support::ByValue as #support::Kind>::taken(p, cx) }
            }

            #[inline(always)]
            unsafe fn discard(_: *const Self, _: #support::Cx) {}
        }

        // SAFETY: all fields are plain (asserted), and the schema says where they stand.
        #[automatically_derived]
        unsafe impl #with_bounds #support::Plain for #name #arguments #clauses {}

        #[automatically_derived]
        impl #with_bounds #support::Emplace<Self> for #name #arguments #clauses {
            #[inline(always)]
            unsafe fn emplace(source: Self, dst: *mut Self, _: #support::Cx) -> #support::Result<()> {
                // SAFETY: writable and aligned by the caller's contract.
                unsafe { dst.write(source) };
                ::core::result::Result::Ok(())
            }
        }
    }
}

/// Asserts that each field is plain, with an error at the field.
fn plain_fields(input: &DeriveInput, support: &TokenStream, fields: &[FieldOf<'_>]) -> TokenStream {
    let generics = bounded(&input.generics, &quote!(#support::Plain));
    let (with_bounds, _, clauses) = generics.split_for_impl();
    let each = fields.iter().map(|f| {
        let ty = f.ty;
        quote_spanned!(f.span()=> #support::is_plain::<#ty>();)
    });
    quote!(const _: () = { #[allow(dead_code)] fn fields #with_bounds () #clauses { #(#each)* } };)
}
