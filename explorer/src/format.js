/** Numbers as people read them. */

const MINUS = "−";
const bare = (text) => text.replace(/^(-?)0\./, "$1.").replace("-", MINUS);

export function ratio(value) {
  if (!Number.isFinite(value)) return "–";
  if (value < 0.005) return "0";
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : bare(value.toFixed(2));
}

export function signed(value) {
  if (!Number.isFinite(value)) return "–";
  const text = value.toFixed(2);
  return Number(text) === 0 ? "0" : bare(text);
}

export const share = (value) => (Number.isFinite(value) ? `${(100 * value).toFixed(1)} %` : "–");

export function plain(value) {
  if (!Number.isFinite(value)) return "–";
  if (Number.isInteger(value)) return count(value).replace("-", MINUS);
  return bare(String(Number(value.toPrecision(3))));
}

export const count = (value) => value.toLocaleString("en-US");

/** Format a value of a column, with its unit where the unit belongs to the number. */
export function formatValue(column, value) {
  if (column.scale === "ratio") return Number.isFinite(value) ? `${ratio(value)}×` : "–";
  if (column.scale === "signed") return signed(value);
  return column.scale === "share" ? share(value) : plain(value);
}
