//! `#[derive(Relocatable)]` on structs.

use crate::input::{FieldOf, Repr, fields_of, surround};
use crate::plain::struct_shape;
use crate::relocatable::Type;
use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::{DataStruct, Fields, Result};

pub(crate) fn derive(ty: &Type<'_>, data: &DataStruct) -> Result<TokenStream> {
    Repr::of_struct(ty.input)?;
    let support = &ty.support;
    let fields = fields_of(&data.fields);
    let owned = fields.iter().map(|f| {
        let field = f.relocatable(support);
        quote!(#field::OWNED)
    });
    let locks = fields.iter().map(|f| {
        let field = f.relocatable(support);
        quote!(#field::LOCKS)
    });
    let discards = fields.iter().map(|f| {
        let (field, member) = (f.relocatable(support), &f.member);
        quote! {
            // SAFETY: a field of the caller's value.
            unsafe { #field::discard(&raw const (*p).#member, cx) };
        }
    });
    let implementation = ty.implementation(
        &struct_shape(&data.fields, support),
        &quote!(0 #(+ #owned)*),
        &quote!(false #(|| #locks)*),
        &quote!(#(#discards)*),
    );
    let parts = [
        ty.assertion(),
        ty.access_type(),
        methods(ty, &data.fields, &fields),
        all_fields(ty, &data.fields, &fields),
    ];
    let source = source(ty, &data.fields, &fields);
    Ok(quote!(#implementation #(#parts)* #source))
}

/// Methods of the access type.
fn methods(ty: &Type<'_>, kind: &Fields, fields: &[FieldOf<'_>]) -> TokenStream {
    let access = &ty.access;
    let (with_bounds, arguments, clauses) = ty.generics.split_for_impl();
    let each = fields.iter().map(|f| field_methods(ty, f));
    let whole = ty.whole_methods();
    let all = fields_mut(ty, kind, fields);
    quote! {
        #[automatically_derived]
        impl #with_bounds #access #arguments #clauses {
            #(#each)*
            #all
            #whole
        }
    }
}

fn field_methods(ty: &Type<'_>, f: &FieldOf<'_>) -> TokenStream {
    let support = &ty.support;
    let (vis, field, member, as_field) = (f.vis, f.ty, &f.member, f.relocatable(support));
    let text = crate::names::plain(&f.name);
    let (get, set) = (
        format_ident!("{text}_mut", span = f.name.span()),
        format_ident!("set_{text}", span = f.name.span()),
    );
    let get_doc = format!("Mutable access to `{}`.", f.text);
    let set_doc = format!(
        "Replaces `{}` by a value built from `source`.\n\n# Errors\nThose of building it; the old one stays then.",
        f.text
    );
    let access = quote_spanned!(f.span()=> #as_field::Access);
    let source = quote_spanned!(f.span()=> #field: #support::Emplace<AnySource>);
    let set_call = quote_spanned!(f.span()=> #support::set::<#field, AnySource>);
    let call = quote_spanned!(f.span()=> #as_field::access);
    quote! {
        #[doc = #get_doc]
        #[allow(dead_code)]
        #[inline]
        #vis fn #get(&mut self) -> &mut #access {
            let cx = self.__place.cx();
            // SAFETY: a field of a value that is exclusively ours as long as `self` is borrowed.
            unsafe { #call(&raw mut (*self.__place.ptr()).#member, cx) }
        }

        #[doc = #set_doc]
        #[allow(dead_code)]
        #vis fn #set<AnySource>(&mut self, source: AnySource) -> #support::Result<()>
        where
            #source,
        {
            let cx = self.__place.cx();
            // SAFETY: a field of a value that is exclusively ours as long as `self` is borrowed.
            unsafe { #set_call(&raw mut (*self.__place.ptr()).#member, source, cx) }
        }
    }
}

/// The type that `fields_mut` returns.
fn all_fields(ty: &Type<'_>, kind: &Fields, fields: &[FieldOf<'_>]) -> TokenStream {
    if fields.is_empty() {
        return quote!();
    }
    let (support, vis) = (&ty.support, &ty.input.vis);
    let name = format_ident!("{}Fields", ty.input.ident);
    let doc = format!("Mutable access to all fields of a [`{}`] at once.", ty.name());
    let mut generics = ty.generics.clone();
    generics.params.insert(0, syn::parse_quote!('place));
    let (with_bounds, _, clauses) = generics.split_for_impl();
    let each = fields.iter().map(|f| {
        let (vis, field, member) = (f.vis, f.relocatable(support), &f.member);
        let access = quote_spanned!(f.span()=> #field::Access);
        let doc = format!("`{}`", f.text);
        let named = f.named.then(|| quote!(#member:));
        quote!(#[doc = #doc] #vis #named &'place mut #access)
    });
    let body = surround(kind, quote!(#(#each),*));
    let end = matches!(kind, Fields::Unnamed(_)).then(|| quote!(;));
    let (clauses_before, clauses_after) = if end.is_some() { (None, clauses) } else { (clauses, None) };
    quote!(#[doc = #doc] #[allow(dead_code)] #vis struct #name #with_bounds #clauses_before #body #clauses_after #end)
}

fn fields_mut(ty: &Type<'_>, kind: &Fields, fields: &[FieldOf<'_>]) -> TokenStream {
    if fields.is_empty() {
        return quote!();
    }
    let (support, vis) = (&ty.support, &ty.input.vis);
    let name = format_ident!("{}Fields", ty.input.ident);
    let arguments = lifetime_and_arguments(ty);
    let each = fields.iter().map(|f| {
        let (field, member) = (f.relocatable(support), &f.member);
        f.with(quote! {
            // SAFETY: a field of a value that is exclusively ours as long as `self` is borrowed; no two are the same.
            unsafe { #field::access(&raw mut (*p).#member, cx) }
        })
    });
    let body = surround(kind, quote!(#(#each),*));
    quote! {
        /// Mutable access to all fields at once.
        #[allow(dead_code)]
        #[inline]
        #vis fn fields_mut(&mut self) -> #name #arguments {
            let (p, cx) = (self.__place.ptr(), self.__place.cx());
            #name #body
        }
    }
}

/// `<'_, T, U>`.
pub(crate) fn lifetime_and_arguments(ty: &Type<'_>) -> TokenStream {
    let parameters = ty.generics.params.iter().map(|p| match p {
        syn::GenericParam::Lifetime(l) => {
            let l = &l.lifetime;
            quote!(#l)
        }
        syn::GenericParam::Type(t) => {
            let t = &t.ident;
            quote!(#t)
        }
        syn::GenericParam::Const(c) => {
            let c = &c.ident;
            quote!(#c)
        }
    });
    quote!(<'_, #(#parameters),*>)
}

/// The source with the same fields.
fn source(ty: &Type<'_>, kind: &Fields, fields: &[FieldOf<'_>]) -> TokenStream {
    let (support, vis, name) = (&ty.support, &ty.input.vis, &ty.input.ident);
    let source = format_ident!("{name}New");
    let doc = format!("What a [`{}`] in a pool is built from.", ty.name());
    let parameters = fields.iter().map(|f| &f.source).collect::<Vec<_>>();
    let each = fields.iter().map(|f| {
        let (vis, member, parameter) = (f.vis, &f.member, &f.source);
        let doc = format!("Source of `{}`.", f.text);
        let named = f.named.then(|| quote!(#member:));
        quote!(#[doc = #doc] #vis #named #parameter)
    });
    let body = surround(kind, quote!(#(#each),*));
    let end = (!matches!(kind, Fields::Named(_))).then(|| quote!(;));
    let mut generics = ty.generics.clone();
    for f in fields {
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
        let (field, member) = (f.ty, &f.member);
        quote_spanned! {f.span()=>
            // SAFETY: within `dst`; the rest is the caller's contract.
            unsafe { <#field as #support::Emplace<_>>::emplace(source.#member, &raw mut (*dst).#member, cx)? };
        }
    });
    quote! {
        #[doc = #doc]
        #[derive(Debug, Clone)]
        #vis struct #source <#(#parameters),*> #body #end

        #[automatically_derived]
        impl #with_bounds #support::Emplace<#source <#(#parameters),*>> for #name #arguments #clauses {
            #[allow(unused_variables)]
            #[inline]
            unsafe fn emplace(source: #source <#(#parameters),*>, dst: *mut Self, cx: #support::Cx) -> #support::Result<()> {
                #(#steps)*
                ::core::result::Result::Ok(())
            }
        }
    }
}
