/** Colors of numbers. More leaves the background: darker on light, lighter on dark. */

const STOPS = {
  light: {
    sequential: ["#eeedea", "#7fbab4", "#2e7c84", "#0b4450"],
    signed: ["#0b4a8f", "#5b93cf", "#f0efec", "#d98a3d", "#8a3a00"],
  },
  dark: {
    sequential: ["#2a2d33", "#2b6d78", "#67b9ad", "#dcf7e6"],
    signed: ["#8cc4ff", "#3b7cc0", "#2a2d33", "#b8651b", "#ffc078"],
  },
};
const LEVELS = 256;
const MEAN_AT = 0.22; // of the scale of relevance, from 0 to the mean head
const RATIO_TOP = 8;
const STRETCH = 0.985; // percentile at which scales of measured numbers end

const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
const gamma = (c) => (c <= 0.0031308 ? 12.92 * c : 1.055 * c ** (1 / 2.4) - 0.055);

export function toLab(hex) {
  const [r, g, b] = [1, 3, 5].map((at) => linear(parseInt(hex.slice(at, at + 2), 16) / 255));
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}

function toHex([L, a, b]) {
  const l = (L + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (L - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (L - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const rgb = [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ];
  const byte = (c) => Math.round(255 * gamma(Math.min(1, Math.max(0, c))));
  return `#${rgb.map((c) => byte(c).toString(16).padStart(2, "0")).join("")}`;
}

function interpolate(stops) {
  const labs = stops.map(toLab);
  return Array.from({ length: LEVELS }, (_, level) => {
    const place = (level / (LEVELS - 1)) * (labs.length - 1);
    const at = Math.min(labs.length - 2, Math.floor(place));
    return toHex(labs[at].map((c, axis) => c + (labs[at + 1][axis] - c) * (place - at)));
  });
}

const made = new Map();
export function palette(theme, kind) {
  const key = `${theme} ${kind}`;
  if (!made.has(key)) made.set(key, interpolate(STOPS[theme][kind]));
  return made.get(key);
}

export function percentile(values, share) {
  const sorted = Float64Array.from(values).filter(Number.isFinite).sort();
  return sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] : 0;
}

const atMost = (value) => Math.min(1, Math.max(0, value));

/** The scale of a column: the same for all concepts. */
export function columnScale(column, values) {
  if (column.scale === "ratio") {
    return {
      kind: "sequential",
      place: (v) =>
        v <= 1 ? MEAN_AT * atMost(v) : atMost(MEAN_AT + ((1 - MEAN_AT) * Math.log(v)) / Math.log(RATIO_TOP)),
      ticks: [
        [0, "0"],
        [1, "mean"],
        [2, "2×"],
        [4, "4×"],
        [RATIO_TOP, "8×+"],
      ],
    };
  }
  if (column.scale === "signed") {
    const most = percentile(Array.from(values, Math.abs), STRETCH) || 1;
    const end = Number(most.toPrecision(1));
    return {
      kind: "signed",
      place: (v) => atMost((v / most + 1) / 2),
      ticks: [-end, 0, end].map((v) => [v, v === 0 ? "0" : column.format(v)]),
    };
  }
  const low = column.scale === "share" ? 0 : percentile(values, 0);
  const high = percentile(values, STRETCH) || 1;
  const round = (v) => (column.scale === "share" ? v : Number(v.toPrecision(2)));
  return {
    kind: "sequential",
    place: (v) => atMost((v - low) / (high - low || 1)),
    ticks: [low, (low + high) / 2, high].map((v) => [v, column.format(round(v))]),
  };
}

/** The color of a value; null where nothing was measured. */
export function colorOf(scale, theme, value) {
  if (!Number.isFinite(value)) return null;
  return palette(theme, scale.kind)[Math.round(scale.place(value) * (LEVELS - 1))];
}
