// Weft's native addon: what Node and WebAssembly can't do themselves, and no more. System calls and ciphers only; no packet is
// parsed and no policy decided here. src/ports/native.ts is the contract and the only module that loads this one.
//
//   fault      failed system calls                      error      the same as JavaScript sees them
//   promise    calls on threads of their own            isolation  what a program sees of its own
//   netns      network namespaces                       descriptor fds that cross to JavaScript
//   tap, udp, raw, packet  ports                        netlink    links, addresses, routes
//   path_mtu   what routers say of too long packets
//   sysctl     /proc/sys in a namespace                 process    programs in a namespace
//   lock       one daemon a state directory            loopback   a service at an address of a namespace's loopback
//   terminal   pseudo-terminals                         watch      the ends of processes that are no children
//   layout     numbers shared with the engine           memory     checked access to its memory
//   poller     the data plane's loop                  libnftables rulesets, by nftables' own library
//   relay      held ports of the host, and their way to sandboxes without IPv6
//   aead       ESP's ciphers over the engine's memory    bare       calls that every batch makes
//
// shim/ is a program of its own: what stays with a program of `weft run -d` when the command line has returned.

mod aead;
mod bare;
mod core_files;
mod descriptor;
mod error;
mod fault;
mod isolation;
mod layout;
mod libnftables;
mod lock;
mod loopback;
mod memory;
mod netlink;
mod netns;
mod packet;
mod path_mtu;
mod poller;
mod process;
mod promise;
mod raw;
mod relay;
mod sysctl;
mod tap;
mod terminal;
mod udp;
mod watch;
