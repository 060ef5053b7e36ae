// Valid messages, changed at random: in their structure, or in their bytes.

import { utf16, utf32, utf7 } from './encodings.mjs';
import { member, objects, text, tree } from './json.mjs';
import { LEGACY, MODERN, headerSets, rightHeaders, validMessages } from './messages.mjs';

/** Values that a smuggled member may have. */
const VALUES = ['"secret"', '"allowed"', '"tools/call"', '"tools/list"', '"docs://shop/secret/a"', 'null', 'true', '0', '1.0', '1e400', '[]', '{}', '["secret"]', '{"name":"secret"}', '""', '"2.0"', '"2026-07-28"'];
const METHODS = ['tools/call', 'tools/list', 'prompts/get', 'resources/read', 'ping', 'initialize', 'server/discover', 'vendor/run', 'notifications/initialized', 'tasks/get', 'Tools/Call', 'tools/call ', 'rpc.discover', ''];
const IDS = ['0', '-1', '1.0', '1.5', '-0', '1e2', '1E400', '"1"', '""', '"a b"', '"\\u0000"', 'null', 'true', '[]', '{}', '9007199254740991', '9007199254740992', '-9007199254740993', '18446744073709551615', '"\\ud83d\\ude00"'];
const NAMES = ['secret', 'allowed ', 'Allowed', 'a/b', '\u00e4', '\ud83d\ude00', 'e\u0301', 'x'.repeat(600), '__proto__', 'docs://shop/secret/a', 'docs://shop/public/../secret/a', 'docs://shop/public/.\t./secret/a', 'DOCS://shop/secret/a', 'docs://shop/public/\u00e4', ''];
const TOP = ['jsonrpc', 'id', 'method', 'params', 'result', 'error'];
const PARAMS = ['name', 'uri', 'arguments', '_meta', 'ref', 'taskId', 'cursor', 'notifications', 'inputResponses', 'requestState', 'task', 'type', 'level', 'argument'];
const SPACES = ['', ' ', '\t', '\r\n', '  \n'];

/** Changes to the tree of a message. Each gets the random numbers and the root; it may return another root. */
const STRUCTURAL = {
  'duplicate a member'(random, root) {
    const { members } = anObject(random, root);
    if (members.length) insert(random, members, [random.pick(members)[0], aValue(random)]);
  },
  'duplicate by another spelling'(random, root) {
    const { members } = anObject(random, root);
    if (members.length) insert(random, members, [respelled(random, random.pick(members)[0]), aValue(random)]);
  },
  'repeat a member'(random, root) {
    const { members } = anObject(random, root);
    if (members.length) insert(random, members, structuredClone(random.pick(members)));
  },
  'spell a name differently'(random, root) {
    const { members } = anObject(random, root);
    if (members.length) {
      const chosen = random.pick(members);
      chosen[0] = respelled(random, chosen[0]);
    }
  },
  'escape a name'(random, root) {
    const { members } = anObject(random, root);
    if (members.length) {
      const chosen = random.pick(members);
      chosen[0] = escaped(random, chosen[0]);
    }
  },
  'escape a value'(random, root) {
    const strings = objects(root).flatMap(({ members }) => members).filter(([, value]) => value.token?.startsWith('"'));
    if (strings.length) {
      const [, value] = random.pick(strings);
      value.token = escaped(random, value.token);
    }
  },
  'add a member'(random, root) {
    insert(random, anObject(random, root).members, [JSON.stringify(random.pick([...TOP, ...PARAMS, 'x'])), aValue(random)]);
  },
  'add to the message'(random, root) {
    if (root.members) insert(random, root.members, [JSON.stringify(random.pick([...TOP, 'x', 'name'])), aValue(random)]);
  },
  'add to the parameters'(random, root) {
    const params = member(root, 'params');
    if (params?.members) insert(random, params.members, [respelled(random, JSON.stringify(random.pick(PARAMS))), aValue(random)]);
  },
  'remove a member'(random, root) {
    const { members } = anObject(random, root);
    if (members.length) members.splice(random.below(members.length), 1);
  },
  'reorder members'(random, root) {
    for (const { members } of objects(root)) members.sort(() => random.next() - 0.5);
  },
  'wrap a value'(random, root) {
    const { members } = anObject(random, root);
    if (members.length) {
      const chosen = random.pick(members);
      chosen[1] = random.chance(0.5) ? { items: [chosen[1]] } : { members: [[JSON.stringify(random.pick(PARAMS)), chosen[1]]] };
    }
  },
  'wrap the message': (random, root) => (random.chance(0.7) ? { items: random.chance(0.5) ? [root] : [structuredClone(root), root] } : { members: [['"params"', root]] }),
  'change a value'(random, root) {
    const { members } = anObject(random, root);
    if (members.length) random.pick(members)[1] = aValue(random);
  },
  'change the id': (random, root) => set(root, 'id', random.pick(IDS)),
  'change the method': (random, root) => set(root, 'method', JSON.stringify(random.pick(METHODS))),
  'change the object'(random, root) {
    const params = member(root, 'params');
    const place = member(params, 'ref') ?? params;
    for (const name of ['name', 'uri', 'taskId']) {
      if (member(place, name)) set(place, name, JSON.stringify(random.pick(NAMES)));
    }
  },
  'nest deeply'(random, root) {
    const depth = random.pick([10, 50, 62, 66, 130, 250]);
    const { members } = anObject(random, root);
    members.push(['"x"', { token: `${'['.repeat(depth)}${']'.repeat(depth)}` }]);
  },
  'splice two messages'(random, root, other) {
    for (const entry of other.members ?? []) {
      if (random.chance(0.5)) insert(random, root.members ?? [], entry);
    }
  },
  'splice their parameters'(random, root, other) {
    const [to, from] = [member(root, 'params'), member(other, 'params')];
    for (const entry of from?.members ?? []) {
      if (to?.members && random.chance(0.5)) insert(random, to.members, entry);
    }
  },
  'add an argument'(random, root) {
    const inner = member(member(root, 'params'), 'arguments');
    inner?.members?.push([respelled(random, JSON.stringify(random.pick(PARAMS))), aValue(random)]);
  },
};

/** Changes to the bytes. */
const BYTES = {
  'flip a bit'(random, bytes) {
    const changed = Buffer.from(bytes);
    if (changed.length) changed[random.below(changed.length)] ^= 1 << random.below(8);
    return changed;
  },
  'change the case of a letter'(random, bytes) {
    const letters = [...bytes.keys()].filter((index) => /[A-Za-z]/.test(String.fromCharCode(bytes[index])));
    const changed = Buffer.from(bytes);
    if (letters.length) changed[random.pick(letters)] ^= 0x20;
    return changed;
  },
  'insert a byte': (random, bytes) => splice(random, bytes, Buffer.from([random.below(256)])),
  'insert a control character': (random, bytes) => splice(random, bytes, Buffer.from([random.pick([0, 1, 8, 9, 10, 11, 12, 13, 0x1e, 0x1f, 0x7f])])),
  'insert white space': (random, bytes) => splice(random, bytes, Buffer.from(random.pick(['\u00a0', '\u2028', '\ufeff', '\u200b', ' ', '\t', '\u3000']))),
  'insert a token': (random, bytes) => splice(random, bytes, Buffer.from(random.pick(['"', '{', '}', '[', ']', ',', ':', '\\', '\\u0000', '//', '/**/', 'null', '"name":"secret",']))),
  'delete a byte'(random, bytes) {
    const at = random.below(bytes.length);
    return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)]);
  },
  truncate: (random, bytes) => bytes.subarray(0, random.below(bytes.length)),
  'repeat a part'(random, bytes) {
    const at = random.below(bytes.length);
    return splice(random, bytes, bytes.subarray(at, at + 1 + random.below(20)));
  },
  append: (random, bytes) => Buffer.concat([bytes, Buffer.from(random.pick(['\n', ' ', '\0', '}', '{}', ',{}', '\u00a0', 'x', '\r\n\r\n']))]),
  prepend: (random, bytes) => Buffer.concat([Buffer.from(random.pick(['\n', ' ', '\0', '\ufeff', '\x1e', '[', ')]}\'\n', '\u00a0'])), bytes]),
  'another encoding'(random, bytes) {
    const content = bytes.toString();
    return random.pick([() => utf16(content, 'le'), () => utf16(content, 'be'), () => utf16(`\ufeff${content}`, 'le'), () => utf32(content, 'le'), () => utf32(content, 'be'), () => utf7(content), () => Buffer.from(content, 'latin1')])();
  },
};

/** `count` cases of different bodies; the same for the same random numbers. */
export function mutationCases(random, count) {
  const valid = validMessages();
  const seen = new Set();
  const cases = [];
  while (cases.length < count) {
    const { era, session, message } = random.pick(valid);
    const { note, body } = random.chance(0.7) ? mutated(random, message, random.pick(valid).message) : damaged(random, message);
    const key = body.toString('base64');
    if (seen.has(key)) continue;
    seen.add(key);
    const { set, headers } = someHeaders(random, era, message, body);
    cases.push({ kind: 'mutation', note: `${note} (${set})`, headers, body, session: session && era === LEGACY });
  }
  return cases;
}

function mutated(random, message, other) {
  const notes = [];
  let root = tree(message);
  for (let changes = 1 + random.below(3); changes > 0; changes -= 1) {
    const name = random.pick(Object.keys(STRUCTURAL));
    root = STRUCTURAL[name](random, root, tree(other)) ?? root;
    notes.push(name);
  }
  const spaced = random.chance(0.3);
  return { note: notes.join(', '), body: Buffer.from(text(root, spaced ? () => random.pick(SPACES) : undefined)) };
}

function damaged(random, message) {
  const notes = [];
  let bytes = Buffer.from(JSON.stringify(message));
  for (let changes = 1 + random.below(2); changes > 0; changes -= 1) {
    const name = random.pick(Object.keys(BYTES));
    if (bytes.length) bytes = BYTES[name](random, bytes);
    notes.push(name);
  }
  return { note: notes.join(', '), body: bytes };
}

/** Mostly the headers that go with the message as it was or as it is now, at times others. */
function someHeaders(random, era, message, body) {
  if (random.chance(0.2)) {
    const [set, headers] = random.pick(Object.entries(headerSets(message)));
    return { set, headers };
  }
  if (era === LEGACY) return random.chance(0.3) ? { set: 'legacy, no version', headers: headerSets(message)['legacy, no version'] } : { set: 'legacy', headers: rightHeaders(LEGACY) };
  return { set: 'modern', headers: rightHeaders(MODERN, random.chance(0.6) ? parsed(body) ?? message : message) };
}

function parsed(body) {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

function anObject(random, root) {
  const all = objects(root);
  return all.length ? random.pick(all) : { members: [] };
}

function aValue(random) {
  return { token: random.pick(VALUES) };
}

function insert(random, members, entry) {
  members.splice(random.below(members.length + 1), 0, entry);
}

function set(root, name, token) {
  const entry = root?.members?.find(([given]) => given === JSON.stringify(name));
  if (entry) entry[1] = { token };
}

function splice(random, bytes, part) {
  const at = random.below(bytes.length + 1);
  return Buffer.concat([bytes.subarray(0, at), part, bytes.subarray(at)]);
}

/** A name that some reader takes for this one. */
function respelled(random, token) {
  const name = token.slice(1, -1);
  const fold = { s: '\u017f', k: '\u212a', i: '\u0131', S: '\u017f', K: '\u212a', I: '\u0130' };
  const spelled = random.pick([
    () => name.toUpperCase(),
    () => name.charAt(0).toUpperCase() + name.slice(1),
    () => flipped(random, name),
    () => [...name].map((letter) => fold[letter] ?? letter).join(''),
    () => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
    () => name.replace(/^_/, ''),
    () => `_${name}`,
    () => `${name}_`,
    () => `${name}\\u0000`,
    () => `\\u0000${name}`,
    () => `${name} `,
    () => `${name}\u200b`,
    () => `${name}\u0301`,
    () => name.replace('/', '\\/'),
    () => [...name].map((letter) => (/[!-~]/.test(letter) && !'"\\'.includes(letter) ? String.fromCodePoint(letter.codePointAt(0) + 0xfee0) : letter)).join(''),
  ])();
  return `"${spelled}"`;
}

function flipped(random, name) {
  const at = random.below(name.length);
  const letter = name.charAt(at);
  return name.slice(0, at) + (letter === letter.toUpperCase() ? letter.toLowerCase() : letter.toUpperCase()) + name.slice(at + 1);
}

/** The same string with a character of it as `\u…`. */
function escaped(random, token) {
  const characters = token.slice(1, -1);
  if (!characters || characters.includes('\\')) return token;
  const at = random.below(characters.length);
  const hex = characters.charCodeAt(at).toString(16).padStart(4, '0');
  return `"${characters.slice(0, at)}\\u${random.chance(0.5) ? hex : hex.toUpperCase()}${characters.slice(at + 1)}"`;
}
