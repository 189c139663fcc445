// A client made with the TypeScript SDK: `node client.mjs URL KEY MODE PLAN`.
// PLAN is a list of [method, argument, options] as JSON; what each gives is printed as JSON.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(pathToFileURL(process.env.PACKAGES + '/'));
const { Client, StreamableHTTPClientTransport } = require('@modelcontextprotocol/client');

const [url, key, mode, plan] = process.argv.slice(2);
const told = [];
const progress = [];
const client = new Client(
    { name: 'typescript', version: '1' },
    {
        capabilities: { sampling: {}, elicitation: {}, roots: {} },
        versionNegotiation: { mode },
    },
);
client.setRequestHandler('sampling/createMessage', async () => ({
    role: 'assistant',
    model: 'm',
    content: { type: 'text', text: 'sampled' },
}));
client.setRequestHandler('elicitation/create', async () => ({
    action: 'accept',
    content: { name: 'Ada', check: true },
}));
client.setRequestHandler('roots/list', async () => ({
    roots: [{ uri: 'file:///tmp', name: 'tmp' }],
}));
client.fallbackNotificationHandler = async (notification) => {
    told.push(notification.method);
};
const headers = key ? { authorization: `Bearer ${key}` } : {};
const transport = new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });
await client.connect(transport);
await new Promise((resolve) => setTimeout(resolve, 500));

const found = [];
for (const [method, argument, options] of JSON.parse(plan)) {
    const given = { ...options };
    if (given.progress) {
        given.onprogress = (said) => progress.push(said.progress);
    }
    try {
        found.push(await client[method](argument, given));
    } catch (error) {
        found.push({ error: String(error.message) });
    }
}
await client.close();
console.log(JSON.stringify({ found, progress, told: [...new Set(told)].sort() }));
process.exit(0);
