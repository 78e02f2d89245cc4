//! The place from which is looked: root takes that of the service's user, on a thread of its own.
//!
//! Rights belong to threads in Linux (credentials(7)), and who is started by a thread inherits them. So a thread becomes the user, with
//! those of CAP_NET_RAW and CAP_NET_ADMIN that the service has, and the rest of the process stays what it is. The service's
//! sandbox is not imitated.

use std::ffi::CString;
use std::io;
use std::thread;

use nix::unistd::{Gid, Uid, User, getgrouplist, getgroups};
use rustix::thread::{
    CapabilitySet, CapabilitySets, set_capabilities, set_keep_capabilities, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};

use super::super::facts::{Standing, Unit, Whom};
use super::{PATIENCE, bounded};

/// Whom the packages have the service run as.
const SERVICE_USER: &str = "pingtest";

/// Has `look` look from the place of the service's user, if this is root and there is one; else from its own.
pub(super) fn taken<T: Send>(unit: Option<&Unit>, look: impl Fn(Whom) -> T + Send + Sync) -> T {
    let unit = unit.filter(|unit| unit.is_loaded());
    let Some(user) = wanted(unit) else { return look(beside(unit)) };
    let groups = groups_of(&user);
    let mut capabilities = CapabilitySet::empty();
    // Without a unit: as that of the packages.
    capabilities.set(CapabilitySet::NET_RAW, unit.is_none_or(|unit| unit.net_raw));
    capabilities.set(CapabilitySet::NET_ADMIN, unit.is_some_and(|unit| unit.net_admin));
    let there = thread::scope(|scope| {
        let thread = scope.spawn(|| {
            take(&user, &groups, capabilities)?;
            Ok::<_, rustix::io::Errno>(look(Whom {
                user: user.name.clone(),
                groups: raw(&groups),
                standing: Standing::InPlace { net_raw: capabilities.contains(CapabilitySet::NET_RAW) },
            }))
        });
        thread.join()
    });
    let error = match there {
        Ok(Ok(looked)) => return looked,
        Ok(Err(error)) => io::Error::from(error).to_string(),
        Err(_) => "it died there".to_owned(),
    };
    look(own(Standing::Refused { wanted: user.name, error }))
}

/// Whose place to take.
fn wanted(unit: Option<&Unit>) -> Option<User> {
    if !Uid::effective().is_root() {
        return None;
    }
    let name = match unit {
        Some(unit) => unit.user.clone(),
        None => SERVICE_USER.to_owned(),
    };
    // A directory of users on the network may not answer.
    let found = bounded(PATIENCE, move || User::from_name(&name).ok().flatten()).flatten();
    found.filter(|user| !user.uid.is_root())
}

/// The main group first.
fn groups_of(user: &User) -> Vec<Gid> {
    let listed = CString::new(user.name.as_str()).ok().and_then(|name| getgrouplist(&name, user.gid).ok());
    let others = listed.unwrap_or_default().into_iter().filter(|group| *group != user.gid);
    [user.gid].into_iter().chain(others).collect()
}

/// From its own place: that of the service, or of somebody else.
fn beside(unit: Option<&Unit>) -> Whom {
    let own = own(Standing::Own);
    let service = unit.map(|unit| if unit.user.is_empty() { "root" } else { &unit.user });
    match service.filter(|service| *service != own.user && !Uid::effective().is_root()) {
        Some(service) => Whom { standing: Standing::Bystander { service: service.to_owned() }, ..own },
        None => own,
    }
}

fn own(standing: Standing) -> Whom {
    let uid = Uid::effective();
    let user = bounded(PATIENCE, move || User::from_uid(uid).ok().flatten()).flatten();
    let others = getgroups().unwrap_or_default();
    let groups: Vec<_> = [Gid::effective()].into_iter().chain(others).collect();
    Whom { user: user.map_or_else(|| uid.to_string(), |user| user.name), groups: raw(&groups), standing }
}

fn raw(groups: &[Gid]) -> Vec<u32> {
    groups.iter().map(|group| group.as_raw()).collect()
}

/// This thread becomes the user, and keeps of its capabilities these.
fn take(user: &User, groups: &[Gid], capabilities: CapabilitySet) -> Result<(), rustix::io::Errno> {
    let group = |group: &Gid| rustix::process::Gid::from_raw(group.as_raw());
    let (uid, gid) = (rustix::process::Uid::from_raw(user.uid.as_raw()), group(&user.gid));
    let allowed = rustix::thread::capabilities(None)?.permitted & capabilities;
    set_keep_capabilities(true)?;
    set_thread_groups(&groups.iter().map(group).collect::<Vec<_>>())?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    set_capabilities(
        None,
        CapabilitySets { effective: allowed, permitted: allowed, inheritable: CapabilitySet::empty() },
    )
}
