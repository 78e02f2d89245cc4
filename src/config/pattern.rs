//! Wildcards of one path component: `*` and `?`, nothing else. Knows names only, no directories.

/// Whether `text` holds a wildcard at all.
pub(super) fn is_wild(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// Whether `name` fits `pattern`, in which `*` stands for any run of characters and `?` for exactly one.
///
/// As in a shell, a wildcard does not match the dot that hides a file: an editor's `.web.toml.swp` is no configuration.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where to go on when a guess proves wrong: after the last `*`, which then swallows one character more. Earlier
    // stars need no second guess, which keeps this quadratic at worst.
    let mut retry = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                p += 1;
                retry = Some((p, n));
            }
            Some(&c) if c == '?' || c == name[n] => (p, n) = (p + 1, n + 1),
            _ => {
                let Some((star, swallowed)) = retry else { return false };
                (p, n) = (star, swallowed + 1);
                retry = Some((p, n));
            }
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_matches_any_run_of_characters() {
        for name in ["a.toml", "ab.toml", ".toml.toml"] {
            assert_eq!(matches("*.toml", name), !name.starts_with('.'), "{name}");
        }
        assert!(matches("*", "x"));
        assert!(matches("a*b*c", "a-b-b-c"));
        assert!(!matches("a*b*c", "a-b-b-"));
        assert!(!matches("*.toml", "a.toml~"));
    }

    #[test]
    fn a_question_mark_matches_exactly_one_character() {
        assert!(matches("web?.toml", "webä.toml"));
        assert!(!matches("web?.toml", "web.toml"));
        assert!(!matches("web?.toml", "web10.toml"));
    }

    #[test]
    fn a_hidden_file_needs_a_written_dot() {
        assert!(!matches("*", ".a"));
        assert!(!matches("?a", ".a"));
        assert!(matches(".*", ".a"));
    }

    #[test]
    fn many_stars_do_not_take_for_ever() {
        assert!(!matches(&"*a".repeat(100), &"b".repeat(10_000)));
    }
}
