//! UDP traffic for the benchmarks, cheap enough that the network is what is measured: the same program on both sides of a
//! comparison, one process a role, one JSON line as its answer.
//!
//!   weft-sender sink  ADDRESS PORT [BYTES]                        counts until stdin ends; BYTES: takes trains
//!   weft-sender blast ADDRESS PORT BYTES SECONDS RATE             RATE datagrams a second; 0: as many as it can
//!   weft-sender train ADDRESS PORT BYTES SECONDS RATE             the same in trains of UDP_SEGMENT
//!   weft-sender echo  ADDRESS PORT                                sends back until stdin ends
//!   weft-sender rtt   ADDRESS PORT BYTES SECONDS                  one request at a time
//!   weft-sender learn  INTERFACE MACS SIDE RATE                   Ethernet frames, each source once
//!   weft-sender frames INTERFACE MACS SIDE SECONDS                Ethernet frames from and to any of the MACs
//!
//! Sinks and echoes print `ready` once they listen. But in trains, there is no UDP_SEGMENT and no UDP_GRO, on purpose: each
//! datagram is one that an ordinary application sent by itself.

mod batch;
mod blast;
mod frames;
mod options;
mod rtt;
mod sink;
mod until;

use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;

const USAGE: &str = "usage: weft-sender ROLE ...
  sink   ADDRESS PORT [BYTES]
  echo   ADDRESS PORT
  blast  ADDRESS PORT BYTES SECONDS RATE
  train  ADDRESS PORT BYTES SECONDS RATE
  rtt    ADDRESS PORT BYTES SECONDS
  learn  INTERFACE MACS SIDE RATE
  frames INTERFACE MACS SIDE SECONDS";

/// The argument at `index`, or a complaint that names it.
fn argument<T: std::str::FromStr>(
    arguments: &[String],
    index: usize,
    name: &str,
) -> Result<T, String> {
    let text = arguments
        .get(index)
        .ok_or_else(|| format!("{name} is missing\n{USAGE}"))?;
    text.parse()
        .map_err(|_| format!("{name} can't be {text:?}\n{USAGE}"))
}

fn run(arguments: &[String]) -> Result<String, String> {
    let role: String = argument(arguments, 0, "the role")?;
    let answer = match role.as_str() {
        "learn" | "frames" => {
            let interface: String = argument(arguments, 1, "INTERFACE")?;
            let macs = argument::<u32>(arguments, 2, "MACS")?.max(1);
            let side: u8 = argument(arguments, 3, "SIDE")?;
            if role == "learn" {
                frames::learn(&interface, macs, side, argument(arguments, 4, "RATE")?)
            } else {
                frames::blast(&interface, macs, side, argument(arguments, 4, "SECONDS")?)
            }
        }
        "sink" | "echo" | "blast" | "train" | "rtt" => {
            let address: IpAddr = argument(arguments, 1, "ADDRESS")?;
            let peer = SocketAddr::new(address, argument(arguments, 2, "PORT")?);
            let bytes = || argument::<usize>(arguments, 3, "BYTES").map(|n| n.clamp(8, 65_507));
            let seconds = || argument::<f64>(arguments, 4, "SECONDS");
            match role.as_str() {
                "sink" if arguments.len() > 3 => sink::run(peer, Some(bytes()?)),
                "sink" => sink::run(peer, None),
                "echo" => rtt::echo(peer),
                "rtt" => rtt::measure(peer, bytes()?, seconds()?),
                "train" => {
                    blast::trains(peer, bytes()?, seconds()?, argument(arguments, 5, "RATE")?)
                }
                _ => blast::run(peer, bytes()?, seconds()?, argument(arguments, 5, "RATE")?),
            }
        }
        _ => return Err(format!("there is no role {role:?}\n{USAGE}")),
    };
    answer.map_err(|error| format!("weft-sender {}: {error}", arguments.join(" ")))
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(answer) => {
            println!("{answer}");
            ExitCode::SUCCESS
        }
        Err(complaint) => {
            eprintln!("{complaint}");
            ExitCode::FAILURE
        }
    }
}
