// What the tests fetch from: a small server that echoes, repeats and holds.

import { EventEmitter, once } from 'node:events';
import { createServer } from 'node:http';

/** Starts an origin; ends with the test `t`. */
export async function startOrigin(t) {
  const origin = new Origin();
  origin.server.listen(0, '127.0.0.1');
  await once(origin.server, 'listening');
  origin.url = `http://127.0.0.1:${origin.server.address().port}`;
  t.after(() => origin.end());
  return origin;
}

/** An address that refuses connections: it was listened on, and is no more. */
export async function refusingUrl() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return `http://127.0.0.1:${port}/`;
}

class Origin extends EventEmitter {
  #held = [];

  constructor() {
    super();
    this.server = createServer((request, response) => this.#answer(request, response));
  }

  /** Waits until `count` requests of /hold are being held. */
  async holding(count) {
    while (this.#held.length < count) await once(this, 'held');
  }

  /** Waits until every client of a held request has gone away. */
  async abandoned() {
    while (this.#held.some((held) => !held.destroyed)) await once(this, 'left');
  }

  /** Answers what is held. */
  release() {
    for (const response of this.#held.splice(0)) response.end('released');
  }

  end() {
    this.server.closeAllConnections();
    this.server.close();
  }

  #answer(request, response) {
    const url = new URL(request.url, 'http://origin');
    const route = routes[url.pathname];
    if (url.pathname === '/hold') {
      this.#held.push(response);
      response.on('close', () => this.emit('left'));
      this.emit('held');
    } else if (route) {
      route(response, url.searchParams, request);
    } else {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('nothing here');
    }
  }
}

const routes = {
  '/hello': (response) => {
    response.setHeader('X-Mixed-Case', 'yes');
    response.end('hello, fetchway');
  },
  '/text': (response, query) => response.end('0123456789abcdef'.repeat(Number(query.get('n')) / 16)),
  '/binary': (response) => response.end(Buffer.from([0xff, 0x00, 0xfe, 0x80, 0x0a])),
  '/repeats': (response) => {
    response.setHeader('set-cookie', ['a=1; Expires=Thu, 01 Jan 2099 00:00:00 GMT', 'b=2']);
    response.setHeader('x-twice', ['one', 'two']);
    response.end();
  },
  '/echo': async (response, _query, request) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    const body = Buffer.concat(parts).toString('utf8');
    const { method, headers, rawHeaders } = request;
    response.end(JSON.stringify({ method, headers, rawHeaders, body }));
  },
};
