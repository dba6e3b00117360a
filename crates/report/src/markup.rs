//! Text from elsewhere as HTML or XML.

/// `text` so that it means itself, in an element and in a quoted attribute alike.
pub(crate) fn escaped(text: &str) -> String {
    let mut markup = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => markup += "&lt;",
            '>' => markup += "&gt;",
            '&' => markup += "&amp;",
            '"' => markup += "&quot;",
            '\'' => markup += "&#39;",
            c => markup.push(c),
        }
    }
    markup
}

/// A JSON value as text that is safe within a `script` element.
pub(crate) fn json_in_html(value: &serde_json::Value) -> String {
    value.to_string().replace('<', "\\u003c")
}
