// Amounts as the pages write them (gateway/web/dashboard/formats.py): money comes as integers in
// nano-dollars. Those of axes may be between: they only label.

const NANO = 1_000_000_000;

function grouped(value, decimals = 0) {
  return value.toLocaleString("en-US", {
    minimumFractionDigits: decimals,
    maximumFractionDigits: decimals,
  });
}

function usd(nano) {
  const sign = nano < 0 ? "-" : "";
  const size = Math.abs(nano);
  if (size === 0) return "$0.00";
  if (size >= NANO / 10) return `${sign}$${grouped(size / NANO, 2)}`;
  // Three significant digits of what is less than ten cents.
  const decimals = Math.min(9, 2 - Math.floor(Math.log10(size / NANO)));
  const text = (size / NANO).toFixed(decimals).replace(/0+$/, "");
  return `${sign}$${text.padEnd(4, "0")}`;
}

function shortUsd(nano) {
  const dollars = nano / NANO;
  if (dollars >= 1e6) return `$${trimmed(dollars / 1e6)}M`;
  if (dollars >= 1e3) return `$${trimmed(dollars / 1e3)}k`;
  if (dollars >= 1 || dollars === 0) return `$${trimmed(dollars)}`;
  return usd(nano).replace(/0$/, "").replace(/\.$/, "");
}

function trimmed(value) {
  return String(Math.round(value * 100) / 100);
}

function duration(milliseconds) {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 60_000) return `${trimmed(milliseconds / 1000)} s`;
  return `${trimmed(milliseconds / 60_000)} min`;
}

function shortCount(value) {
  if (value >= 1e9) return `${trimmed(value / 1e9)}B`;
  if (value >= 1e6) return `${trimmed(value / 1e6)}M`;
  if (value >= 1e4) return `${trimmed(value / 1e3)}k`;
  return grouped(value);
}

/** `value` in its unit: "usd" (nano-dollars), "ms" or "count"; `short` for axes. */
export function amount(value, unit, short = false) {
  if (unit === "usd") return short ? shortUsd(value) : usd(value);
  if (unit === "ms") return duration(value);
  return short ? shortCount(value) : grouped(value);
}
