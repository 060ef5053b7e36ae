// What a method is applied to, in the words of the audit record.

/** The member of a list method's result. */
export const LISTS = {
  'tools/list': 'tools', 'prompts/list': 'prompts', 'resources/list': 'resources', 'resources/templates/list': 'resourceTemplates', 'tasks/list': 'tasks',
};

const BY_NAME = ['tools/call', 'prompts/get'];
const BY_URI = ['resources/read', 'resources/subscribe', 'resources/unsubscribe'];
const BY_TASK = ['tasks/get', 'tasks/cancel', 'tasks/result', 'tasks/update'];

/** `{ method, objects }` of a message: the protected objects' names, URIs and ids. */
export function operationOf({ method, params }) {
  if (BY_NAME.includes(method)) return { method, objects: [params?.name] };
  if (BY_URI.includes(method)) return { method, objects: [params?.uri] };
  if (BY_TASK.includes(method)) return { method, objects: [params?.taskId] };
  if (method === 'completion/complete') return { method, objects: [params?.ref?.name ?? params?.ref?.uri] };
  if (method === 'subscriptions/listen') return { method, objects: params?.notifications?.resourceSubscriptions ?? [] };
  return { method, objects: [] };
}

/** Whether the rules that tell resources apart say the same of both URIs. */
export function sameArea(one, other) {
  const area = (uri) => ['docs://shop/public/', 'docs://shop/secret/'].find((prefix) => String(uri).startsWith(prefix));
  return area(one) === area(other);
}
