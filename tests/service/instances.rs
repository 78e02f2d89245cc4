//! Further instances, and the drop-ins that the package has for examples.

/// A configuration for the instance `name`, which probes a host of the network.
pub(crate) fn config(name: &str) -> String {
    format!(
        "[defaults]\ninterval = \"100ms\"\ntimeout = \"300ms\"\n\n[control]\nsocket = \"/run/pingtest-{name}/control.sock\"\n\n\
         [ledger]\npath = \"/var/lib/pingtest/{name}/ledger.db\"\n\n[[target]]\nhost = \"10.99.0.5\"\nname = \"only-{name}\"\n"
    )
}
