// From samples to figures. A sample is the CPU time of the Envoy process per request, in µs, of one
// lane in one round; rounds are compared with themselves only, so that a machine that becomes slower
// from one round to the next changes no difference and no ratio.

/**
 * A weighted sum of lanes, per round: `{ hit: 1, router: -1 }` is what `hit` costs above `router`.
 * `samples` are arrays by lane, all of one length.
 */
export function combine(samples, terms) {
  const [first] = Object.keys(terms);
  return samples[first].map((_, round) => Object.entries(terms)
    .reduce((sum, [lane, weight]) => sum + weight * samples[lane][round], 0));
}

/**
 * The figure `of`, or its ratio `to` another one, both as `combine` takes them: `{ median, low, high }`
 * with the quartiles as spread. `undefined` where a lane was not run.
 */
export function figure(samples, { of, to }) {
  if (Object.keys({ ...of, ...to }).some((lane) => !(lane in samples))) return undefined;
  const values = combine(samples, of);
  const base = to && combine(samples, to);
  return summary(base ? values.map((value, round) => value / base[round]) : values);
}

/** Median and quartiles. */
export function summary(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return { median: quantile(sorted, 0.5), low: quantile(sorted, 0.25), high: quantile(sorted, 0.75) };
}

/** Whether a target was met: `met`, `MISSED`, or `not run`. Not a number is a miss. */
export function verdict(measured, limit) {
  if (!measured) return 'not run';
  return measured.median <= limit ? 'met' : 'MISSED';
}

/** Of sorted values, between two neighbours by their distance. */
function quantile(sorted, part) {
  const at = (sorted.length - 1) * part;
  const below = sorted[Math.floor(at)];
  return below + (sorted[Math.ceil(at)] - below) * (at - Math.floor(at));
}
