// A JSON client works unchanged: every message shape, against a real node.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { connect } from './lib/client.mjs';
import { startNode } from './lib/node.mjs';
import { refusingUrl, startOrigin } from './lib/origin.mjs';

const options = { timeout: 60_000 };

/** A node, an origin it may fetch from, and a client: all end with the test. */
async function setUp(t) {
  const [node, origin] = await Promise.all([startNode(t), startOrigin(t)]);
  return { node, origin, client: await connect(t, node.ws) };
}

/** What every answer has, whatever it says. */
function assertShape(answer) {
  assert.equal(typeof answer.status, 'number');
  assert.equal(typeof answer.body, 'string');
  for (const [name, value] of Object.entries(answer.headers)) {
    assert.equal(name, name.toLowerCase());
    assert.equal(typeof value, 'string');
  }
}

/** `timing` in milliseconds since the epoch. */
function assertTiming({ timing }) {
  const { start, end, duration } = timing;
  assert.ok(start > 1.6e12 && end >= start, `from ${start} to ${end}`);
  assert.ok(Math.abs(end - start - duration) <= 1, `${duration} ms from ${start} to ${end}`);
}

/** A request that failed, by the name of its error. */
function assertFailed(answer, id, errorCode) {
  assertShape(answer);
  const { status, headers, body } = answer;
  assert.deepEqual({ id: answer.id, status, headers, body }, { id, status: 0, headers: {}, body: '' });
  assert.ok(answer.error.length > 0, 'a message for people');
  assert.equal(answer.errorCode, errorCode);
}

test('a fetch that succeeds', options, async (t) => {
  const { origin, client } = await setUp(t);
  const answer = await client.fetch({ id: 'one', url: `${origin.url}/hello` });
  assertShape(answer);
  assertTiming(answer);
  assert.equal(answer.id, 'one');
  assert.equal(answer.status, 200);
  assert.equal(answer.body, 'hello, fetchway');
  assert.equal(answer.headers['x-mixed-case'], 'yes');
  assert.equal(answer.url, `${origin.url}/hello`);
  assert.ok(!('error' in answer) && !('errorCode' in answer));
});

test('the bare root, with and without its slash', options, async (t) => {
  const { node, origin } = await setUp(t);
  for (const url of [`${node.ws}/`, `${node.ws}/v1/relay`]) {
    const client = await connect(t, url);
    assert.equal((await client.fetch({ id: 1, url: `${origin.url}/hello` })).status, 200);
  }
});

test('method, headers and body reach the origin', options, async (t) => {
  const { origin, client } = await setUp(t);
  const headers = { 'Content-Type': 'application/json', 'X-Custom': 'a, b' };
  const request = { id: 1, url: `${origin.url}/echo`, method: 'PUT', headers, body: '{"ä":1}' };
  const seen = JSON.parse((await client.fetch(request)).body);
  assert.equal(seen.method, 'PUT');
  assert.equal(seen.body, '{"ä":1}');
  assert.equal(seen.headers['content-type'], 'application/json');
  assert.equal(seen.headers['x-custom'], 'a, b');
});

test('HTTP 404 is an answer, no failure', options, async (t) => {
  const { origin, client } = await setUp(t);
  const answer = await client.fetch({ id: 1, url: `${origin.url}/nowhere` });
  assertShape(answer);
  assertTiming(answer);
  assert.deepEqual([answer.status, answer.body], [404, 'nothing here']);
  assert.ok(!('error' in answer));
});

test('a refused connection', options, async (t) => {
  const { client } = await setUp(t);
  const answer = await client.fetch({ id: 1, url: await refusingUrl() });
  assertFailed(answer, 1, 'connection_refused');
  assertTiming(answer);
});

test('an unresolvable host', options, async (t) => {
  const { client } = await setUp(t);
  const answer = await client.fetch({ id: 1, url: 'http://nonexistent.invalid/' });
  assertFailed(answer, 1, 'dns_error');
  assertTiming(answer);
});

test('a destination that is not allowed', options, async (t) => {
  const [node, origin] = await Promise.all([startNode(t, []), startOrigin(t)]);
  const client = await connect(t, node.ws);
  const answer = await client.fetch({ id: 1, url: `${origin.url}/hello` });
  assertFailed(answer, 1, 'destination_ip_prohibited');
});

test('invalid JSON, and the connection stays open', options, async (t) => {
  const { origin, client } = await setUp(t);
  for (const text of ['not json', '{"id":1,', '']) {
    const { id, status, headers, body, error } = await client.fetch(text);
    const expected = { id: 'unknown', status: 0, headers: {}, body: '', error: 'Invalid JSON in request' };
    assert.deepEqual({ id, status, headers, body, error }, expected);
  }
  assert.equal((await client.fetch({ id: 1, url: `${origin.url}/hello` })).status, 200);
});

test('a missing url, a URL of another scheme, a URL that is none', options, async (t) => {
  const { client } = await setUp(t);
  assertFailed(await client.fetch({ id: 'a' }), 'a', 'invalid_request');
  for (const url of ['ftp://127.0.0.1/file', 'file:///etc/passwd', 'not a url', '/relative']) {
    assertFailed(await client.fetch({ id: url, url }), url, 'invalid_request');
  }
});

test('repeated ids in flight are each answered', options, async (t) => {
  const { origin, client } = await setUp(t);
  for (let times = 0; times < 3; times += 1) client.send({ id: 'same', url: `${origin.url}/hold` });
  await origin.holding(3);
  origin.release();
  for (let times = 0; times < 3; times += 1) {
    const answer = await client.next();
    assert.deepEqual([answer.id, answer.status, answer.body], ['same', 200, 'released']);
  }
});

test('ids come back as the JSON values they were', options, async (t) => {
  const { origin, client } = await setUp(t);
  const ids = [7, '7', 0, -1, 1.5, 9007199254740991, '', 'ü "quoted"', true, [1, 'a'], { a: { b: 1 } }];
  for (const id of ids) {
    const answer = await client.fetch({ id, url: `${origin.url}/hello` });
    assert.deepEqual([answer.id, answer.status], [id, 200]);
  }
});

test('answers come as they complete', options, async (t) => {
  const { origin, client } = await setUp(t);
  client.send({ id: 'slow', url: `${origin.url}/hold` });
  await origin.holding(1);
  assert.equal((await client.fetch({ id: 'quick', url: `${origin.url}/hello` })).id, 'quick');
  origin.release();
  assert.equal((await client.next()).id, 'slow');
});

test('a body of 4 MiB, there and back', options, async (t) => {
  const { origin, client } = await setUp(t);
  const size = 4 << 20;
  const text = '0123456789abcdef'.repeat(size / 16);
  const answer = await client.fetch({ id: 1, url: `${origin.url}/text?n=${size}` });
  assert.equal(answer.body.length, size);
  assert.ok(answer.body === text, 'every byte as sent');
  const echo = { id: 2, url: `${origin.url}/echo`, method: 'POST', body: text };
  assert.ok(JSON.parse((await client.fetch(echo)).body).body === text, 'every byte as sent');
});

test('a body that is not UTF-8', options, async (t) => {
  const { origin, client } = await setUp(t);
  const answer = await client.fetch({ id: 1, url: `${origin.url}/binary` });
  assert.deepEqual([answer.status, answer.body], [200, '']);
  assert.deepEqual([...Buffer.from(answer.bodyBase64, 'base64')], [0xff, 0x00, 0xfe, 0x80, 0x0a]);
  const text = await client.fetch({ id: 2, url: `${origin.url}/hello` });
  assert.ok(!('bodyBase64' in text), 'only where the body is not UTF-8');
});

test('repeated header fields are joined, cookies are kept apart', options, async (t) => {
  const { origin, client } = await setUp(t);
  const answer = await client.fetch({ id: 1, url: `${origin.url}/repeats` });
  assertShape(answer);
  assert.equal(answer.headers['x-twice'], 'one, two');
  const cookies = ['a=1; Expires=Thu, 01 Jan 2099 00:00:00 GMT', 'b=2'];
  assert.deepEqual(answer.setCookie, cookies);
});

test('forbidden request headers are ignored', options, async (t) => {
  const { origin, client } = await setUp(t);
  const headers = {
    Host: 'elsewhere.example',
    'Content-Length': '9999',
    Connection: 'x-hop',
    'Keep-Alive': 'timeout=1',
    'Proxy-Connection': 'close',
    TE: 'gzip',
    Trailer: 'x-late',
    'Transfer-Encoding': 'chunked',
    Upgrade: 'h2c',
    'X-Kept': 'yes',
  };
  const request = { id: 1, url: `${origin.url}/echo`, method: 'POST', headers, body: 'abc' };
  const seen = JSON.parse((await client.fetch(request)).body);
  assert.equal(seen.body, 'abc');
  assert.equal(seen.headers['x-kept'], 'yes');
  assert.equal(seen.headers.host, new URL(origin.url).host);
  assert.equal(seen.headers['content-length'], '3');
  for (const name of ['keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade']) {
    assert.ok(!(name in seen.headers), name);
  }
});

test('malformed request headers are refused', options, async (t) => {
  const { origin, client } = await setUp(t);
  const malformed = [
    { 'bad name': 'x' },
    { '': 'x' },
    { 'x:y': 'x' },
    { 'x-a': 'one\r\nx-b: two' },
    { 'x-a': 'one\ntwo' },
    { 'x-a': 'nul\0' },
  ];
  for (const headers of malformed) {
    const id = JSON.stringify(headers);
    assertFailed(await client.fetch({ id, url: `${origin.url}/hello`, headers }), id, 'invalid_request');
  }
});

test('cancel ends every fetch of an id, and each is answered', options, async (t) => {
  const { origin, client } = await setUp(t);
  for (const id of ['a', 'a', 'b']) client.send({ id, url: `${origin.url}/hold` });
  await origin.holding(3);
  client.send({ cancel: 'a' });
  assertFailed(await client.next(), 'a', 'cancelled');
  assertFailed(await client.next(), 'a', 'cancelled');
  client.send({ cancel: 'b' });
  assertFailed(await client.next(), 'b', 'cancelled');
  await origin.abandoned();
});

test('a cancel of nothing is answered by nothing', options, async (t) => {
  const { origin, client } = await setUp(t);
  client.send({ cancel: 'never seen' });
  assert.equal((await client.fetch({ id: 1, url: `${origin.url}/hello` })).id, 1);
});

test('a timeout in milliseconds', options, async (t) => {
  const { origin, client } = await setUp(t);
  const answer = await client.fetch({ id: 1, url: `${origin.url}/hold`, timeout: 50 });
  assertFailed(answer, 1, 'http_response_timeout');
});

test('health and the root over plain HTTP', options, async (t) => {
  const { node } = await setUp(t);
  const health = await fetch(`${node.http}/health`);
  const { status, service } = await health.json();
  assert.deepEqual([health.status, status, typeof service], [200, 'ok', 'string']);
  const root = await fetch(`${node.http}/`);
  assert.equal(root.status, 200);
  assert.ok((await root.text()).length < 1000, 'a short text');
});

test('a batch over plain HTTP', options, async (t) => {
  const { node, origin } = await setUp(t);
  const items = [...Array(500).keys()].map((id) => JSON.stringify({ id, url: `${origin.url}/hello` }));
  // fetch sends all before it gives the response.
  const response = await fetch(`${node.http}/v1/batches?rate=5000/s&ordered=true`, {
    method: 'POST',
    body: [...items, 'no url'].join('\n'),
  });
  assert.deepEqual([response.status, response.headers.get('content-type')], [200, 'application/x-ndjson']);
  const outcomes = (await response.text()).trim().split('\n').map((line) => JSON.parse(line));
  const last = outcomes.pop();
  assert.deepEqual([outcomes.length, last.index, last.errorCode], [500, 500, 'invalid_request']);
  for (const [at, { index, id, status, body }] of outcomes.entries()) {
    assert.deepEqual([index, id, status, body], [at, at, 200, 'hello, fetchway']);
  }
  const refused = await fetch(`${node.http}/v1/batches?rate=fast`, { method: 'POST', body: '' });
  assert.deepEqual([refused.status, (await refused.json()).title], [400, 'Bad Request']);
});

test('a token beside the subprotocol of an encoding, as the README has it', options, async (t) => {
  // In base64 this has each of the characters that base64url has not.
  const token = '>>>???~';
  const tokens = `tokens=[{ name = "ann", token = "${token}" }]`;
  const [node, origin] = await Promise.all([
    startNode(t, ['--allow-net', '127.0.0.0/8', '--set', tokens]),
    startOrigin(t),
  ]);
  const offer = 'fetchway.token.' + btoa(token)
    .replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
  const client = await connect(t, node.ws, ['fetchway.json', offer]);
  assert.equal(client.socket.protocol, 'fetchway.json');
  assert.equal((await client.fetch({ id: 1, url: `${origin.url}/hello` })).status, 200);
  await assert.rejects(connect(t, node.ws, [offer]), /400/);
  await assert.rejects(connect(t, node.ws), /401/);
});
