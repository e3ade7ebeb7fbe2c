// What the control plane should hear of: an SPI it may know, a key's first use, a key that is nearly used up, a peer that
// moved, a path that is narrower than was thought. Events wait in ESP_EVENTS (drawn in shared/abi.ts) until the host drains them after the batch; when the region is
// full they are counted as lost, which costs time and no correctness: each comes again with the traffic that causes it.
//
import {
  ESP_EVENT_BYTES, ESP_EVENT_HEADER_LENGTH, ESP_EVENT_KIND, ESP_EVENT_LOCAL, ESP_EVENT_PORT, ESP_EVENT_SA, ESP_EVENT_SENDER,
  ESP_EVENT_SPI, RX_LOCAL_ADDRESS, RX_SENDER_ADDRESS, RX_SENDER_PORT,
} from "../shared/abi";
import { ESP_EVENTS, ESP_EVENTS_LENGTH } from "../shared/layout";

const FIRST: u32 = 8;

/** Empties the region: the host has read it, or the engine begins. */
export function clear(): void {
  store<u32>(ESP_EVENTS, FIRST);
  store<u32>(ESP_EVENTS, 0, 4);
}

/** Bytes of events that wait. */
// @ts-ignore: decorator
@inline export function waiting(): u32 {
  return load<u32>(ESP_EVENTS) - FIRST;
}

/**
 * Adds an event with `length` bytes at `bytes`; `buffer` is where the received datagram's addresses stand before, 0 for none.
 * False: no room.
 */
export function add(kind: u32, sa: u32, spi: u32, buffer: u32, bytes: usize, length: u32): bool {
  const used = load<u32>(ESP_EVENTS);
  const size = (ESP_EVENT_HEADER_LENGTH + length + 7) & ~7;
  if (used + size > <u32>ESP_EVENTS_LENGTH) {
    store<u32>(ESP_EVENTS, load<u32>(ESP_EVENTS, 4) + 1, 4);
    return false;
  }
  store<u32>(ESP_EVENTS, used + size);
  const event = <usize>ESP_EVENTS + used;
  memory.fill(event, 0, ESP_EVENT_HEADER_LENGTH);
  store<u32>(event, kind, ESP_EVENT_KIND);
  store<u16>(event, <u16>sa, ESP_EVENT_SA);
  store<u32>(event, spi, ESP_EVENT_SPI);
  store<u32>(event, length, ESP_EVENT_BYTES);
  if (buffer != 0) {
    store<u16>(event, load<u16>(<usize>buffer + RX_SENDER_PORT), ESP_EVENT_PORT);
    v128.store(event, v128.load(<usize>buffer + RX_SENDER_ADDRESS), ESP_EVENT_SENDER);
    v128.store(event, v128.load(<usize>buffer + RX_LOCAL_ADDRESS), ESP_EVENT_LOCAL);
  }
  memory.copy(event + ESP_EVENT_HEADER_LENGTH, bytes, length);
  return true;
}

/** A router, whose address stands before the message at `buffer`, says that the path carries `bytes`. */
export function addPathMtu(kind: u32, sa: u32, spi: u32, buffer: u32, bytes: u32): void {
  const event = <usize>ESP_EVENTS + load<u32>(ESP_EVENTS);
  if (add(kind, sa, spi, buffer, 0, 0)) store<u16>(event, <u16>min<u32>(bytes, 0xffff), ESP_EVENT_PORT);
}
