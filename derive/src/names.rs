//! Names of generated items.

use syn::Ident;

/// A name without `r#`.
pub(crate) fn plain(ident: &Ident) -> String {
    let name = ident.to_string();
    name.strip_prefix("r#").map(str::to_string).unwrap_or(name)
}

/// `some_name` to `SomeName`.
pub(crate) fn camel(name: &str) -> String {
    let word = |w: &str| {
        let mut letters = w.chars();
        letters
            .next()
            .map(|first| first.to_uppercase().chain(letters).collect::<String>())
            .unwrap_or_default()
    };
    name.split('_').map(word).collect()
}

/// `SomeName` to `some_name`.
pub(crate) fn snake(name: &str) -> String {
    let mut snake = String::new();
    let mut after_lower = false;
    for c in name.chars() {
        if c.is_uppercase() && after_lower {
            snake.push('_');
        }
        after_lower = !c.is_uppercase() && c != '_';
        snake.extend(c.to_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_change_their_case() {
        assert_eq!(camel("some_name"), "SomeName");
        assert_eq!(camel("x"), "X");
        assert_eq!(snake("SomeName"), "some_name");
        assert_eq!(snake("HTTPServer"), "httpserver");
        assert_eq!(snake("V2Auth"), "v2_auth");
    }
}
