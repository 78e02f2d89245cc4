//! What is sent, as the journal would read it, and what becomes of it where nobody does.

use tracing::subscriber::with_default;
use tracing::{debug, error, info, warn};
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry;

use super::*;

fn said(message: &str, fields: &[(&'static str, &str)]) -> Said {
    let fields = fields.iter().map(|(name, value)| (*name, (*value).to_owned()));
    Said { message: message.into(), fields: fields.collect() }
}

fn read(datagram: &[u8]) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Fields(datagram).map(|(name, value)| (text(name), text(value))).collect()
}

fn value(datagram: &[u8], wanted: &str) -> Option<String> {
    read(datagram).into_iter().find_map(|(name, value)| (name == wanted).then_some(value))
}

#[test]
fn a_message_is_one_field_a_line() {
    let datagram = datagram(Level::WARN, &said("down", &[("PINGTEST_EVENT", "outage_began"), ("PINGTEST_LOST", "3")]));
    let id = event::kind(event::OUTAGE_BEGAN).unwrap().message_id;
    let expected = format!(
        "PRIORITY=4\nSYSLOG_IDENTIFIER=pingtest\nMESSAGE_ID={id}\nPINGTEST_EVENT=outage_began\nPINGTEST_LOST=3\nMESSAGE=down\n"
    );
    assert_eq!(String::from_utf8(datagram).unwrap(), expected);
}

#[test]
fn a_value_of_several_lines_has_its_length_before_it() {
    let datagram = datagram(Level::ERROR, &said("a=b\nPRIORITY=0", &[]));
    assert!(datagram.ends_with(b"MESSAGE\n\x0e\0\0\0\0\0\0\0a=b\nPRIORITY=0\n"), "{datagram:?}");
    assert_eq!(value(&datagram, "PRIORITY").as_deref(), Some("3"));
    assert_eq!(value(&datagram, "MESSAGE").as_deref(), Some("a=b\nPRIORITY=0"));
    assert_eq!(plain(&datagram), b"<3>a=b\n<3>PRIORITY=0\n");
}

#[test]
fn priorities_are_those_of_the_level_and_of_what_is_notable() {
    for (level, word, expected) in [
        (Level::ERROR, None, "3"),
        (Level::WARN, Some(event::OUTAGE_BEGAN), "4"),
        (Level::INFO, Some(event::OUTAGE_ENDED), "5"),
        (Level::INFO, Some(event::PAUSED), "6"),
        (Level::INFO, None, "6"),
        (Level::WARN, Some(event::STARTED), "4"),
        (Level::DEBUG, None, "7"),
        (Level::TRACE, None, "7"),
    ] {
        assert_eq!(priority(level, word), expected, "{level} {word:?}");
    }
}

#[test]
fn a_word_without_a_kind_has_no_identifier() {
    let datagram = datagram(Level::INFO, &said("", &[("PINGTEST_EVENT", "unheard_of")]));
    assert_eq!(value(&datagram, "MESSAGE_ID"), None);
}

#[test]
fn a_value_without_end_is_cut_between_two_characters_and_says_so() {
    let datagram = datagram(Level::INFO, &said(&"€".repeat(100_000), &[]));
    let message = value(&datagram, "MESSAGE").unwrap();
    assert!(message.len() <= LONGEST && message.len() > LONGEST - 3, "{}", message.len());
    assert!(message.ends_with("€… (cut)"));
    let whole = "x".repeat(LONGEST);
    assert_eq!(value(&super::datagram(Level::INFO, &said(&whole, &[])), "MESSAGE"), Some(whole));
}

#[test]
fn on_standard_error_a_message_of_many_lines_is_cut_where_a_line_ends() {
    let text = plain(&datagram(Level::ERROR, &said(&"x\n".repeat(8000), &[])));
    assert!(text.len() <= LONGEST_PLAIN && text.len() > LONGEST_PLAIN - 64, "{}", text.len());
    assert!(text.ends_with("<3>x\n<3>… (cut)\n".as_bytes()));
}

#[test]
fn what_is_no_message_is_not_read_beyond_its_end() {
    for torn in [&b""[..], b"A", b"A\n", b"A\n\xff\0\0\0\0\0\0\0x\n", b"A\n\xff\xff\xff\xff\xff\xff\xff\xff\n", b"A=b"]
    {
        assert_eq!(Fields(torn).count(), 0, "{torn:?}");
    }
}

/// What a journal is sent while `speak` speaks.
fn heard(count: usize, speak: impl FnOnce()) -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listening = UnixDatagram::bind(&path).unwrap();
    listening.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    let (journal, _guard) = Journal::start(path).unwrap();
    with_default(registry().with(journal), speak);
    let receive = || {
        let mut buffer = vec![0; 256 * 1024];
        let length = listening.recv(&mut buffer).unwrap();
        buffer.truncate(length);
        buffer
    };
    (0..count).map(|_| receive()).collect()
}

#[test]
fn fields_for_the_journal_are_no_part_of_the_message_and_others_are() {
    let heard = heard(1, || {
        let nothing: Option<&str> = None;
        info!(PINGTEST_EVENT = event::PAUSED, PINGTEST_TARGET = %"a\x1b", PINGTEST_ADDR = nothing, more = 2, "paused: {}", "x\u{9b}");
    });
    assert_eq!(value(&heard[0], "MESSAGE").as_deref(), Some("paused: x\\u{9b} more=2"));
    assert_eq!(value(&heard[0], "PINGTEST_TARGET").as_deref(), Some("a\\u{1b}"));
    assert_eq!(value(&heard[0], "PINGTEST_EVENT").as_deref(), Some("paused"));
    assert_eq!(value(&heard[0], "PINGTEST_ADDR"), None);
}

#[test]
fn each_event_is_one_datagram_in_order() {
    let heard = heard(4, || {
        error!("one");
        warn!("two\nlines");
        info!("three");
        debug!("four");
    });
    let heard: Vec<_> = heard.iter().map(|datagram| value(datagram, "MESSAGE").unwrap()).collect();
    assert_eq!(heard, ["one", "two\nlines", "three", "four"]);
}

#[test]
fn the_largest_message_fits_into_a_datagram() {
    let heard = heard(1, || {
        let long = "x".repeat(100_000);
        error!(PINGTEST_A = long, PINGTEST_B = long, PINGTEST_C = long, PINGTEST_D = long, PINGTEST_E = long, "{long}");
    });
    assert_eq!(value(&heard[0], "PINGTEST_E").unwrap().len(), LONGEST);
}

#[test]
fn a_journal_begun_anew_is_found_by_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let (mut sender, _dropped) = sender(&path);
    for message in ["first", "second"] {
        let listening = UnixDatagram::bind(&path).unwrap();
        sender.write_all(&datagram(Level::INFO, &said(message, &[]))).unwrap();
        let mut buffer = [0; 4096];
        let length = listening.recv(&mut buffer).unwrap();
        assert_eq!(value(&buffer[..length], "MESSAGE").as_deref(), Some(message));
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn what_was_lost_is_told_when_the_journal_takes_messages_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let (mut sender, _dropped) = sender(&path);
    sender.lost = 2;
    let listening = UnixDatagram::bind(&path).unwrap();
    sender.write_all(&datagram(Level::INFO, &said("again", &[]))).unwrap();
    sender.write_all(&datagram(Level::INFO, &said("and on", &[]))).unwrap();
    let messages: Vec<_> = (0..3)
        .map(|_| {
            let mut buffer = [0; 4096];
            let length = listening.recv(&mut buffer).unwrap();
            (value(&buffer[..length], "MESSAGE").unwrap(), value(&buffer[..length], "PINGTEST_COUNT"))
        })
        .collect();
    let missing = "2 messages are missing here: the journal did not take them in time";
    let expected = [("again", None), (missing, Some("2")), ("and on", None)];
    assert_eq!(messages, expected.map(|(message, count)| (message.to_owned(), count.map(str::to_owned))));
}

fn sender(path: &std::path::Path) -> (Sender, Arc<OnceLock<ErrorCounter>>) {
    let dropped = Arc::new(OnceLock::new());
    let socket = UnixDatagram::unbound().unwrap();
    (Sender { socket, path: path.into(), dropped: Arc::clone(&dropped), told: 0, lost: 0 }, dropped)
}

#[test]
fn what_finds_no_room_while_nobody_reads_is_counted_to_the_last_message() {
    const SAID: usize = 5000;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listening = UnixDatagram::bind(&path).unwrap();
    listening.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    let (journal, _guard) = Journal::start(path).unwrap();
    with_default(registry().with(journal), || (0..SAID).for_each(|number| info!("number {number}")));
    let (mut told, mut missing) = (0, 0);
    let mut buffer = [0; 4096];
    while told + missing < SAID {
        let length = listening.recv(&mut buffer).unwrap_or_else(|error| panic!("{told} + {missing}: {error}"));
        match value(&buffer[..length], "PINGTEST_COUNT") {
            Some(count) => missing += count.parse::<usize>().unwrap(),
            None => told += 1,
        }
    }
    assert_eq!(told + missing, SAID);
    assert!(missing > 0 && told > crate::logging::WAITING, "{told} {missing}");
}
