// JSON as a tree that can also hold what no parser would give back: duplicate names, spellings of
// names, numbers no double has. An object is `{ members: [[nameToken, node], …] }`, an array
// `{ items: [node, …] }`, everything else `{ token }`; tokens are JSON text.

/** The tree of a JavaScript value. */
export function tree(value) {
  if (Array.isArray(value)) return { items: value.map(tree) };
  if (value !== null && typeof value === 'object') {
    return { members: Object.entries(value).map(([name, member]) => [JSON.stringify(name), tree(member)]) };
  }
  return { token: JSON.stringify(value) };
}

/** The text of a tree; `space()` gives the white space between two tokens. */
export function text(node, space = () => '') {
  if (node.members) {
    const members = node.members.map(([name, member]) => `${space()}${name}${space()}:${space()}${text(member, space)}${space()}`);
    return `{${members.join(',')}}`;
  }
  if (node.items) return `[${node.items.map((item) => `${space()}${text(item, space)}${space()}`).join(',')}]`;
  return node.token;
}

/** The node of a member, by its plain name: the first. */
export function member(node, name) {
  return node?.members?.find(([token]) => token === JSON.stringify(name))?.[1];
}

/** All objects of a tree, the outermost first. */
export function objects(node) {
  if (node.members) return [node, ...node.members.flatMap(([, inner]) => objects(inner))];
  return node.items ? node.items.flatMap(objects) : [];
}
