//! Furnishes the device by ip(8) and sysctls: its addresses, a route to it for each prefix, and no packets but those of others.

use std::fs;
use std::io::{self, Write};
use std::process::{Command, Stdio};

use ipnet::IpNet;

use crate::script::{DeviceName, Script, Within};
use crate::tun::Tun;

/// The kernel's 500 are fewer than a burst of a prober has.
const QUEUE: u32 = 20_000;
/// Debian keeps ip(8) where not everybody's path leads.
const SBIN: &str = "/usr/sbin:/sbin";

/// Makes the device of a script, up and with all its routes.
pub(crate) fn open(script: &Script) -> io::Result<Tun> {
    let DeviceName(name) = &script.device.name;
    let tun = Tun::open(name).map_err(|error| within(&format!("device {name:?}"), &error))?;
    // Answers may come from addresses that no route leads back to.
    for device in ["all", name] {
        set(&format!("ipv4/conf/{device}/rp_filter"), "0")?;
    }
    // Neither looks the device for others with its addresses, nor has it one by itself, nor asks it for routers.
    for (key, value) in [("accept_dad", "0"), ("addr_gen_mode", "1"), ("router_solicitations", "0")] {
        set_where_there_is(&format!("ipv6/conf/{name}/{key}"), value)?;
    }
    ip(&commands(script))?;
    Ok(tun)
}

/// Lines for `ip -batch`.
fn commands(script: &Script) -> String {
    let device = &script.device;
    let (DeviceName(name), Within(mtu)) = (&device.name, device.mtu);
    let mut lines = format!("link set dev {name} mtu {mtu} txqueuelen {QUEUE} up\n");
    for address in &device.addresses {
        let nodad = if address.addr().is_ipv6() { " nodad" } else { "" };
        lines += &format!("address add {address} dev {name}{nodad}\n");
    }
    for prefix in script.nets.iter().map(|net| net.prefix) {
        lines += &format!("route replace {prefix} dev {name}{}\n", source(prefix, &device.addresses));
    }
    lines
}

/// The address to probe a prefix from: the first one of its family.
fn source(prefix: IpNet, addresses: &[IpNet]) -> String {
    let mut of_family = addresses.iter().filter(|address| address.addr().is_ipv6() == prefix.addr().is_ipv6());
    of_family.next().map_or(String::new(), |address| format!(" src {}", address.addr()))
}

fn ip(commands: &str) -> io::Result<()> {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("ip");
    command.args(["-batch", "-"]).env("PATH", format!("{path}:{SBIN}"));
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| within("ip(8)", &error))?;
    // Where it ends before it has read all, its own words say why.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(commands.as_bytes()));
    let ended = child.wait_with_output()?;
    let words = String::from_utf8_lossy(&ended.stderr);
    if ended.status.success() { Ok(()) } else { Err(io::Error::other(format!("ip(8): {}", words.trim()))) }
}

fn set(key: &str, value: &str) -> io::Result<()> {
    fs::write(format!("/proc/sys/net/{key}"), value).map_err(|error| within(key, &error))
}

/// Without IPv6 in the kernel, there are no keys of it.
fn set_where_there_is(key: &str, value: &str) -> io::Result<()> {
    match set(key, value) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn within(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}
