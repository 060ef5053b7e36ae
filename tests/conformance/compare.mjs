// What the suite found directly, beside what it found through the filter.

/** Differences that follow from what the filter is for: `{ scenario, check, why }`, `check` an id. */
export const POLICY = [
  {
    scenario: 'tasks-capability-negotiation',
    check: 'sep-2663-tasks-methods-non-declaring',
    why: 'The check names a task that nobody made. Who did not make a task is told that there is none,'
      + ' before the server sees what the client declared.',
  },
];

/** Verdicts that say something is wrong. `INFO` is no verdict, and a check may not apply (`SKIPPED`). */
const BAD = ['FAILURE', 'WARNING'];

/** `{ passed, run, checks }`: scenarios without a failure, all scenarios, and checks that succeeded. */
export function count(scenarios) {
  const all = [...scenarios.values()];
  return {
    passed: all.filter((checks) => checks.every(({ status }) => status !== 'FAILURE')).length,
    run: all.length,
    checks: all.flat().filter(({ status }) => status === 'SUCCESS').length,
  };
}

/**
 * What is worse `through` than `direct` (Maps of `runSuite`): `{ scenario, check, message }` each.
 *
 * A check that has fewer successes or more bad verdicts than it had is worse, and so is a scenario
 * without results.
 */
export function worse(direct, through) {
  return [...direct].flatMap(([scenario, before]) => {
    const after = through.get(scenario);
    if (after === undefined) return [{ scenario, check: '*', message: 'no result: it did not end' }];
    const checks = new Set([...before, ...after].map(({ id }) => id));
    return [...checks].filter((id) => isWorse(of(before, id), of(after, id))).map((check) => ({
      scenario,
      check,
      message: of(after, check).find(({ status }) => BAD.includes(status))?.errorMessage ?? 'did not get to it',
    }));
  });
}

/** Those of `found` that no entry of `policy` explains. */
export function unexplained(found, policy = POLICY) {
  const same = (one, other) => one.scenario === other.scenario && one.check === other.check;
  return found.filter((difference) => !policy.some((known) => same(known, difference)));
}

function of(checks, wanted) {
  return checks.filter(({ id }) => id === wanted);
}

function isWorse(before, after) {
  const total = (checks, verdicts) => checks.filter(({ status }) => verdicts.includes(status)).length;
  return total(after, ['SUCCESS']) < total(before, ['SUCCESS']) || total(after, BAD) > total(before, BAD);
}
