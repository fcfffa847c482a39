//! What all derives read: attributes, layout, generics, fields.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{
    Attribute, DeriveInput, Error, Fields, Generics, Ident, Index, Meta, Path, Result, Token, Type,
    Visibility,
};

/// `some::path::__private`, where the generated code finds what it needs.
pub(crate) fn support(attributes: &[Attribute]) -> Result<TokenStream> {
    let mut path = quote!(::aquifer);
    for attribute in attributes.iter().filter(|a| a.path().is_ident("aquifer")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("crate") {
                return Err(meta.error("unknown option: there is only `crate = path`"));
            }
            path = meta.value()?.call(Path::parse_mod_style)?.into_token_stream();
            Ok(())
        })?;
    }
    Ok(quote!(#path::__private))
}

/// What `#[repr(..)]` says.
#[derive(Default)]
pub(crate) struct Repr {
    pub(crate) c: bool,
    pub(crate) transparent: bool,
    /// `u8`, `i32`, ...
    pub(crate) integer: Option<Ident>,
}

impl Repr {
    fn of(attributes: &[Attribute]) -> Result<Repr> {
        let mut repr = Repr::default();
        for attribute in attributes.iter().filter(|a| a.path().is_ident("repr")) {
            let options = Punctuated::<Meta, Token![,]>::parse_terminated
                .parse2(attribute.meta.require_list()?.tokens.clone())?;
            for option in options {
                match option.path() {
                    p if p.is_ident("C") => repr.c = true,
                    p if p.is_ident("transparent") => repr.transparent = true,
                    p if p.is_ident("align") => {}
                    p if p.is_ident("packed") => {
                        return Err(Error::new(
                            option.span(),
                            "a packed type cannot live in a pool: its fields are not aligned",
                        ));
                    }
                    p => repr.integer = p.get_ident().cloned(),
                }
            }
        }
        Ok(repr)
    }

    /// The layout of a struct, which must be fixed.
    pub(crate) fn of_struct(input: &DeriveInput) -> Result<()> {
        let repr = Repr::of(&input.attrs)?;
        if repr.c || repr.transparent {
            return Ok(());
        }
        Err(Error::new(
            input.ident.span(),
            "a struct in a pool needs a layout that is the same in every build: add `#[repr(C)]`",
        ))
    }

    /// The layout of an enum, which must be fixed, with the type of its tag.
    pub(crate) fn of_enum(input: &DeriveInput) -> Result<(Repr, Ident)> {
        let repr = Repr::of(&input.attrs)?;
        match repr.integer.clone() {
            Some(integer) => Ok((repr, integer)),
            None => Err(Error::new(
                input.ident.span(),
                "an enum in a pool needs a layout that is the same in every build: add `#[repr(u8)]`, or `#[repr(C, u8)]`",
            )),
        }
    }
}

pub(crate) fn no_union(input: &DeriveInput) -> Error {
    Error::new(input.ident.span(), "a union cannot live in a pool: nobody knows which of its fields is valid")
}

/// The generics with one more bound on each type parameter.
pub(crate) fn bounded(generics: &Generics, bound: &TokenStream) -> Generics {
    let mut generics = generics.clone();
    for parameter in generics.type_params_mut() {
        parameter.bounds.push(syn::parse_quote!(#bound));
        parameter.default = None;
    }
    generics
}

/// A field of a struct or variant.
pub(crate) struct FieldOf<'a> {
    pub(crate) vis: &'a Visibility,
    pub(crate) ty: &'a Type,
    /// Its name, or number: as in `self.name`.
    pub(crate) member: TokenStream,
    /// A name for methods: that of the field, `field_0` for numbers.
    pub(crate) name: Ident,
    /// A name for a local variable.
    pub(crate) local: Ident,
    /// As text.
    pub(crate) text: String,
    /// Type parameter for its source.
    pub(crate) source: Ident,
    pub(crate) named: bool,
}

impl FieldOf<'_> {
    /// Where errors about the field's type are shown; to lints it is generated code.
    pub(crate) fn span(&self) -> Span {
        Span::call_site().located_at(self.ty.span())
    }

    /// `<type as Relocatable>`, at the field: the compiler says once, and there, what is wrong with the type.
    pub(crate) fn relocatable(&self, support: &TokenStream) -> TokenStream {
        let ty = self.ty;
        quote_spanned!(self.span()=> <#ty as #support::Relocatable>)
    }

    /// `name: value`, or `value` for numbered fields.
    pub(crate) fn with(&self, value: impl ToTokens) -> TokenStream {
        let member = &self.member;
        if self.named { quote!(#member: #value) } else { quote!(#value) }
    }
}

pub(crate) fn fields_of(fields: &Fields) -> Vec<FieldOf<'_>> {
    let numbered = |i: usize, field: &syn::Field| {
        let member = Index { index: i as u32, span: field.ty.span() };
        (quote!(#member), format_ident!("field_{i}"), i.to_string())
    };
    let one = |(i, field)| {
        let field: &syn::Field = field;
        let (member, name, text) = match &field.ident {
            Some(ident) => (quote!(#ident), ident.clone(), crate::names::plain(ident)),
            None => numbered(i, field),
        };
        let source = format_ident!("{}Source", crate::names::camel(&crate::names::plain(&name)));
        let local = format_ident!("__{}", crate::names::plain(&name));
        FieldOf {
            vis: &field.vis,
            ty: &field.ty,
            member,
            name,
            local,
            text,
            source,
            named: field.ident.is_some(),
        }
    };
    fields.iter().enumerate().map(one).collect()
}

/// `{ .. }` or `( .. )` around fields, as the original has them; nothing for none.
pub(crate) fn surround(fields: &Fields, inner: TokenStream) -> TokenStream {
    match fields {
        Fields::Named(_) => quote!({ #inner }),
        Fields::Unnamed(_) => quote!(( #inner )),
        Fields::Unit => quote!(),
    }
}
