// Weft's native addon: what Node and WebAssembly can't do themselves, and no more. System calls and ciphers only; no packet is
// parsed and no policy decided here. src/ports/native.ts is the contract and the only module that loads this one.
//
//   fault       failed system calls                       error       the same as JavaScript sees them
//   promise     calls on threads of their own             bare        calls that every batch makes
//   descriptor  fds that cross to JavaScript              memory      checked access to the engine's memory
//   layout      numbers shared with the engine            poller      the data plane's loop
//   tap, udp, raw, packet ports                           path_mtu    what routers say of too long packets
//   aead        ESP's ciphers, over the engine's memory   core_files  none, of a process that has keys
//   visit       calls inside a network namespace          netns       namespaces made and removed
//   netlink     links, addresses, routes, flows           sysctl      /proc/sys in a namespace
//   libnftables rules, by nftables' own library           loopback    a service at a loopback address
//   process     programs in a namespace                   isolation   what such a program sees of its own
//   terminal    pseudo-terminals                          watch       the ends of processes that are no children
//   lock        one daemon a state directory              relay       held ports, for sandboxes without IPv6
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
mod service;
mod sysctl;
mod tap;
mod terminal;
mod udp;
mod visit;
mod watch;
