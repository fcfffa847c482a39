//! `#[derive(Key)]`.

use crate::input::{bounded, fields_of, no_union, support, surround};
use crate::tags;
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Data, DeriveInput, Fields, Result};

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let support = support(&input.attrs)?;
    let name = &input.ident;
    let generics = bounded(&input.generics, &quote!(#support::ShHash));
    let (with_bounds, arguments, clauses) = generics.split_for_impl();
    let arms = match &input.data {
        Data::Struct(data) => {
            let count = data.fields.len() as i64;
            vec![arm(&quote!(Self), &data.fields, &quote!(#count), &support)]
        }
        Data::Enum(data) => {
            let integer = crate::input::Repr::of_enum(input)?.1;
            let tags = tags::tags(data, Some(&integer));
            let variants = data.variants.iter().zip(tags);
            variants
                .map(|(v, tag)| {
                    let name = &v.ident;
                    arm(&quote!(Self::#name), &v.fields, &quote!((#tag) as i64), &support)
                })
                .collect()
        }
        Data::Union(_) => return Err(no_union(input)),
    };
    Ok(quote! {
        #[automatically_derived]
        impl #with_bounds #support::ShHash for #name #arguments #clauses {
            #[inline]
            fn hash(&self, seed: #support::Seed) -> u64 {
                match self { #(#arms)* }
            }
        }
    })
}

fn arm(path: &TokenStream, fields: &Fields, first: &TokenStream, support: &TokenStream) -> TokenStream {
    let all = fields_of(fields);
    let pattern = surround(fields, {
        let each = all.iter().map(|f| f.with(&f.local));
        quote!(#(#each),*)
    });
    let parts = all.iter().map(|f| {
        let local = &f.local;
        quote_spanned!(f.span()=> .and(#local))
    });
    quote!(#path #pattern => #support::Parts::new(#first, seed) #(#parts)* .end(),)
}
