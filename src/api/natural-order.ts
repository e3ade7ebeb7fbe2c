// The order of names in lists, as Docker's command line has it: digits count as numbers ("web2" before "web10"), all else by its
// code, capitals first. Of equal numbers the one with fewer zeros before it comes first.
const NUMBERS_AND_REST = /\d+|\D/g;

const isNumber = (part: string): boolean => part >= "0" && part < ":";

function compareParts(a: string, b: string): number {
  if (!isNumber(a) || !isNumber(b)) return a < b ? -1 : a > b ? 1 : 0;
  const [x, y] = [BigInt(a), BigInt(b)];
  return x < y ? -1 : x > y ? 1 : a.length - b.length;
}

export function naturalOrder(a: string, b: string): number {
  const [left, right] = [a.match(NUMBERS_AND_REST) ?? [], b.match(NUMBERS_AND_REST) ?? []];
  for (const [at, part] of left.entries()) {
    const other = right[at];
    const order = other === undefined ? 1 : compareParts(part, other);
    if (order !== 0) return order;
  }
  return left.length - right.length;
}
