//! Packing, kills in the middle of it, and reading back, in directories of their own.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use tempfile::TempDir;

use super::pack::FRAME;
use super::*;
use crate::sink::rotation::{Packing, RotatedName};

const NAME: &str = "alidns-2026-11-22.log";
const PACKINGS: [Packing; 2] = [Packing::Zstd, Packing::Gzip];

fn dir_with(content: &[u8]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join(NAME);
    fs::write(&path, content).expect("written");
    (dir, path)
}

fn packed(path: &Path, packing: Packing) -> PathBuf {
    pack(path, packing, &|| false).expect("packed")
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    Archive::open(path)?.read_to_end(&mut content)?;
    Ok(content)
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("listed");
    let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn lines(count: usize) -> Vec<u8> {
    (0..count).flat_map(|i| format!("2026-11-22_13:09:57.123 64 bytes: icmp_seq={i}\n").into_bytes()).collect()
}

fn name() -> RotatedName {
    RotatedName::parse(NAME).expect("a name")
}

/// Contents with something special about them.
fn contents() -> Vec<Vec<u8>> {
    let long = [vec![b'x'; 2 * FRAME + 17], b"\n".to_vec(), lines(3)].concat();
    let exact = vec![b'\n'; FRAME];
    vec![Vec::new(), b"\n".to_vec(), b"no newline".to_vec(), lines(70_000), long, exact, vec![b'y'; FRAME]]
}

#[test]
fn what_was_packed_is_read_back_and_the_original_is_gone() {
    for content in contents() {
        for packing in PACKINGS {
            let (dir, path) = dir_with(&content);
            let target = packed(&path, packing);
            assert_eq!(names(dir.path()), [format!("{NAME}{}", packing.suffix())]);
            assert!(read(&target).expect("read") == content, "{packing:?} of {} bytes", content.len());
        }
    }
}

#[test]
fn the_tools_of_the_system_read_it() {
    for (packing, tool) in [(Packing::Zstd, "zstd"), (Packing::Gzip, "gzip")] {
        for content in contents() {
            let (_dir, path) = dir_with(&content);
            let target = packed(&path, packing);
            let Ok(output) = Command::new(tool).arg("-dc").arg(&target).output() else { continue };
            assert!(output.status.success(), "{output:?}");
            assert!(output.stdout == content, "{packing:?} of {} bytes", content.len());
        }
    }
}

#[test]
fn nothing_to_do_leaves_the_file() {
    let (dir, path) = dir_with(b"a\n");
    assert_eq!(packed(&path, Packing::Plain), path);
    assert_eq!(names(dir.path()), [NAME]);
}

#[test]
fn every_frame_begins_with_a_line() {
    let content = lines(100_000);
    let (_dir, path) = dir_with(&content);
    let mut archive = Archive::open(&packed(&path, Packing::Zstd)).expect("opened");
    let mut starts = Vec::new();
    loop {
        starts.push(archive.position() as usize);
        let frame = archive.fill_buf().expect("a frame").len();
        if frame == 0 {
            break;
        }
        archive.consume(frame);
    }
    assert!(starts.len() > 4, "{starts:?}");
    assert!(starts[1..].iter().all(|&start| content[start - 1] == b'\n'));
}

#[test]
fn any_position_is_read_from() {
    let content = lines(100_000);
    for packing in Packing::ALL {
        let (_dir, path) = dir_with(&content);
        let mut archive = Archive::open(&packed(&path, packing)).expect("opened");
        for position in [content.len() - 5, 3 * FRAME, 3 * FRAME - 1, FRAME + 77, 0, 1, content.len(), 12] {
            archive.seek(position as u64).expect("found");
            assert_eq!(archive.position(), position as u64);
            let mut some = Vec::new();
            archive.by_ref().take(100).read_to_end(&mut some).expect("read");
            assert_eq!(some, content[position..content.len().min(position + 100)], "{packing:?} at {position}");
        }
    }
}

#[test]
fn one_position_costs_one_frame() {
    let (_dir, path) = dir_with(&lines(200_000));
    let mut archive = Archive::open(&packed(&path, Packing::Zstd)).expect("opened");
    archive.seek(5_000_000).expect("found");
    archive.fill_buf().expect("read");
    assert!(archive.bytes_read() <= FRAME as u64);
}

#[test]
fn size_is_known_where_frames_are() {
    let content = lines(50_000);
    for (packing, known) in [(Packing::Plain, true), (Packing::Zstd, true), (Packing::Gzip, false)] {
        let (_dir, path) = dir_with(&content);
        let archive = Archive::open(&packed(&path, packing)).expect("opened");
        assert_eq!(archive.size().expect("a size"), known.then_some(content.len() as u64));
        assert_eq!(archive.whole_size().expect("a size"), content.len() as u64);
    }
}

#[test]
fn zstd_of_somebody_else_is_read_from_its_beginning() {
    let content = lines(30_000);
    let (dir, _) = dir_with(b"");
    let path = dir.path().join("alidns.log.2.zst");
    fs::write(&path, zstd::encode_all(content.as_slice(), 1).expect("packed")).expect("written");
    let mut archive = Archive::open(&path).expect("opened");
    assert_eq!(archive.size().expect("a size"), None);
    archive.seek(content.len() as u64 - 10).expect("found");
    archive.seek(20).expect("found again");
    let mut rest = Vec::new();
    archive.read_to_end(&mut rest).expect("read");
    assert!(rest == content[20..]);
}

#[test]
fn mode_and_time_are_those_of_the_original() {
    let (_dir, path) = dir_with(b"a\n");
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_763_600_000);
    File::open(&path).expect("opened").set_modified(time).expect("set");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("set");
    let meta = fs::metadata(packed(&path, Packing::Zstd)).expect("there");
    assert_eq!((meta.permissions().mode() & 0o7777, meta.modified().expect("known")), (0o640, time));
}

#[test]
fn a_packed_file_that_is_there_is_not_replaced() {
    for packing in PACKINGS {
        let (dir, path) = dir_with(b"a\n");
        let target = dir.path().join(name().packed(packing).to_string());
        fs::write(&target, b"precious").expect("written");
        let error = pack(&path, packing, &|| false).expect_err("refused");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&target).expect("there"), b"precious");
        assert_eq!(names(dir.path()).len(), 2);
    }
}

#[test]
fn told_to_stop_it_leaves_the_original_and_no_part() {
    let (dir, path) = dir_with(&lines(50_000));
    let error = pack(&path, Packing::Zstd, &|| true).expect_err("stopped");
    assert_eq!(error.kind(), io::ErrorKind::Interrupted);
    assert_eq!(names(dir.path()), [NAME]);
}

#[test]
fn what_is_no_file_is_not_packed() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join(NAME);
    fs::create_dir(&path).expect("made");
    assert!(pack(&path, Packing::Zstd, &|| false).is_err());
    fs::remove_dir(&path).expect("removed");
    std::os::unix::fs::symlink("/etc/passwd", &path).expect("made");
    assert!(pack(&path, Packing::Zstd, &|| false).is_err());
    assert_eq!(names(dir.path()), [NAME]);
}

#[test]
fn a_part_left_by_a_kill_is_written_anew() {
    let (dir, path) = dir_with(b"a\n");
    fs::write(dir.path().join(format!(".{NAME}.zst.part")), b"half").expect("written");
    assert_eq!(read(&packed(&path, Packing::Zstd)).expect("read"), b"a\n");
    assert_eq!(names(dir.path()).len(), 1);
}

#[test]
fn recovery_removes_parts_of_its_own_and_no_other() {
    let (dir, _) = dir_with(b"a\n");
    let other = format!(".{}.zst.part", NAME.replace("alidns", "other"));
    for part in [format!(".{NAME}.zst.part"), format!(".{NAME}.gz.part"), other.clone()] {
        fs::write(dir.path().join(part), b"half").expect("written");
    }
    let recovered = recover(dir.path(), &[name()]);
    assert!(matches!(recovered[..], [Recovered::PartRemoved(_), Recovered::PartRemoved(_)]), "{recovered:?}");
    assert_eq!(names(dir.path()), [other.as_str(), NAME]);
}

#[test]
fn recovery_removes_an_original_that_was_packed_as_a_whole() {
    for packing in PACKINGS {
        let content = lines(30_000);
        let (dir, path) = dir_with(&content);
        let target = packed(&path, packing);
        fs::write(&path, &content).expect("written");
        let recovered = recover(dir.path(), &[name().packed(packing)]);
        assert!(matches!(recovered[..], [Recovered::OriginalRemoved(_)]), "{recovered:?}");
        assert!(!path.exists() && read(&target).expect("read") == content);
    }
}

#[test]
fn recovery_leaves_both_where_they_differ() {
    for packing in PACKINGS {
        let (dir, path) = dir_with(&lines(1000));
        packed(&path, packing);
        fs::write(&path, lines(1001)).expect("written");
        let recovered = recover(dir.path(), &[name()]);
        assert!(matches!(recovered[..], [Recovered::Differs { .. }]), "{recovered:?}");
        assert_eq!(names(dir.path()).len(), 2);
    }
}

#[test]
fn recovery_leaves_both_where_the_packed_one_is_damaged() {
    for (packing, cut) in
        [(Packing::Zstd, 3), (Packing::Gzip, 3), (Packing::Zstd, usize::MAX), (Packing::Gzip, usize::MAX)]
    {
        let content = lines(30_000);
        let (dir, path) = dir_with(&content);
        let target = packed(&path, packing);
        let bytes = fs::read(&target).expect("there");
        fs::write(&target, &bytes[..bytes.len().saturating_sub(cut)]).expect("cut");
        fs::write(&path, &content).expect("written");
        let recovered = recover(dir.path(), &[name()]);
        assert!(
            matches!(recovered[..], [Recovered::Failed(..) | Recovered::Differs { .. }]),
            "{packing:?} less {cut}: {recovered:?}"
        );
        assert_eq!(names(dir.path()).len(), 2);
    }
}

#[test]
fn a_damaged_frame_is_an_error_and_the_others_are_read() {
    let content = lines(100_000);
    let (_dir, path) = dir_with(&content);
    let target = packed(&path, Packing::Zstd);
    let mut bytes = fs::read(&target).expect("there");
    bytes[2000] ^= 0xff;
    fs::write(&target, bytes).expect("written");
    let mut archive = Archive::open(&target).expect("opened");
    assert!(archive.fill_buf().is_err());
    archive.seek(content.len() as u64 - 9).expect("found");
    assert_eq!(archive.fill_buf().expect("read"), &content[content.len() - 9..]);
}

/// A packed file of a few frames, small enough to be spoilt in many ways.
fn sample(packing: Packing) -> Vec<u8> {
    let (_dir, path) = dir_with(&lines(40_000));
    fs::read(packed(&path, packing)).expect("there")
}

fn spoilt_is_read_or_refused(packing: Packing, bytes: &[u8]) {
    let (dir, _) = dir_with(b"");
    let path = dir.path().join(name().packed(packing).to_string());
    fs::write(&path, bytes).expect("written");
    let Ok(mut archive) = Archive::open(&path) else { return };
    for position in [0, 1, FRAME as u64 + 3, 1 << 40] {
        let _ = archive.seek(position).and_then(|()| io::copy(&mut archive.by_ref().take(10_000), &mut io::sink()));
    }
    let _ = archive.seek(0).and_then(|()| io::copy(&mut archive, &mut io::sink()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_spoilt_file_is_read_or_refused(
        at in any::<prop::sample::Index>(), cut in any::<prop::sample::Index>(), flip in 1..=u8::MAX, from_end in 0_usize..64,
    ) {
        static SAMPLES: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| PACKINGS.map(sample));
        for (packing, good) in PACKINGS.into_iter().zip(SAMPLES.iter()) {
            spoilt_is_read_or_refused(packing, &good[..cut.index(good.len())]);
            let mut bad = good.clone();
            bad[at.index(good.len())] ^= flip;
            spoilt_is_read_or_refused(packing, &bad);
            let mut bad = good.clone();
            let last = bad.len() - 1;
            bad[last.saturating_sub(from_end)] ^= flip;
            spoilt_is_read_or_refused(packing, &bad);
        }
    }

    #[test]
    fn garbage_is_read_or_refused(garbage in prop::collection::vec(any::<u8>(), 0..300)) {
        for packing in PACKINGS {
            spoilt_is_read_or_refused(packing, &garbage);
            // With an end that announces a table.
            spoilt_is_read_or_refused(packing, &[&garbage[..], &[0x00, 0xb1, 0xea, 0x92, 0x8f]].concat());
        }
    }
}

#[test]
fn a_file_that_grows_while_it_is_packed_stays() {
    for packing in PACKINGS {
        let (dir, path) = dir_with(&lines(50_000));
        let append =
            || OpenOptions::new().append(true).open(&path).and_then(|mut file| file.write_all(b"late\n")).is_err();
        pack(&path, packing, &append).expect_err("refused");
        assert_eq!(names(dir.path()), [NAME]);
    }
}
