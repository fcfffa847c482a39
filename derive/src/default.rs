//! `#[derive(DefaultInPool)]`.

use crate::input::{bounded, fields_of, no_union, support};
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Data, DataEnum, DeriveInput, Error, Fields, Ident, Result};

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let support = support(&input.attrs)?;
    let name = &input.ident;
    let generics = bounded(&input.generics, &quote!(#support::DefaultInPool));
    let (with_bounds, arguments, clauses) = generics.split_for_impl();
    let body = match &input.data {
        Data::Struct(data) => struct_body(&data.fields, &support),
        Data::Enum(data) => {
            let variant = default_variant(input, data)?;
            quote! {
                // SAFETY: writable and aligned by the caller's contract.
                unsafe { dst.write(Self::#variant) };
            }
        }
        Data::Union(_) => return Err(no_union(input)),
    };
    Ok(quote! {
        #[automatically_derived]
        impl #with_bounds #support::DefaultInPool for #name #arguments #clauses {
            type Empty = #support::New<Self>;
            fn empty() -> Self::Empty {
                #support::new_source()
            }
        }

        #[automatically_derived]
        impl #with_bounds #support::Emplace<#support::New<Self>> for #name #arguments #clauses {
            #[allow(unused_variables)]
            unsafe fn emplace(_: #support::New<Self>, dst: *mut Self, cx: #support::Cx) -> #support::Result<()> {
                #body
                ::core::result::Result::Ok(())
            }
        }
    })
}

fn struct_body(fields: &Fields, support: &TokenStream) -> TokenStream {
    let fields = fields_of(fields);
    let each = fields.iter().map(|f| {
        let (member, ty) = (&f.member, f.ty);
        quote_spanned! {f.span()=>
            // SAFETY: within `dst`; the rest is the caller's contract.
            unsafe { #support::emplace_empty::<#ty>(&raw mut (*dst).#member, cx)? };
        }
    });
    quote!(#(#each)*)
}

fn default_variant<'a>(input: &DeriveInput, data: &'a DataEnum) -> Result<&'a Ident> {
    let mut marked = data.variants.iter().filter(|v| v.attrs.iter().any(|a| a.path().is_ident("default")));
    match (marked.next(), marked.next()) {
        (Some(variant), None) if matches!(variant.fields, Fields::Unit) => Ok(&variant.ident),
        (Some(variant), None) => Err(Error::new(variant.ident.span(), "the empty value cannot have fields")),
        (_, Some(second)) => Err(Error::new(second.ident.span(), "only one variant can be the empty value")),
        (None, None) => Err(Error::new(input.ident.span(), "no variant is marked with `#[default]`")),
    }
}
