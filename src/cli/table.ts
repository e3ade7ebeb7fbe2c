// Tables for people: columns as wide as their widest cell, two blanks between. On a terminal that is too narrow the widest
// column gives way, cell by cell with an ellipsis; into a pipe everything goes whole, for awk. What is typed again (ids, names) and
// figures are never cut, because half of them is wrong and not short; where that leaves too little room, lines are longer.

const GAP = 2;
/** A column is not cut to less than this. */
const COLUMN_MIN = 8;

function fitted(widths: readonly number[], columns: number, whole: ReadonlySet<number>): number[] {
  const result = [...widths];
  const giving = result.map((_, at) => at).filter((at) => !whole.has(at));
  const total = (): number => result.reduce((sum, width) => sum + width, 0) + GAP * (result.length - 1);
  for (let excess = total() - columns; excess > 0; excess = total() - columns) {
    const most = Math.max(...giving.map((at) => result[at]!), 0);
    if (most <= COLUMN_MIN) break;
    const widest = giving.find((at) => result[at] === most)!;
    const second = Math.max(...giving.filter((at) => at !== widest).map((at) => result[at]!), COLUMN_MIN);
    const step = result[widest]! > second ? result[widest]! - second : 1;
    result[widest] = Math.max(COLUMN_MIN, result[widest]! - Math.min(excess, step));
  }
  return result;
}

const cut = (text: string, width: number): string => (text.length > width ? `${text.slice(0, width - 1)}…` : text);

/** `columns`: of the terminal; undefined: no limit. `right`, `whole`: indexes of columns that hold figures, ids and names. */
export function table(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  columns?: number,
  right: readonly number[] = [],
  whole: readonly number[] = [],
): string {
  const all = [header, ...rows];
  // No Math.max(...cells): an FDB has more rows than a call can have arguments.
  const natural = header.map((_, at) => all.reduce((widest, row) => Math.max(widest, (row[at] ?? "").length), 0));
  const widths = columns === undefined ? natural : fitted(natural, columns, new Set([...right, ...whole]));
  const line = (row: readonly string[]): string =>
    widths
      .map((width, at) => {
        const text = cut(row[at] ?? "", width);
        return right.includes(at) ? text.padStart(width) : text.padEnd(width);
      })
      .join(" ".repeat(GAP))
      .trimEnd();
  return `${all.map(line).join("\n")}\n`;
}

/** `name  value` lines, for one object. */
export function facts(lines: readonly (readonly [string, string])[]): string {
  const width = Math.max(...lines.map(([name]) => name.length));
  return lines
    .map(([name, value]) => `${name.padEnd(width)}  ${value}`.trimEnd())
    .join("\n")
    .concat("\n");
}
