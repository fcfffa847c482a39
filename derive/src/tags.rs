//! Enums as schemas: tags, and where the fields of each variant stand.

use crate::input::{Repr, fields_of};
use proc_macro2::TokenStream;
use quote::quote;
use syn::{DataEnum, DeriveInput, Error, Ident, Result};

/// The tag of each variant, as an expression of type `i128`.
pub(crate) fn tags(data: &DataEnum, integer: Option<&Ident>) -> Vec<TokenStream> {
    let integer = integer.map_or_else(|| quote!(isize), |i| quote!(#i));
    let mut base = quote!(0i128);
    let mut next = 0i128;
    let one = |variant: &syn::Variant| {
        if let Some((_, value)) = &variant.discriminant {
            base = quote!({ const TAG: #integer = #value; TAG as i128 });
            next = 0;
        }
        let offset = next;
        next += 1;
        quote!(#base + #offset)
    };
    data.variants.iter().map(one).collect()
}

/// The schema's shape of an enum.
pub(crate) fn shape(input: &DeriveInput, data: &DataEnum, support: &TokenStream) -> Result<TokenStream> {
    if data.variants.is_empty() {
        return Err(Error::new(
            input.ident.span(),
            "an enum without variants has no values that could live in a pool",
        ));
    }
    let (repr, integer) = Repr::of_enum(input)?;
    let start =
        if repr.c { payload_start(data, &integer) } else { quote!(::core::mem::size_of::<#integer>()) };
    let variants = data.variants.iter().zip(tags(data, Some(&integer))).map(|(variant, tag)| {
        let name = crate::names::plain(&variant.ident);
        let fields = fields_of(&variant.fields);
        let types = fields.iter().map(|f| f.ty).collect::<Vec<_>>();
        let each = fields.iter().enumerate().map(|(i, f)| {
            let (name, field) = (&f.text, f.relocatable(support));
            let layouts = types[..=i]
                .iter()
                .map(|t| quote!([::core::mem::size_of::<#t>(), ::core::mem::align_of::<#t>()]));
            quote!(#support::Field {
                name: #name,
                offset: #support::field_offset(#start, &[#(#layouts),*]),
                schema: || #field::SCHEMA,
            })
        });
        quote!(#support::Variant { name: #name, tag: #tag, fields: &[#(#each),*] })
    });
    Ok(quote!(#support::Shape::Enum {
        tag_offset: 0,
        tag_size: ::core::mem::size_of::<#integer>(),
        variants: &[#(#variants),*],
    }))
}

/// `#[repr(C, u8)]`: the fields of all variants begin behind the tag, aligned as the strictest of them.
fn payload_start(data: &DataEnum, integer: &Ident) -> TokenStream {
    let types = data.variants.iter().flat_map(|v| v.fields.iter().map(|f| &f.ty)).collect::<Vec<_>>();
    quote!({
        let mut align = 1;
        #( if ::core::mem::align_of::<#types>() > align { align = ::core::mem::align_of::<#types>(); } )*
        ::core::mem::size_of::<#integer>().next_multiple_of(align)
    })
}
