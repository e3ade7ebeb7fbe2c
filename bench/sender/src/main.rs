//! UDP traffic for the benchmarks, cheap enough that the network is what is measured: the same program on both sides of a
//! comparison, one process a role, one JSON line as its answer.
//!
//!   weft-sender sink  ADDRESS PORT                                counts until stdin ends
//!   weft-sender blast ADDRESS PORT BYTES SECONDS RATE             RATE datagrams a second; 0: as many as it can
//!   weft-sender echo  ADDRESS PORT                                sends back until stdin ends
//!   weft-sender rtt   ADDRESS PORT BYTES SECONDS                  one request at a time
//!
//! Sinks and echoes print `ready` once they listen. No UDP_SEGMENT and no UDP_GRO on purpose: each datagram is one that an
//! ordinary application sent by itself.

mod batch;
mod blast;
mod rtt;
mod sink;
mod until;

use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;

const USAGE: &str = "usage: weft-sender sink|echo ADDRESS PORT | blast ADDRESS PORT BYTES SECONDS RATE | rtt ADDRESS PORT BYTES SECONDS";

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
    let peer = SocketAddr::new(
        argument::<IpAddr>(arguments, 1, "ADDRESS")?,
        argument(arguments, 2, "PORT")?,
    );
    let bytes = || -> Result<usize, String> {
        Ok(argument::<usize>(arguments, 3, "BYTES")?.clamp(8, 65_507))
    };
    let seconds = || argument::<f64>(arguments, 4, "SECONDS");
    let failed = |error: std::io::Error| format!("{role} {peer}: {error}");
    match role.as_str() {
        "sink" => sink::run(peer).map_err(failed),
        "echo" => rtt::echo(peer).map_err(failed),
        "blast" => {
            blast::run(peer, bytes()?, seconds()?, argument(arguments, 5, "RATE")?).map_err(failed)
        }
        "rtt" => rtt::measure(peer, bytes()?, seconds()?).map_err(failed),
        _ => Err(format!("there is no role {role:?}\n{USAGE}")),
    }
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
