// A web page on another origin cannot drive a node on its reader's loopback. Shown with a real
// browser, since what it sends of its own accord is the point; and with a page that may, or the
// refusals would prove nothing.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { chromium } from 'playwright-core';

import { startNode } from './lib/node.mjs';
import { startOrigin } from './lib/origin.mjs';

const options = { timeout: 120_000 };

const flags = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** A browser with nothing in it, at a page of its own origin. */
async function openPage(t) {
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/html' }).end('<title>a page</title>');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const folder = await mkdtemp(join(tmpdir(), 'fetchway-browser-'));
  const executablePath = process.env.TEST_CHROMIUM;
  assert.ok(executablePath, 'TEST_CHROMIUM is not set: run these tests by `cargo xtask test`');
  const browser = await chromium.launchPersistentContext(folder, { executablePath, args: flags });
  t.after(async () => {
    await browser.close();
    await rm(folder, { recursive: true, force: true });
  });
  const page = await browser.newPage();
  const origin = `http://127.0.0.1:${server.address().port}`;
  await page.goto(origin);
  return { page, origin };
}

/** What the page's WebSocket sees: `open` and the first answer to `request`, or `refused`. */
function socket(page, url, request) {
  const script = ([to, message]) =>
    new Promise((resolve) => {
      const socket = new WebSocket(to);
      const events = [];
      socket.onopen = () => {
        events.push('open');
        socket.send(message);
      };
      socket.onmessage = ({ data }) => {
        events.push(JSON.parse(data));
        socket.close();
      };
      socket.onclose = () => resolve(events.length > 0 ? events : ['refused']);
    });
  return page.evaluate(script, [url, JSON.stringify(request)]);
}

/**
 * The status that the node gave to a request of the page. The page itself is told nothing (or that
 * it failed); the browser's own record is asked. `no-cors` makes it send a GET without `Origin`.
 */
async function status(page, url, init) {
  const network = await page.context().newCDPSession(page);
  await network.send('Network.enable');
  const answered = new Promise((resolve) => {
    // The two events come in either order.
    const codes = new Map();
    let sent;
    const look = () => {
      if (codes.has(sent)) resolve(codes.get(sent));
    };
    network.on('Network.requestWillBeSent', ({ requestId, request }) => {
      if (request.url === url) sent = requestId;
      look();
    });
    // Of an answer that the page may not see there is no other event.
    network.on('Network.responseReceivedExtraInfo', ({ requestId, statusCode }) => {
      codes.set(requestId, statusCode);
      look();
    });
  });
  await page.evaluate(([to, how]) => fetch(to, how).catch(() => undefined), [url, init]);
  const code = await answered;
  await network.detach();
  return code;
}

/** Everything a page may try, by what it is and what came of it. */
async function attempts(page, node, target) {
  const post = { method: 'POST', body: '{"id":1}', mode: 'no-cors' };
  const request = { id: 1, url: target };
  return {
    socket: await socket(page, `${node.ws}/`, request),
    socketPath: await socket(page, `${node.ws}/v1/relay`, request),
    post: await status(page, `${node.http}/`, post),
    get: await status(page, `${node.http}/health`, {}),
    getUnnamed: await status(page, `${node.http}/health`, { mode: 'no-cors' }),
    adminPost: await status(page, `${node.admin}/metrics`, post),
    adminGet: await status(page, `${node.admin}/metrics`, {}),
    adminGetUnnamed: await status(page, `${node.admin}/metrics`, { mode: 'no-cors' }),
  };
}

test('a page on another origin is refused everywhere', options, async (t) => {
  const [node, origin, { page }] = await Promise.all([startNode(t), startOrigin(t), openPage(t)]);
  const refusals = [];
  page.on('websocket', (opened) => opened.on('socketerror', (error) => refusals.push(error)));
  assert.deepEqual(await attempts(page, node, `${origin.url}/hello`), {
    socket: ['refused'],
    socketPath: ['refused'],
    post: 403,
    get: 403,
    getUnnamed: 403,
    adminPost: 403,
    adminGet: 403,
    adminGetUnnamed: 403,
  });
  assert.equal(refusals.length, 2);
  for (const refusal of refusals) assert.match(refusal, /\b403\b/);
  // Nor may it read an answer, had there been one.
  const read = page.evaluate((url) => fetch(url).then(() => 'read', () => 'blocked'), `${node.admin}/metrics`);
  assert.equal(await read, 'blocked');
});

test('the same page can, once its origin is on the list', options, async (t) => {
  const [origin, { page, origin: allowed }] = await Promise.all([startOrigin(t), openPage(t)]);
  const node = await startNode(t, ['--allow-net', '127.0.0.0/8', '--allow-origin', allowed]);
  const seen = await attempts(page, node, `${origin.url}/hello`);
  for (const [opened, answer] of [seen.socket, seen.socketPath]) {
    assert.equal(opened, 'open');
    assert.deepEqual([answer.id, answer.status, answer.body], [1, 200, 'hello, fetchway']);
  }
  assert.deepEqual([seen.get, seen.adminGet], [200, 200]);
  for (const answer of [seen.post, seen.adminPost]) assert.notEqual(answer, 403);
});
