//! The device: opens it, reads and writes whole packets. The only `unsafe` of this program is the request for it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

/// A TUN device. It goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Tun(File);

impl Tun {
    /// Makes the device of this name in the network namespace of this thread.
    pub(crate) fn open(name: &str) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun")?;
        request(&file, name)?;
        Ok(Self(file))
    }

    /// The next packet that is routed to the device; `None` where none waits.
    pub(crate) fn receive<'a>(&self, buffer: &'a mut [u8]) -> io::Result<Option<&'a [u8]>> {
        match (&self.0).read(buffer) {
            Ok(length) => Ok(Some(&buffer[..length])),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Has a packet arrive from the device.
    pub(crate) fn send(&self, packet: &[u8]) -> io::Result<()> {
        // A packet is taken whole or not at all.
        (&self.0).write(packet).map(|_| ())
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[expect(unsafe_code, reason = "no safe layer asks for a TUN device")]
fn request(file: &File, name: &str) -> io::Result<()> {
    // SAFETY: all of `ifreq` are integers, pointers and arrays of them, for which zeros are values.
    let mut wanted: libc::ifreq = unsafe { std::mem::zeroed() };
    // Scripts have shorter names only, so that the last byte stays 0: it ends the name.
    for (place, byte) in wanted.ifr_name.iter_mut().zip(name.bytes()) {
        *place = byte as libc::c_char;
    }
    // Without packet information before each packet: the version is in its first byte. And not one that somebody else has made.
    wanted.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_TUN_EXCL) as libc::c_short;
    // SAFETY: the file is open, and the kernel reads and writes one `ifreq`, which `wanted` is.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &mut wanted) };
    if result >= 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if error.kind() == io::ErrorKind::ResourceBusy { Err(io::ErrorKind::AlreadyExists.into()) } else { Err(error) }
}
