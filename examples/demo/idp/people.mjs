// The people who may log in, and what their tokens say of them. Whoever is not listed may log in
// too, and nothing is said.

/**
 * Claims of access tokens by person: roles, groups, the tenant under the name Entra ID has for it,
 * and who alone may act for them (`may_act`, RFC 8693, 4.4).
 */
export const PEOPLE = {
  amira: { roles: ['admin'], groups: ['operations'], tid: 'blue' },
  viktor: { roles: ['viewer'], groups: ['support'], tid: 'blue' },
  gita: { roles: ['agent'], groups: ['support'], tid: 'green' },
  nadia: { roles: ['agent'], groups: ['support'], tid: 'green', may_act: { sub: 'countersign' } },
  omar: { roles: ['agent'], groups: ['support'], tid: 'green', may_act: { sub: 'mail-bot' } },
};

/** How a person authenticates who does not say it. */
const PASSWORD = 'pwd';

/**
 * Who logs in by a `login_hint`, and how: `amira`, or `amira?acr=mfa&age=3600` for who did it so
 * many seconds ago. What the client asks for (`acr_values`) comes first, and is done now.
 */
export function login(hint, acrValues) {
  const [accountId, query] = hint.split('?', 2);
  const told = new URLSearchParams(query);
  const [asked] = acrValues?.split(' ') ?? [];
  const age = asked ? 0 : Number(told.get('age') ?? 0);
  return { accountId, acr: asked ?? told.get('acr') ?? PASSWORD, ts: Math.floor(Date.now() / 1000) - age };
}
