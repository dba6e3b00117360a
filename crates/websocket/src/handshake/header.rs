//! The header fields of a request.

/// The header fields of a request, whose values are text.
#[derive(Debug)]
pub(super) struct Headers<'a>(pub(super) Vec<(&'a str, &'a str)>);

impl<'a> Headers<'a> {
    fn values(&self, name: &'static str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(it, _)| it.eq_ignore_ascii_case(name)).map(|&(_, value)| value)
    }

    /// The value of a field that must not be repeated, if there is one; an error if it is.
    pub(super) fn only(&self, name: &'static str) -> Result<Option<&'a str>, ()> {
        let mut values = self.values(name);
        let first = values.next();
        if values.next().is_some() { Err(()) } else { Ok(first) }
    }

    /// The members of a field that is a list.
    pub(super) fn tokens(&self, name: &'static str) -> impl Iterator<Item = &'a str> {
        let members = self.values(name).flat_map(|value| value.split(','));
        members.map(str::trim_ascii).filter(|token| !token.is_empty())
    }

    /// Whether a list has a member; upper and lower case are the same.
    pub(super) fn has_token(&self, name: &'static str, token: &str) -> bool {
        self.tokens(name).any(|it| it.eq_ignore_ascii_case(token))
    }

    /// Whether a list has exactly this member.
    pub(super) fn has_token_as_is(&self, name: &'static str, token: &str) -> bool {
        self.tokens(name).any(|it| it == token)
    }

    /// Whether anything follows the head.
    pub(super) fn has_body(&self) -> bool {
        self.values("transfer-encoding").next().is_some()
            || self.values("content-length").any(|length| length != "0")
    }
}
