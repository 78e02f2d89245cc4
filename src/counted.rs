//! Counted words, pure: `1 target`, `2 targets`.
//!
//! Lines of the log have their own, in `sink::line`: their bytes are promised. `pingtest outages` groups the digits of its own.

use std::fmt::Display;

/// A number and a word in the form that fits it; one whose plural is more than an "s" is not for this.
pub(crate) fn counted<N: Copy + Display + PartialEq + From<u8>>(count: N, word: &str) -> String {
    format!("{count} {word}{}", either(count, "", "s"))
}

/// What is said of one, or of several: `is`, `are`.
pub(crate) fn either<'a, N: PartialEq + From<u8>>(count: N, one: &'a str, several: &'a str) -> &'a str {
    if count == N::from(1) { one } else { several }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_and_nothing_else_is() {
        assert_eq!(
            [0, 1, 2, 11].map(|count: u64| counted(count, "line")),
            ["0 lines", "1 line", "2 lines", "11 lines"]
        );
        assert_eq!([1_usize, 2].map(|count| either(count, "is", "are")), ["is", "are"]);
    }
}
