//! `#[derive(Relocatable)]` on enums.

use crate::input::{FieldOf, fields_of, surround};
use crate::relocatable::Type;
use crate::structs::lifetime_and_arguments;
use crate::tags;
use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::{DataEnum, Fields, Ident, Result, Variant};

pub(crate) fn derive(ty: &Type<'_>, data: &DataEnum) -> Result<TokenStream> {
    let support = &ty.support;
    let shape = tags::shape(ty.input, data, support)?;
    let sums = data.variants.iter().map(|v| {
        let fields = fields_of(&v.fields);
        let fields = fields.iter().map(|f| f.relocatable(support));
        quote!(0 #(+ #fields::OWNED)*)
    });
    let all = data.variants.iter().flat_map(|v| fields_of(&v.fields));
    let locks = all.map(|f| {
        let field = f.relocatable(support);
        quote!(#field::LOCKS)
    });
    let discards = data.variants.iter().map(|v| {
        let fields = fields_of(&v.fields);
        let (name, pattern) = (&v.ident, pattern(&v.fields, &fields));
        let each = fields.iter().map(|f| {
            let (field, local) = (f.relocatable(support), &f.local);
            quote! {
                // SAFETY: a field of the caller's value.
                unsafe { #field::discard(#local, cx) };
            }
        });
        quote!(Self::#name #pattern => { #(#each)* })
    });
    let discard = quote! {
        // SAFETY: a valid value by the caller's contract.
        match unsafe { &*p } { #(#discards)* }
    };
    let owned = quote!(#support::largest(&[#(#sums),*]));
    let implementation = ty.implementation(&shape, &owned, &quote!(false #(|| #locks)*), &discard);
    let parts = [ty.assertion(), ty.access_type(), variants(ty, data), methods(ty, data), sources(ty, data)];
    Ok(quote!(#implementation #(#parts)*))
}

/// `{ name: __name, .. }` or `(__field_0, ..)`.
fn pattern(kind: &Fields, fields: &[FieldOf<'_>]) -> TokenStream {
    let each = fields.iter().map(|f| f.with(&f.local));
    surround(kind, quote!(#(#each),*))
}

/// The type that `variant_mut` returns.
fn variants(ty: &Type<'_>, data: &DataEnum) -> TokenStream {
    let (support, vis) = (&ty.support, &ty.input.vis);
    let name = format_ident!("{}Variant", ty.input.ident);
    let doc = format!("Mutable access to the fields of a [`{}`].", ty.name());
    let mut generics = ty.generics.clone();
    generics.params.insert(0, syn::parse_quote!('place));
    let (with_bounds, _, clauses) = generics.split_for_impl();
    let (_, own_arguments, _) = ty.generics.split_for_impl();
    let original = &ty.input.ident;
    let each = data.variants.iter().map(|v| {
        let (variant, text) = (&v.ident, format!("`{}`", v.ident));
        let fields = fields_of(&v.fields);
        let fields = fields.iter().map(|f| {
            let (field, doc) = (f.relocatable(support), format!("`{}`", f.text));
            let access = quote_spanned!(f.span()=> #field::Access);
            let field = f.with(quote!(&'place mut #access));
            quote!(#[doc = #doc] #field)
        });
        let body = surround(&v.fields, quote!(#(#fields),*));
        quote!(#[doc = #text] #variant #body,)
    });
    quote! {
        #[doc = #doc]
        #[allow(dead_code)]
        #vis enum #name #with_bounds #clauses {
            #(#each)*
            #[doc(hidden)]
            __Never(::core::convert::Infallible, ::core::marker::PhantomData<&'place mut #original #own_arguments>),
        }
    }
}

/// Methods of the access type.
fn methods(ty: &Type<'_>, data: &DataEnum) -> TokenStream {
    let (support, access, original, vis) = (&ty.support, &ty.access, &ty.input.ident, &ty.input.vis);
    let name = format_ident!("{original}Variant");
    let (with_bounds, arguments, clauses) = ty.generics.split_for_impl();
    let borrowed = lifetime_and_arguments(ty);
    let arms = data.variants.iter().map(|v| {
        let fields = fields_of(&v.fields);
        let (variant, pattern) = (&v.ident, pattern(&v.fields, &fields));
        let each = fields.iter().map(|f| {
            let (field, local) = (f.relocatable(support), &f.local);
            f.with(quote! {
                // SAFETY: a field of a value that is exclusively ours as long as `self` is borrowed.
                unsafe { #field::access(#local, cx) }
            })
        });
        let body = surround(&v.fields, quote!(#(#each),*));
        quote!(#original::#variant #pattern => #name::#variant #body,)
    });
    let whole = ty.whole_methods();
    quote! {
        #[automatically_derived]
        impl #with_bounds #access #arguments #clauses {
            /// The variant, with mutable access to its fields.
            #[allow(dead_code, unused_variables)]
            #vis fn variant_mut(&mut self) -> #name #borrowed {
                let cx = self.__place.cx();
                // SAFETY: a value that is exclusively ours as long as `self` is borrowed.
                match unsafe { &mut *self.__place.ptr() } { #(#arms)* }
            }

            #whole
        }
    }
}

/// A module with one source for each variant.
fn sources(ty: &Type<'_>, data: &DataEnum) -> TokenStream {
    let vis = &ty.input.vis;
    let module = format_ident!("{}_new", crate::names::snake(&ty.name()));
    let doc = format!("What a [`{}`] in a pool is built from: one source for each variant.", ty.name());
    let types = data.variants.iter().map(source_type);
    let builds = data.variants.iter().map(|v| build(ty, &module, v));
    quote! {
        #[doc = #doc]
        #[allow(dead_code)]
        #vis mod #module {
            #(#types)*
        }
        #(#builds)*
    }
}

fn source_type(v: &Variant) -> TokenStream {
    let fields = fields_of(&v.fields);
    let (name, doc) = (&v.ident, format!("Source of the variant `{}`.", v.ident));
    let parameters = fields.iter().map(|f| &f.source);
    let each = fields.iter().map(|f| {
        let doc = format!("Source of `{}`.", f.text);
        let (parameter, member) = (&f.source, &f.member);
        let named = f.named.then(|| quote!(#member:));
        quote!(#[doc = #doc] pub #named #parameter)
    });
    let body = surround(&v.fields, quote!(#(#each),*));
    let end = (!matches!(v.fields, Fields::Named(_))).then(|| quote!(;));
    quote!(#[doc = #doc] #[derive(Debug, Clone)] pub struct #name <#(#parameters),*> #body #end)
}

fn build(ty: &Type<'_>, module: &Ident, v: &Variant) -> TokenStream {
    let (support, name, variant) = (&ty.support, &ty.input.ident, &v.ident);
    let fields = fields_of(&v.fields);
    let parameters = fields.iter().map(|f| &f.source).collect::<Vec<_>>();
    let mut generics = ty.generics.clone();
    for f in &fields {
        let (field, parameter) = (f.ty, &f.source);
        generics.params.push(syn::parse_quote!(#parameter));
        generics
            .make_where_clause()
            .predicates
            .push(syn::parse_quote_spanned!(f.span()=> #field: #support::Emplace<#parameter>));
    }
    let (with_bounds, _, clauses) = generics.split_for_impl();
    let (_, arguments, _) = ty.generics.split_for_impl();
    let steps = fields.iter().map(|f| {
        let (field, member, local) = (f.ty, &f.member, &f.local);
        quote! {
            // SAFETY: built in a place of its own, under the caller's operation; values may be moved from there.
            let #local = unsafe { #support::build_aside::<#field, _>(source.#member, cx)? };
        }
    });
    let each = fields.iter().map(|f| f.with(&f.local));
    let body = surround(&v.fields, quote!(#(#each),*));
    quote! {
        #[automatically_derived]
        impl #with_bounds #support::Emplace<#module::#variant <#(#parameters),*>> for #name #arguments #clauses {
            #[allow(unused_variables)]
            unsafe fn emplace(source: #module::#variant <#(#parameters),*>, dst: *mut Self, cx: #support::Cx) -> #support::Result<()> {
                #(#steps)*
                // SAFETY: writable and aligned by the caller's contract.
                unsafe { dst.write(Self::#variant #body) };
                ::core::result::Result::Ok(())
            }
        }
    }
}
