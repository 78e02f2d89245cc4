//! Addresses without their secrets: of a webhook's, the path alone is often enough to post there, and what is wrong with a
//! configuration ends up in journals and tickets.
//!
//! It knows how addresses are written (RFC 3986) and not which keys take one: a misspelt key has its value shown as well.

/// What stands in place of what is not shown.
const HIDDEN: char = '…';

/// `text` with scheme and host of every address in it, and nothing of what surrounds the host.
pub(super) fn hidden(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, address)) = rest.split_once("://") {
        // Blanks do not end it: an address with one in it is refused, and shown.
        let end = address.find(['"', '\'', '\n', '\r']).unwrap_or(address.len());
        out.push_str(before);
        out.push_str("://");
        push_host(&address[..end], &mut out);
        rest = &address[end..];
    }
    out + rest
}

/// As [`hidden`], of the excerpt of a text that was to be an address, be its scheme written wrong.
pub(super) fn hidden_address(text: &str) -> String {
    if text.contains("://") {
        return hidden(text);
    }
    // Cut off somewhere within what was to be hidden.
    if text.ends_with(HIDDEN) {
        return HIDDEN.into();
    }
    // As it stands in the file, with its quotes.
    let quote = ['"', '\''];
    let bare = text.trim_matches(quote);
    let (open, close) = text.split_once(bare).filter(|_| !bare.is_empty()).unwrap_or((text, ""));
    let mut out = open.to_owned();
    push_host(bare, &mut out);
    out + close
}

/// `…@example.org:8443/…`
fn push_host(address: &str, out: &mut String) {
    let (authority, path) = address.split_at(address.find(['/', '?', '#', '\\']).unwrap_or(address.len()));
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    // A password with a slash in it, most likely: then this is no host.
    if user.is_none() && path.contains('@') {
        out.push(HIDDEN);
        return;
    }
    if user.is_some() {
        out.extend([HIDDEN, '@']);
    }
    out.push_str(host);
    let mut path = path.chars();
    out.extend(path.next());
    out.extend(path.next().map(|_| HIDDEN));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_address_scheme_and_host_are_shown() {
        for (text, shown) in [
            ("\"https://example.org:8443\"", "\"https://example.org:8443\""),
            ("\"https://example.org/\"", "\"https://example.org/\""),
            ("\"https://example.org/s3cret\"", "\"https://example.org/…\""),
            ("\"https://u:s3cret@[::1]:80?s3cret\"", "\"https://…@[::1]:80?…\""),
            ("\"https://u:s3/cret@example.org\"", "\"https://…\""),
            ("\"https://example.org#s3cret", "\"https://example.org#…"),
            ("[\"curl\", 'http://a/s3cret', \"http://b/s3cret s3cret\"]", "[\"curl\", 'http://a/…', \"http://b/…\"]"),
            ("\"10%\"", "\"10%\""),
        ] {
            assert_eq!(hidden(text), shown);
            assert!(!hidden_address(text).contains("s3"), "{text}");
        }
    }

    #[test]
    fn an_address_whose_scheme_is_wrong_has_its_host_shown_all_the_same() {
        for (text, shown) in [
            ("\"example.org/s3cret\"", "\"example.org/…\""),
            ("'u:s3cret@example.org'", "'…@example.org'"),
            ("\"https:/s3cret\"", "\"https:/…\""),
            ("\"\"", "\"\""),
            ("\"u:s3cret…", "…"),
        ] {
            assert_eq!(hidden_address(text), shown);
        }
    }
}
