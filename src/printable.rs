//! Text of others, made fit for a terminal: from a resolver, another process, another release, a configuration.
//!
//! Lines of the log have a rule of their own, in `sink::line`: their bytes are promised.

/// `text` on one line, with what would steer a terminal spelled out.
pub(crate) fn printable(text: &str) -> String {
    // Nearly all there is: the status of ten thousand targets has forty thousand texts.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.to_owned();
    }
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if steers(c) {
            out.extend(c.escape_debug());
        } else {
            out.push(c);
        }
        out
    })
}

/// Whether a character does something to a line other than to stand in it: control characters (C0, DEL, C1), line and paragraph
/// separators, and those that turn the direction of what follows (UAX #9), by which a text can be made to read as another.
pub(crate) fn steers(c: char) -> bool {
    let breaks = matches!(c, '\u{2028}' | '\u{2029}');
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || breaks || turns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_steer_a_terminal_is_spelled_out() {
        assert_eq!(printable("a\x1b[2Jb\u{202e}ü\u{9b}c\n"), "a\\u{1b}[2Jb\\u{202e}ü\\u{9b}c\\n");
        assert_eq!(printable("\u{2066}a\u{2029}\u{200f}"), "\\u{2066}a\\u{2029}\\u{200f}");
    }

    #[test]
    fn everything_else_stands_as_it_is() {
        for text in ["", "plain: \"text\" \\ it's", "größe 网关 \u{1f600}"] {
            assert_eq!(printable(text), text);
        }
    }
}
